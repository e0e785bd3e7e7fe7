package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/pool/smtp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// people is how many recipients the campaign "big" has: more than one message
// of a stream holds.
const people = 600

// stocked is a ledger with two campaigns. "small" has one recipient of each
// fate; "big" has many, all pending, and as many rejects.
func stocked(t *testing.T) (dir string, led *ledger.Ledger) {
	t.Helper()
	dir = t.TempDir()
	led, err := ledger.Open(dir, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r, err := led.Verify(context.Background())
		if err != nil || !r.OK() {
			t.Errorf("verify: %v %v", err, r.Problems)
		}
		if err := led.Close(); err != nil {
			t.Error(err)
		}
	})
	small := load(t, led, "small", 4, 1)
	load(t, led, "big", people, people)
	settle(t, led, small)
	return dir, led
}

// load makes a campaign of u1@a.test and so on, with rejects behind them.
func load(t *testing.T, led *ledger.Ledger, name string, n, rejects int) *ledger.Campaign {
	t.Helper()
	loader, err := led.Create(t.Context(), ledger.Meta{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		seq := ledger.Seq(i + 1)
		if err := loader.Add(ledger.Row{Seq: seq, Local: fmt.Appendf(nil, "u%d", seq), Domain: []byte("a.test"), Suppressed: i == 3}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range rejects {
		if err := loader.Reject(ledger.Reject{Seq: ledger.Seq(n + i + 1), File: "people.csv", Line: n + i + 2, Reason: "address", Detail: "has no @", Address: "nobody"}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := loader.Commit(t.Context(), []byte("[]"), uint64(n+rejects))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// settle gives the small campaign's recipients their fates: u1 delivered, u2
// deferred, u3 pending, u4 suppressed.
func settle(t *testing.T, led *ledger.Ledger, c *ledger.Campaign) {
	t.Helper()
	if _, err := c.Resume(t.Context(), noon, ledger.Retry); err != nil {
		t.Fatal(err)
	}
	d, err := c.Domain("a.test")
	if err != nil {
		t.Fatal(err)
	}
	var b ledger.Batch
	if err := d.ReadFresh(&b, 2); err != nil {
		t.Fatal(err)
	}
	leased := make(chan error, 1)
	led.Lease(&b, func(_ *ledger.Batch, err error) { leased <- err })
	if err := <-leased; err != nil {
		t.Fatal(err)
	}
	via := led.Peer("mx.a.test", netip.MustParseAddrPort("192.0.2.1:25"), "default", "TLS1.3")
	for _, s := range []ledger.Settlement{
		{Seq: 1, State: ledger.Delivered, Code: 250, Enhanced: [3]uint16{2, 0, 0}, Text: "Ok", Command: uint8(smtp.End)},
		{Seq: 2, State: ledger.Deferred, Code: 451, Enhanced: [3]uint16{4, 3, 0}, Text: "Try again", Command: uint8(smtp.Rcpt), Due: noon.Add(time.Hour)},
	} {
		s.Domain, s.Attempted, s.Via, s.At, s.Took = d, true, via, noon, 42*time.Millisecond
		led.Settle(&s)
	}
	if err := led.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// served serves a stocked ledger at its socket.
func served(t *testing.T) (dir string, c *control.Client) {
	t.Helper()
	dir, led := stocked(t)
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := control.Serve(l, led)
	t.Cleanup(func() { s.Close(context.Background()) })
	c = control.Dial(dir)
	t.Cleanup(c.Close)
	return dir, c
}

// eachWay runs a test over the socket and within the process.
func eachWay(t *testing.T, test func(*testing.T, *control.Client)) {
	t.Parallel()
	t.Run("socket", func(t *testing.T) {
		t.Parallel()
		_, c := served(t)
		test(t, c)
	})
	t.Run("local", func(t *testing.T) {
		t.Parallel()
		_, led := stocked(t)
		c := control.Local(led)
		t.Cleanup(c.Close)
		test(t, c)
	})
}

func TestReport(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		res, err := c.GetReport(t.Context(), &pb.GetReportRequest{CampaignId: "small"})
		if err != nil {
			t.Fatal(err)
		}
		var r map[string]any
		if err := json.Unmarshal(res.ReportJson, &r); err != nil {
			t.Fatal(err)
		}
		counts := r["counts"].(map[string]any)
		for name, want := range map[string]float64{
			"rows": 5, "rejected": 1, "loaded": 4, "pending": 1, "delivered": 1, "deferred": 1,
			"bounced": 0, "expired": 0, "suppressed": 1, "cancelled": 0, "uncertain": 0,
		} {
			if got, ok := counts[name].(float64); !ok || got != want {
				t.Errorf("counts.%s: %v, want %v", name, counts[name], want)
			}
		}
		for _, key := range []string{"id", "uncertain_attempts", "rejects", "sites", "replies", "anomalies", "created", "started", "finished"} {
			if _, ok := r[key]; !ok {
				t.Errorf("no %s in %s", key, res.ReportJson)
			}
		}
		if r["id"] != "small" || r["finished"] != nil || r["rejects"].(map[string]any)["address"] != 1.0 || len(r["replies"].([]any)) != 2 {
			t.Errorf("report: %s", res.ReportJson)
		}
	})
}

func TestRecipient(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		get := func(address string) *pb.GetRecipientResponse {
			t.Helper()
			res, err := c.GetRecipient(t.Context(), &pb.GetRecipientRequest{CampaignId: "small", Address: address})
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		res := get("u2@A.Test")
		if r := res.Recipient; r.Address != "u2@a.test" || r.Seq != 2 || r.State != "deferred" || !r.Due.AsTime().Equal(noon.Add(time.Hour)) {
			t.Errorf("recipient: %v", r)
		}
		if len(res.Attempts) != 1 {
			t.Fatalf("attempts: %v", res.Attempts)
		}
		a := res.Attempts[0]
		if a.Number != 1 || !a.Time.AsTime().Equal(noon) || a.Took.AsDuration() != 42*time.Millisecond || a.State != "deferred" ||
			a.Host != "mx.a.test" || a.Address != "192.0.2.1:25" || a.Source != "default" || a.Tls != "TLS1.3" || a.Command != "RCPT" ||
			a.Code != 451 || a.EnhancedCode != "4.3.0" || a.Text != "Try again" || a.Anomaly != "" {
			t.Errorf("attempt: %v", a)
		}
		if res := get("u3@a.test"); res.Recipient.State != "pending" || len(res.Attempts) != 0 || res.Recipient.Due != nil {
			t.Errorf("u3: %v", res)
		}
		if res := get("u4@a.test"); res.Recipient.State != "suppressed" {
			t.Errorf("u4: %v", res)
		}
	})
}

func TestExport(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		export := func(id string, states ...string) (all []*pb.ExportedRecipient) {
			t.Helper()
			stream, err := c.Export(t.Context(), &pb.ExportRequest{CampaignId: id, States: states})
			if err != nil {
				t.Fatal(err)
			}
			for stream.Receive() {
				all = append(all, stream.Msg().Recipients...)
			}
			if err := errors.Join(stream.Err(), stream.Close()); err != nil {
				t.Fatal(err)
			}
			return all
		}
		all := export("big", "pending", "suppressed")
		if len(all) != people {
			t.Fatalf("%d recipients, want %d", len(all), people)
		}
		for i, r := range all {
			if int(r.Recipient.Seq) != i+1 || r.Recipient.Address != fmt.Sprintf("u%d@a.test", i+1) {
				t.Fatalf("recipient %d: %v", i, r)
			}
		}
		if got := export("big", "bounced"); len(got) != 0 {
			t.Errorf("bounced: %v", got)
		}
		got := export("small", "delivered", "deferred")
		if len(got) != 2 || got[0].Last.GetCode() != 250 || got[1].Attempts != 1 || got[1].Recipient.State != "deferred" {
			t.Errorf("delivered and deferred: %v", got)
		}
		if got := export("small"); len(got) != 4 {
			t.Errorf("%d without a choice of states, want 4", len(got))
		}
	})
}

func TestRejects(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		stream, err := c.ListRejects(t.Context(), &pb.ListRejectsRequest{CampaignId: "big"})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for stream.Receive() {
			for _, r := range stream.Msg().Rejects {
				n++
				if int(r.Seq) != people+n || int(r.Line) != people+n+1 || r.File != "people.csv" || r.Reason != "address" || r.Detail != "has no @" || r.Address != "nobody" {
					t.Fatalf("reject %d: %v", n, r)
				}
			}
		}
		if err := errors.Join(stream.Err(), stream.Close()); err != nil || n != people {
			t.Errorf("%d rejects, error %v", n, err)
		}
	})
}

