package control_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-mail/penstock/engine/control"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/pool/smtp"
)

func TestMain(m *testing.M) {
	// gnet's worker pool keeps two goroutines for the life of the process.
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

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
