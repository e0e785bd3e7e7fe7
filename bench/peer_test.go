package bench

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sender is a whole Penstock as far as the harness can see: it takes its
// arguments, reads where to send from the configuration, and sends.
const sender = `package main

import (
	"encoding/csv"
	"net/smtp"
	"os"
	"path/filepath"
	"regexp"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		return
	}
	var config string
	for i, a := range os.Args {
		if a == "--config" {
			config = os.Args[i+1]
		}
	}
	text, err := os.ReadFile(config)
	check(err)
	file, err := os.Open(filepath.Join(filepath.Dir(os.Args[2]), "people.csv"))
	check(err)
	rows, err := csv.NewReader(file).ReadAll()
	check(err)
	c, err := smtp.Dial(regexp.MustCompile("127[0-9.]+:[0-9]+").FindString(string(text)))
	check(err)
	for _, row := range rows[1:] {
		check(c.Mail("a@sender.test"))
		check(c.Rcpt(row[0]))
		w, err := c.Data()
		check(err)
		w.Write([]byte("Subject: x\r\n\r\nx\r\n"))
		check(w.Close())
	}
	check(c.Quit())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
`

// repository is a git repository with one commit, a program that sends.
func repository(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"git", "go", "tar"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.test/sender\n\ngo 1.26\n", "cmd/penstock/main.go": sender} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@sender.test", "commit", "-q", "-m", "x"}, {"tag", "before"},
	} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	return dir
}

