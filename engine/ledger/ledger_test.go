package ledger

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// newLedger opens a ledger in memory; the test ends with its proof.
func newLedger(t *testing.T, opt Options) *Ledger {
	t.Helper()
	if opt.fs == nil {
		opt.fs = vfs.NewMem()
	}
	return openLedger(t, "data", opt)
}

func openLedger(t *testing.T, dir string, opt Options) *Ledger {
	t.Helper()
	l, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l.writer.failure() != nil {
			return
		}
		l.mu.Lock()
		closed := l.closed
		l.mu.Unlock()
		if closed {
			return
		}
		verify(t, l)
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

func verify(t *testing.T, l *Ledger) VerifyReport {
	t.Helper()
	if err := l.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	r, err := l.Verify(context.Background())
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	for _, p := range r.Problems {
		t.Errorf("verify: %s", p)
	}
	return r
}

// people makes n rows over some domains.
func people(n, domains int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = Row{
			Seq: Seq(i + 1), Local: fmt.Appendf(nil, "user%d", i), Domain: fmt.Appendf(nil, "d%d.example", i%domains),
			Fields: fmt.Appendf(nil, "fields of %d", i), File: "people.csv", Line: i + 2,
		}
	}
	return rows
}

func load(t *testing.T, l *Ledger, name string, rows []Row) *Campaign {
	t.Helper()
	ld, err := l.Create(t.Context(), Meta{Name: name, Snapshot: []byte("snap"), Settings: []byte("set")})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := ld.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	c, err := ld.Commit(t.Context(), []byte("cols"), uint64(len(rows)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func resume(t *testing.T, c *Campaign, now time.Time, p Policy) int {
	t.Helper()
	n, err := c.Resume(t.Context(), now, p)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// leaseNow leases and waits.
func leaseNow(t *testing.T, l *Ledger, b *Batch) {
	t.Helper()
	done := make(chan error, 1)
	l.Lease(b, func(_ *Batch, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestCampaignFromLoadToReport(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name string
		opt  Options
	}{
		{"batch", Options{}},
		{"tables", Options{smallLoad: 1}},
		{"runs", Options{smallLoad: 1, chunkBytes: 2000}},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			var durable int
			way.opt.Durable = func(g []Settlement) { durable += len(g) }
			l := newLedger(t, way.opt)
			c := load(t, l, "spring", people(500, 7))
			resume(t, c, day, Retry)
			sent := 0
			if err := c.Domains(func(d *Domain) bool {
				d.SetSite("site of " + d.Name())
				var b Batch
				for d.Fresh() > 0 {
					if err := d.ReadFresh(&b, 16); err != nil {
						t.Fatal(err)
					}
					leaseNow(t, l, &b)
					for i, r := range b.Recipients {
						if want := fmt.Sprintf("fields of %d", r.Seq-1); string(r.Fields) != want {
							t.Fatalf("fields %q, want %q", r.Fields, want)
						}
						s := Settlement{Domain: d, Seq: r.Seq, State: Delivered, Attempted: true, At: day, Code: 250, Text: fmt.Sprintf("2.0.0 Ok: queued as %X", r.Seq*77777)}
						if i%5 == 0 {
							s.State, s.Code, s.Due, s.Text = Deferred, 451, day.Add(time.Minute), "try later"
						}
						l.Settle(&s)
						sent++
					}
				}
				return true
			}); err != nil {
				t.Fatal(err)
			}
			verify(t, l)
			r, err := c.Report(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if r.Counts[Delivered]+r.Counts[Deferred] != 500 || sent != 500 || durable != 500 {
				t.Errorf("counts %v, sent %d, durable %d", r.Counts, sent, durable)
			}
			if len(r.Replies) != 2 || r.Replies[0].Text != "… Ok: queued as …" {
				t.Errorf("replies %+v", r.Replies)
			}
			retried := 0
			if err := c.Domains(func(d *Domain) bool {
				due, _ := d.NextDue()
				if n := d.DueCount(due.Add(-time.Millisecond)); n != 0 {
					t.Errorf("%s: %d due too early", d.Name(), n)
				}
				var b Batch
				for d.DueCount(due) > 0 {
					if err := d.ReadDue(&b, due, 3); err != nil {
						t.Fatal(err)
					}
					leaseNow(t, l, &b)
					for _, r := range b.Recipients {
						if r.Was != Deferred || r.Attempts != 1 {
							t.Fatalf("read back %+v", r)
						}
						retried++
						l.Settle(&Settlement{Domain: d, Seq: r.Seq, State: Bounced, Attempted: true, At: due, Code: 550, Text: "no"})
					}
				}
				return true
			}); err != nil {
				t.Fatal(err)
			}
			verify(t, l)
			if r, err = c.Report(t.Context()); err != nil || r.Counts[Deferred] != 0 || r.Counts[Bounced] != uint64(retried) {
				t.Errorf("report %+v, %v, retried %d", r, err, retried)
			}
		})
	}
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