func TestVerifyAndBackup(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		v, err := c.Verify(t.Context(), &pb.VerifyRequest{})
		if err != nil || v.Campaigns != 2 || v.Recipients != people+4 || v.Attempts < 2 || len(v.Faults) != 0 {
			t.Errorf("verify: %v %v", v, err)
		}
		dir := filepath.Join(t.TempDir(), "copy")
		if _, err := c.Backup(t.Context(), &pb.BackupRequest{Directory: dir}); err != nil {
			t.Fatal(err)
		}
		led, err := ledger.Open(dir, ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer led.Close()
		r, err := led.Verify(t.Context())
		if err != nil || !r.OK() || r.Recipients != people+4 {
			t.Errorf("the copy: %+v %v", r, err)
		}
	})
}

func TestErrorsHaveCodes(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		stream := func(s interface {
			Receive() bool
			Err() error
			Close() error
		}, err error) error {
			if err != nil {
				return err
			}
			for s.Receive() {
			}
			defer s.Close()
			return s.Err()
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for _, call := range []struct {
			name string
			do   func() error
			code connect.Code
			says string
		}{
			{"report of no campaign", func() error {
				_, err := c.GetReport(t.Context(), &pb.GetReportRequest{CampaignId: "none"})
				return err
			}, connect.CodeNotFound, "none"},
			{"recipient of no campaign", func() error {
				_, err := c.GetRecipient(t.Context(), &pb.GetRecipientRequest{CampaignId: "none", Address: "u1@a.test"})
				return err
			}, connect.CodeNotFound, "none"},
			{"recipient that is none", func() error {
				_, err := c.GetRecipient(t.Context(), &pb.GetRecipientRequest{CampaignId: "small", Address: "u9@a.test"})
				return err
			}, connect.CodeNotFound, "penstock rejects small"},
			{"recipient that is no address", func() error {
				_, err := c.GetRecipient(t.Context(), &pb.GetRecipientRequest{CampaignId: "small", Address: "u9"})
				return err
			}, connect.CodeInvalidArgument, `"u9"`},
			{"export of no campaign", func() error {
				s, err := c.Export(t.Context(), &pb.ExportRequest{CampaignId: "none"})
				return stream(s, err)
			}, connect.CodeNotFound, "none"},
			{"export of no state", func() error {
				s, err := c.Export(t.Context(), &pb.ExportRequest{CampaignId: "small", States: []string{"delivered", "lost"}})
				return stream(s, err)
			}, connect.CodeInvalidArgument, `"lost"`},
			{"rejects of no campaign", func() error {
				s, err := c.ListRejects(t.Context(), &pb.ListRejectsRequest{CampaignId: "none"})
				return stream(s, err)
			}, connect.CodeNotFound, "none"},
			{"backup to a relative path", func() error {
				_, err := c.Backup(t.Context(), &pb.BackupRequest{Directory: "copy"})
				return err
			}, connect.CodeInvalidArgument, "absolute"},
			{"backup to what exists", func() error {
				copied := &pb.BackupRequest{Directory: filepath.Join(t.TempDir(), "copy")}
				if _, err := c.Backup(t.Context(), copied); err != nil {
					return err
				}
				_, err := c.Backup(t.Context(), copied)
				return err
			}, connect.CodeAlreadyExists, ""},
			{"too large a request", func() error {
				_, err := c.GetRecipient(t.Context(), &pb.GetRecipientRequest{CampaignId: "small", Address: strings.Repeat("u", 1<<20+1)})
				return err
			}, connect.CodeResourceExhausted, ""},
			{"a call that was given up", func() error {
				_, err := c.Verify(ended, &pb.VerifyRequest{})
				return err
			}, connect.CodeCanceled, ""},
		} {
			err := call.do()
			if got := connect.CodeOf(err); err == nil || got != call.code || !strings.Contains(err.Error(), call.says) {
				t.Errorf("%s: %v; want %v and %q", call.name, err, call.code, call.says)
			}
			if cause := control.Cause(err); cause != nil && strings.HasPrefix(cause.Error(), call.code.String()) {
				t.Errorf("%s: the cause still shows the protocol: %v", call.name, cause)
			}
		}
	})
}

