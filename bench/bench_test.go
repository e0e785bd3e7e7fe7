package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/smtp"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/bench/stats"
)

// roleEnv makes this test program one of the processes that the harness starts.
const roleEnv = "PENSTOCK_BENCH_TEST_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleEnv) {
	case "":
		os.Exit(m.Run())
	case "sink":
		err = asSink()
	case "sender":
		err = asSender()
	case "broken":
		err = errors.New("no such luck")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func asSink() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var o SinkOptions
	set := flag.NewFlagSet("sink", flag.ContinueOnError)
	o.Flags(set)
	if err := set.Parse(os.Args[1:]); err != nil {
		return err
	}
	return RunSink(ctx, o, os.Stdout)
}

// asSender sends with net/smtp: sink address, recipients file, stats file.
func asSender() error {
	addr, people, file := os.Args[1], os.Args[2], os.Args[3]
	s := stats.New("fake", "1")
	load := stats.Begin()
	f, err := os.Open(people)
	if err != nil {
		return err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return err
	}
	s.Load = load.End()
	s.Recipients = int64(len(rows) - 1)
	send := stats.Begin()
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	for _, row := range rows[1:] {
		if err := c.Mail("bench@sender.test"); err != nil {
			return err
		}
		if err := c.Rcpt(row[0]); err != nil {
			return err
		}
		w, err := c.Data()
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, "Subject: x\r\n\r\nhello "+row[2]+"\r\n"); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		s.Sent++
	}
	s.Send = send.End()
	s.Ledger.Syncs = 2 * s.Sent
	if err := s.Write(file); err != nil {
		return err
	}
	return c.Quit()
}

// fake are options under which this test program is sender and receiver.
func fake(t *testing.T, scenario string) Options {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "fake.yaml")
	if err := os.WriteFile(file, []byte(scenario), 0o600); err != nil {
		t.Fatal(err)
	}
	self := os.Args[0]
	return Options{
		Scenarios: []string{file}, Dir: filepath.Join(dir, "work"), Out: filepath.Join(dir, "out"), Repeats: 2,
		Program: self + " {{.Sink}} {{.People}} {{.Stats}}", Sink: []string{self}, SinkLoops: 1,
		Env: []string{roleEnv + "=sender"}, SinkEnv: []string{roleEnv + "=sink"},
	}
}