// TestAgainstACommit builds another commit and runs it in turns with a program.
func TestAgainstACommit(t *testing.T) {
	t.Parallel()
	o := fake(t, "recipients: 30\ngear: lock-step\n")
	o.Source, o.Against, o.Repeats = repository(t), "before", 3
	// What is not committed stays out.
	if err := os.WriteFile(filepath.Join(o.Source, "cmd/penstock/main.go"), []byte("broken"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	if err := Run(t.Context(), o, &out, &log); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if !strings.Contains(out.String(), "| before ") || !strings.Contains(out.String(), "before has ") {
		t.Errorf("no comparison:\n%s", out.String())
	}
	// A B A B A B.
	var order []string
	for line := range strings.Lines(log.String()) {
		if f := strings.Fields(line); f[0] == "fake" {
			order = append(order, f[1])
		}
	}
	if len(order) != 6 || order[0] == order[1] || order[0] != order[2] || order[1] != order[3] {
		t.Errorf("the runs' order: %q", order)
	}
}

// TestAgainstAProgram: what is not a commit is a program's path or name.
func TestAgainstAProgram(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	program := filepath.Join(t.TempDir(), "other")
	build := exec.Command("go", "build", "-o", program, "./cmd/penstock")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o := fake(t, "recipients: 10\n")
	o.Against, o.Repeats = program, 1
	var out bytes.Buffer
	if err := Run(t.Context(), o, &out, io.Discard); err != nil || !strings.Contains(out.String(), "| other ") {
		t.Errorf("%v\n%s", err, out.String())
	}
	o.Against = "neither-a-program-nor-a-commit"
	if err := Run(t.Context(), o, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "neither a program nor a commit") {
		t.Errorf("%v", err)
	}
}

// TestASendersOwnProgramIsBuilt: a scenario's sender comes from the repository,
// and gives its name and its own share of the CPU.
func TestASendersOwnProgramIsBuilt(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	o := fake(t, `recipients: 50
dkim: ed25519
connections: 3
build: ./bench/senders/netsmtp
command: ["{{.Built}}", --people, "{{.People}}", --body, "{{.Body}}", --sink, "{{.Sink}}", --connections, "{{.Connections}}", --stats, "{{.Stats}}", "{{if .Key}}--key{{end}}", "{{.Key}}"]
`)
	o.Env, o.Repeats, o.Profile = nil, 1, filepath.Join(t.TempDir(), "profiles")
	var out bytes.Buffer
	if err := Run(t.Context(), o, &out, io.Discard); err != nil || !strings.Contains(out.String(), "| net/smtp ") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if st, err := os.Stat(filepath.Join(o.Profile, "fake-fake.pprof")); err != nil || st.Size() == 0 {
		t.Errorf("no profile: %v", err)
	}
}

func TestSignatureFigures(t *testing.T) {
	t.Parallel()
	eight, plain, err := parseSigner("goos: linux\nBenchmarkSignatures-2   \t      20\t       832.1 crypto/rsa-us\t        10.6 ratio\t        78.5 us/signature\nPASS\n")
	if err != nil || eight != 78.5 || plain != 832.1 {
		t.Errorf("%v %v %v", eight, plain, err)
	}
	if _, _, err := parseSigner("BenchmarkSignatures-2\n--- SKIP: BenchmarkSignatures-2\nPASS\n"); err == nil {
		t.Error("a figure from nothing")
	}
	if us, err := parseOpenSSL("+DTP:2048:private:rsa:2\n+R1:9176:2048:2.00\n+F2:2:2048:2000.0:75876.7\n"); err != nil || us != 500 {
		t.Errorf("%v %v", us, err)
	}
	if _, err := parseOpenSSL("rsa 2048 bits\n"); err == nil {
		t.Error("a figure from nothing")
	}
}

// TestRatiosAreJudged: targets that compare rows and programs.
func TestRatiosAreJudged(t *testing.T) {
	t.Parallel()
	row := func(name string, target Target, cpu ...float64) *Row {
		r := &Row{Scenario: &Scenario{Name: name, Target: target, Signatures: len(cpu) > 1}}
		for i, v := range cpu {
			program := []string{signsPenstock, signsGo, signsOpenSSL}[i]
			r.Results = append(r.Results, &Result{Program: program, Samples: []*Sample{{CPU: v, PerSecond: 1, Allocations: 3}}})
		}
		return r
	}
	for _, c := range []struct {
		target Target
		cpu    []float64
		want   string
	}{
		{Target{Of: "ours", AtLeastTimes: 10}, []float64{1001}, "met"},
		{Target{Of: "ours", AtLeastTimes: 10}, []float64{900}, "CPU against ours 9, wanted 10.0"},
		{Target{Of: "ours", Times: 3}, []float64{200}, "met"},
		{Target{Of: "theirs", Times: 3}, []float64{200}, "not compared: theirs did not run"},
		{Target{Allocations: 2}, []float64{1}, "allocs 3, wanted 2"},
		{Target{CryptoRSA: 12, OpenSSL: 4}, []float64{100, 1300, 500}, "met"},
		{Target{CryptoRSA: 12, OpenSSL: 4}, []float64{100, 1100, 300}, "crypto/rsa against it 11.0, wanted 12.0; openssl speed against it 3, wanted 4"},
		{Target{CryptoRSA: 12, OpenSSL: 4}, []float64{100, 1300}, "not compared: openssl speed is not installed"},
	} {
		rep := &Report{Rows: []*Row{row("ours", Target{}, 100), row("x", c.target, c.cpu...)}}
		rep.judge()
		if got := rep.Rows[1].Verdict; got != c.want {
			t.Errorf("%+v %v: %q, want %q", c.target, c.cpu, got, c.want)
		}
	}
}

func TestTwoRunsTellNothing(t *testing.T) {
	t.Parallel()
	res := func(v ...float64) *Result {
		r := &Result{}
		for _, v := range v {
			r.Samples = append(r.Samples, &Sample{PerSecond: v, CPU: v})
		}
		return r
	}
	for _, c := range []struct {
		a, b *Result
		want bool
	}{
		{res(1, 1), res(2, 2), false},
		{res(1, 1, 1), res(2, 2), false},
		{res(1, 1, 1), res(2, 2, 2), true},
		{res(1, 1, 3), res(2, 2, 2), false},
	} {
		rep := &Report{Rows: []*Row{{Scenario: &Scenario{}, Results: []*Result{c.a, c.b}}}}
		rep.judge()
		if got := rep.Rows[0].Difference.CPUClear; got != c.want {
			t.Errorf("%v against %v: clear %v", c.a.CPU, c.b.CPU, got)
		}
	}
}

func TestScenariosLikeOthers(t *testing.T) {
	t.Parallel()
	s, err := ParseScenario("x.yaml", []byte("like: 30kb-rsa\nrecipients: 7\nenv: {GOMAXPROCS: \"1\"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Recipients != 7 || s.Size != 30720 || s.DKIM != "rsa2048" || s.Target != (Target{}) || s.OnRequest || s.About != "" || s.Env["GOMAXPROCS"] != "1" {
		t.Errorf("%+v", s)
	}
	if _, err := ParseScenario("x.yaml", []byte("like: nothing\n")); err == nil || !strings.Contains(err.Error(), "no scenario") {
		t.Error(err)
	}
	if _, err := ParseScenario("x.yaml", []byte("recipients: 1\nbuild: ./x\n")); err == nil || !strings.Contains(err.Error(), "{{.Built}}") {
		t.Error(err)
	}
}
