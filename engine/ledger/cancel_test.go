package ledger

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestOneMarkCancelsWhoIsLeft: counts, report, look-up and export agree, the
// proof holds, what was on the wire still ends, and a restart changes nothing.
func TestOneMarkCancelsWhoIsLeft(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	l := newLedger(t, Options{fs: fs})
	c := load(t, l, "c", people(10, 2))
	now := time.Now()
	resume(t, c, now, Retry)
	d, err := c.Domain("d0.example")
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	if err := d.ReadFresh(&b, 3); err != nil {
		t.Fatal(err)
	}
	leaseNow(t, l, &b)
	l.Settle(&Settlement{Domain: d, Seq: 1, State: Deferred, Due: now.Add(time.Hour), Attempted: true, At: now})
	d.SetTrouble("no DNS", now, now.Add(time.Hour))
	if err := c.MarkCancelled(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if err := c.MarkCancelled(t.Context(), now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	l.Settle(&Settlement{Domain: d, Seq: 3, State: Delivered, Attempted: true, At: now})
	l.Settle(&Settlement{Domain: d, Seq: 5, State: Deferred, Due: now.Add(time.Hour), Attempted: true, At: now})
	verify(t, l)
	check := func(c *Campaign) {
		t.Helper()
		if at := c.Totals().Cancelled; !at.Equal(now) {
			t.Errorf("cancelled at %v, want %v", at, now)
		}
		counts, err := c.Counts()
		if want := (Counts{Delivered: 1, Cancelled: 9}); err != nil || counts != want {
			t.Errorf("counts %v (%v), want %v", counts, err, want)
		}
		r, err := c.Report(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.Counts != counts || !r.Cancelled.Equal(now) {
			t.Errorf("report: %v at %v", r.Counts, r.Cancelled)
		}
		for _, s := range r.Sites {
			if s.Counts[Pending]+s.Counts[Deferred] > 0 || s.Trouble > 0 || s.Reason != "" {
				t.Errorf("site: %+v", s)
			}
		}
		for seq, want := range map[string]State{"user0": Cancelled, "user2": Delivered, "user4": Cancelled, "user6": Cancelled} {
			if r, err := c.Lookup(seq, "d0.example"); err != nil || r.State != want {
				t.Errorf("%s: %+v (%v), want %v", seq, r, err, want)
			}
		}
		n := 0
		if err := c.Outcomes(t.Context(), Listing{Filter: Filter{States: []State{Cancelled}}}, func(*Outcome) error { n++; return nil }); err != nil || n != 9 {
			t.Errorf("exported %d (%v), want 9", n, err)
		}
	}
	check(c)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := newLedger(t, Options{fs: fs})
	if c, err = again.Campaign("c"); err != nil {
		t.Fatal(err)
	}
	check(c)
}