func TestRunMeasuresASender(t *testing.T) {
	t.Parallel()
	o := fake(t, "about: x\nrecipients: 40\ngear: lock-step\ntarget: {messages_per_second: 1e9}\n")
	o.Against = o.Program
	var out bytes.Buffer
	if err := Run(t.Context(), o, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(o.Out, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var rep Report
	if err := json.Unmarshal(text, &rep); err != nil {
		t.Fatal(err)
	}
	row := rep.Rows[0]
	if len(row.Results) != 2 || row.Difference == nil || !strings.Contains(row.Verdict, "wanted") {
		t.Fatalf("row %+v", row)
	}
	for _, res := range row.Results {
		if len(res.Samples) != 2 {
			t.Fatalf("%d samples", len(res.Samples))
		}
		for _, s := range res.Samples {
			// net/smtp waits after MAIL, RCPT, DATA and the content; greeting and
			// QUIT are a few more.
			if s.Messages != 40 || s.RoundTrips < 4 || s.RoundTrips > 4.2 || s.CPU <= 0 || s.SinkCPU <= 0 || s.PeakMB <= 0 || s.Syncs != 2 || s.PerSecond <= 0 || s.Improper != 0 {
				t.Errorf("sample %+v", s)
			}
		}
	}
	for _, want := range []string{"| fake ", "noise", "wanted"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, out.String())
		}
	}
	left, err := os.ReadDir(filepath.Join(o.Dir, "fake"))
	if err == nil && len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSeveralSitesGetANameServer(t *testing.T) {
	t.Parallel()
	o := fake(t, "recipients: 20\nsites: 4\n")
	o.Keep, o.Repeats = true, 1
	if err := Run(t.Context(), o, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(o.Dir, "fake", "run-*", "penstock.yaml"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"servers:", "prohibited: []", "port:"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestFailuresAreTold: the table names what failed, and Run returns it.
func TestFailuresAreTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"sender": {func(o *Options) { o.Env = []string{roleEnv + "=broken"} }, "no such luck"},
		"sink":   {func(o *Options) { o.SinkEnv = []string{roleEnv + "=broken"} }, "no such luck"},
		"lost":   {func(o *Options) { o.Program = "true {{.Sink}}" }, "accepted 0 of 40"},
		"late":   {func(o *Options) { o.Timeout = time.Nanosecond }, "took too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := fake(t, "recipients: 40\n")
			c.change(&o)
			var out bytes.Buffer
			err := Run(t.Context(), o, &out, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(out.String(), "failed: ") {
				t.Errorf("%v, want %q\n%s", err, c.want, out.String())
			}
		})
	}
}

func TestMissingPeerIsSkipped(t *testing.T) {
	t.Parallel()
	o := fake(t, "recipients: 1\nneeds: [no-such-program-anywhere]\ncommand: [x]\n")
	var out bytes.Buffer
	if err := Run(t.Context(), o, &out, io.Discard); err != nil || !strings.Contains(out.String(), "skipped: no-such") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestBuiltInScenarios(t *testing.T) {
	t.Parallel()
	all, err := Scenarios("*")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, s := range all {
		named[s.Name] = true
	}
	for _, s := range all {
		if s.About == "" {
			t.Errorf("%s says nothing about itself", s.Name)
		}
		if s.Target.Of != "" && !named[s.Target.Of] {
			t.Errorf("%s compares itself with %s", s.Name, s.Target.Of)
		}
		if s.Signatures {
			continue
		}
		small := s.scaled(1e-9)
		if small.Recipients != 1 {
			t.Errorf("%s: %d recipients", s.Name, small.Recipients)
		}
		w, err := prepare(t.TempDir(), small)
		if err != nil {
			t.Fatal(err)
		}
		body, err := os.ReadFile(w.message)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(body); n < s.Size*7/10 || n > s.Size*11/10 {
			t.Errorf("%s: a message of %d octets, wanted about %d", s.Name, n, s.Size)
		}
	}
	ordinary, err := Scenarios()
	if err != nil || len(ordinary) >= len(all) || len(ordinary) == 0 {
		t.Errorf("%d of %d without being named, %v", len(ordinary), len(all), err)
	}
}

func TestScenarioMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"recipients: 0\n":                               "recipients",
		"recipients: 1\nsites: 2\ndomains: 1\n":         "each site",
		"recipients: 1\nsize: 10\n":                     "size",
		"recipients: 1\ngear: third\n":                  "gear",
		"recipients: 1\ntls: some\n":                    "tls",
		"recipients: 1\ndkim: dsa\n":                    "dkim",
		"recipients: 1\nlatency: 1s\nsink: {seed: 1}\n": "latency",
		"recipients: 1\nsink: {rules: [{at: never}]}\n": "no phase",
		"recipients: 1\ntarget: {times: 3}\n":           "belong together",
		"recipients: 1\nspeed: 1\n":                     "unknown field",
	} {
		if _, err := ParseScenario("x.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestSpreadAndNoise(t *testing.T) {
	t.Parallel()
	if s := spread([]float64{3, 1, 2, 10}); s != (Spread{2.5, 1, 10}) || s.Width() != 3.6 {
		t.Errorf("%+v %v", s, s.Width())
	}
	res := func(rates ...float64) *Result {
		r := &Result{}
		for _, v := range rates {
			r.Samples = append(r.Samples, &Sample{PerSecond: v, CPU: 1})
		}
		return r
	}
	for _, c := range []struct {
		a, b  *Result
		clear bool
		noisy bool
	}{
		{res(100, 101, 102), res(110, 111, 112), true, false},
		{res(100, 101, 111), res(110, 111, 112), false, true},
		{res(100, 100, 100), res(99, 100, 101), false, false},
	} {
		rep := &Report{Rows: []*Row{{Scenario: &Scenario{}, Results: []*Result{c.a, c.b}}}}
		rep.judge()
		if d := rep.Rows[0].Difference; d.RateClear != c.clear || rep.Rows[0].Noisy != c.noisy {
			t.Errorf("%+v noisy %v, want %+v", d, rep.Rows[0].Noisy, c)
		}
	}
}

func TestFigure(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 0.0625: "0.062", 1.5: "1.5", 17.04: "17.0", 123456.7: "123457"} {
		if got := figure(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestMergeLaysOver(t *testing.T) {
	t.Parallel()
	got := merge(map[string]any{"a": 1, "b": map[string]any{"c": 2, "d": 3}}, map[string]any{"b": map[string]any{"c": 4}, "e": 5})
	if s := fmt.Sprint(got); s != "map[a:1 b:map[c:4 d:3] e:5]" {
		t.Error(s)
	}
}