func TestSocketIsTheOwnersAlone(t *testing.T) {
	t.Parallel()
	dir, _ := served(t)
	info, err := os.Stat(filepath.Join(dir, control.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode(); mode.Perm() != 0o600 || mode&fs.ModeSocket == 0 {
		t.Errorf("mode %v, want a socket with 0600", mode)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	// As a process leaves it that was killed.
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	first.Close()
	second, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	if _, err := control.Listen(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

func TestClientsSideBySide(t *testing.T) {
	t.Parallel()
	dir, first := served(t)
	second := control.Dial(dir)
	defer second.Close()
	var wait sync.WaitGroup
	for _, c := range []*control.Client{first, second} {
		for range 4 {
			wait.Go(func() {
				stream, err := c.Export(t.Context(), &pb.ExportRequest{CampaignId: "big", States: []string{"pending"}})
				if err != nil {
					t.Error(err)
					return
				}
				defer stream.Close()
				n := 0
				for stream.Receive() {
					n += len(stream.Msg().Recipients)
					if _, err := c.GetReport(t.Context(), &pb.GetReportRequest{CampaignId: "small"}); err != nil {
						t.Error(err)
					}
				}
				if n != people-1 || stream.Err() != nil {
					t.Errorf("%d recipients, error %v", n, stream.Err())
				}
			})
		}
	}
	wait.Wait()
}

func TestStreamThatIsGivenUp(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := c.Export(ctx, &pb.ExportRequest{CampaignId: "big"})
		if err != nil {
			t.Fatal(err)
		}
		if !stream.Receive() {
			t.Fatal(stream.Err())
		}
		cancel()
		for stream.Receive() {
		}
		stream.Close()
		if _, err := c.Verify(t.Context(), &pb.VerifyRequest{}); err != nil {
			t.Errorf("the next call: %v", err)
		}
	})
}

func TestServerClosesInOrder(t *testing.T) {
	t.Parallel()
	dir, led := stocked(t)
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := control.Serve(l, led)
	c := control.Dial(dir)
	defer c.Close()
	if _, err := c.Verify(t.Context(), &pb.VerifyRequest{}); err != nil {
		t.Fatal(err)
	}
	s.Close(t.Context())
	if _, err := os.Stat(filepath.Join(dir, control.SocketName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
	if _, err := c.Verify(t.Context(), &pb.VerifyRequest{}); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("after the end: %v", err)
	}
}

// TestServerDoesNotWaitForEver: a client that stays connected and says nothing
// is cut off when patience ends.
func TestServerDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	dir, led := stocked(t)
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := control.Serve(l, led)
	conn, err := net.Dial("unix", filepath.Join(dir, control.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /penstock.v1.ServerService/Verify HTTP/1.1\r\nHost: penstock\r\nContent-Length: 100\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s.Close(ended)
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the client's connection: %v", err)
	}
}

// TestClosedLedgerIsUnavailable: a client can tell that it should come back.
func TestClosedLedgerIsUnavailable(t *testing.T) {
	t.Parallel()
	led, err := ledger.Open(t.TempDir(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := control.Local(led)
	defer c.Close()
	if err := led.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verify(t.Context(), &pb.VerifyRequest{}); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("verify: %v", err)
	}
	if _, err := c.GetReport(t.Context(), &pb.GetReportRequest{CampaignId: "x"}); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("report: %v", err)
	}
}

func TestLocalClientAfterClose(t *testing.T) {
	t.Parallel()
	_, led := stocked(t)
	c := control.Local(led)
	c.Close()
	c.Close()
	if _, err := c.Verify(t.Context(), &pb.VerifyRequest{}); err == nil {
		t.Error("a closed client answers")
	}
}

// TestSpeaksJSON: whoever has curl needs no client of ours.
func TestSpeaksJSON(t *testing.T) {
	t.Parallel()
	dir, _ := served(t)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, control.SocketName))
	}}
	defer transport.CloseIdleConnections()
	post := func(path, body string) (int, string) {
		t.Helper()
		res, err := (&http.Client{Transport: transport}).Post("http://penstock/penstock.v1."+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	if code, text := post("CampaignService/GetRecipient", `{"campaignId": "small", "address": "u1@a.test"}`); code != 200 || !strings.Contains(text, `"delivered"`) {
		t.Errorf("%d %s", code, text)
	}
	if code, text := post("CampaignService/GetReport", `{"campaignId": "none"}`); code != 404 || !strings.Contains(text, "not_found") {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := post("CampaignService/GetReport", `{"campaignId": `); code != 400 {
		t.Errorf("broken JSON: %d", code)
	}
	if code, _ := post("CampaignService/Nothing", `{}`); code != 404 {
		t.Errorf("no such call: %d", code)
	}
}
