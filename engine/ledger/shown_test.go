package ledger

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestAllThatShowsStatesAgrees: counts, report, outcomes, their choice by state,
// and what is told of one recipient, whatever trouble a domain is in.
func TestAllThatShowsStatesAgrees(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	l := newLedger(t, Options{fs: disk})
	c := load(t, l, "c", people(30, 3))
	resume(t, c, day, Retry)
	agree := func(when, want string) {
		t.Helper()
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		counts, err := c.Counts()
		report, rerr := c.Report(t.Context())
		if err := errors.Join(err, rerr); err != nil {
			t.Fatal(err)
		}
		var listed, chosen, told, sites Counts
		list := func(states []State, to *Counts) {
			if err := c.Outcomes(t.Context(), Listing{Filter: Filter{States: states}}, func(o *Outcome) error {
				to[o.State]++
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		list(nil, &listed)
		for s := range NumStates {
			before := chosen.Sum() - chosen[s]
			list([]State{State(s)}, &chosen)
			if chosen.Sum()-chosen[s] != before {
				t.Errorf("%s: chosen as %s: %v", when, State(s), chosen)
			}
		}
		for i := range 30 {
			r, err := c.Lookup(fmt.Sprintf("user%d", i), fmt.Sprintf("d%d.example", i%3))
			if err != nil {
				t.Fatal(err)
			}
			told[r.State]++
		}
		for _, s := range report.Sites {
			for i, n := range s.Counts {
				sites[i] += n
			}
		}
		for what, got := range map[string]Counts{"counts": counts, "report": report.Counts, "its sites": sites, "outcomes": listed, "chosen": chosen, "recipients": told} {
			if text := fmt.Sprintf("%d pending %d deferred %d delivered %d cancelled", got[Pending], got[Deferred], got[Delivered], got[Cancelled]); text != want || got.Sum() != 30 {
				t.Errorf("%s: %s: %v, want %s", when, what, got, want)
			}
		}
		verify(t, l)
	}
	agree("loaded", "30 pending 0 deferred 0 delivered 0 cancelled")
	d := c.domain("d1.example")
	var b Batch
	if err := d.ReadFresh(&b, 4); err != nil {
		t.Fatal(err)
	}
	leaseNow(t, l, &b)
	for range 2 { // a second time is no second trouble
		d.SetTrouble("no DNS", day, day)
	}
	agree("in trouble", "20 pending 10 deferred 0 delivered 0 cancelled")
	for i, state := range []State{Delivered, Delivered, Deferred} {
		l.Settle(&Settlement{Domain: d, Seq: b.Recipients[i].Seq, State: state, Attempted: true, At: day, Due: day})
	}
	agree("settled in trouble", "20 pending 8 deferred 2 delivered 0 cancelled")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = newLedger(t, Options{fs: disk})
	var err error
	if c, err = l.Campaign("c"); err != nil {
		t.Fatal(err)
	}
	agree("reopened", "20 pending 8 deferred 2 delivered 0 cancelled")
	c.domain("d1.example").ClearTrouble()
	agree("out of trouble", "27 pending 1 deferred 2 delivered 0 cancelled")
	c.domain("d1.example").SetTrouble("no DNS", day, day)
	if err := c.MarkCancelled(context.Background(), day); err != nil {
		t.Fatal(err)
	}
	agree("cancelled in trouble", "0 pending 0 deferred 2 delivered 28 cancelled")
}
