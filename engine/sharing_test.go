package engine

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/bench/sink"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func TestFileOrderWithinADomain(t *testing.T) {
	for _, gear := range []string{"lock-step", "pipelining", "chunking"} {
		t.Run(gear, func(t *testing.T) {
			w := newWorld(t, "smtp: {gear: "+gear+"}\nlimits: {default: {connections: 1}}\n")
			w.serve("", "a.test")
			w.open()
			all := people(300, "a.test")
			w.finish(w.start(w.campaign("c", "", all...)))
			if got := w.mail.sequence(); !slices.Equal(got, all) {
				for i := range got {
					if got[i] != all[i] {
						t.Fatalf("message %d was for %s, want %s", i, got[i], all[i])
					}
				}
				t.Fatalf("%d messages, want %d", len(got), len(all))
			}
		})
	}
}

// TestDoubtIsBounded: at any moment no more recipients are leased and without an
// answer than connections times max_in_doubt.
func TestDoubtIsBounded(t *testing.T) {
	for _, c := range []struct{ connections, doubt int }{{1, 1}, {1, 16}, {3, 5}} {
		t.Run(fmt.Sprintf("%dx%d", c.connections, c.doubt), func(t *testing.T) {
			w := newWorld(t, fmt.Sprintf("limits: {default: {connections: %d}}\n", c.connections))
			w.serve(`rules:
  - {at: rcpt, share: 0.1, times: 1, reply: "451 4.3.0 Try again"}
  - {at: end, share: 0.1, reply: "550 5.1.1 No such user"}`, "a.test")
			e := w.open()
			camp := w.campaign("c", fmt.Sprintf("max_in_doubt: %d\n", c.doubt), people(60*c.connections*min(c.doubt, 5), "a.test")...)
			loaded := w.load(camp)
			r, err := e.Start(t.Context(), loaded)
			if err != nil {
				t.Fatal(err)
			}
			looks, bound := 0, c.connections*c.doubt
			for done := false; !done; {
				select {
				case <-r.Finished():
					done = true
				case <-time.After(100 * time.Microsecond):
				}
				if f := onlyFlow(e, r); f != nil {
					f.lane.mu.Lock()
					flow, lane := f.reserved, f.lane.reserved
					f.lane.mu.Unlock()
					if flow > bound || lane != flow {
						t.Fatalf("%d places are taken, %d by the run, bound %d", lane, flow, bound)
					}
					looks++
				}
			}
			if looks == 0 {
				t.Error("nothing was seen")
			}
			w.once(w.delivered(r)...)
		})
	}
}

func onlyFlow(e *Engine, r *Run) *flow {
	e.routing.Lock()
	defer e.routing.Unlock()
	for _, l := range e.lanes {
		l.mu.Lock()
		f := l.byRun[r]
		l.mu.Unlock()
		if f != nil {
			return f
		}
	}
	return nil
}

// delivered lists the addresses with that outcome.
func (w *world) delivered(r *Run) (all []string) {
	w.Helper()
	err := r.campaign.Outcomes(w.Context(), ledger.Listing{Filter: ledger.Filter{States: []ledger.State{ledger.Delivered}}}, func(row *ledger.Outcome) error {
		all = append(all, row.Local+"@"+row.Domain)
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// TestCrashLeavesNoMoreInDoubt: a copy of the data directory, taken at a moment,
// is what a kill would leave.
func TestCrashLeavesNoMoreInDoubt(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 2}}\nmax_in_doubt: 4\n")
	w.serve("think: 2ms\n", "a.test")
	e := w.open()
	r := w.start(w.campaign("c", "", people(400, "a.test")...))
	var copies []string
	for i := range 5 {
		w.await("more arrived", func() bool { return w.mail.count() > 20*(i+1) })
		dir := fmt.Sprintf("%s/copy%d", w.dir, i)
		if err := e.ledger.Backup(dir); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, dir)
	}
	w.finish(r)
	for _, dir := range copies {
		l, err := ledger.Open(dir, ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Campaign("c")
		if err != nil {
			t.Fatal(err)
		}
		n, err := c.Resume(t.Context(), time.Now(), ledger.Hold)
		if err != nil {
			t.Fatal(err)
		}
		if n > 2*4 {
			t.Errorf("%d would be uncertain after a kill, bound 8", n)
		}
		proof(w, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestManySmallDomainsAtOneSite(t *testing.T) {
	w := newWorld(t, "")
	domains := make([]string, 300)
	for i := range domains {
		domains[i] = fmt.Sprintf("d%d.test", i)
	}
	w.serve("", domains...)
	w.open()
	all := people(2, domains...)
	r := w.start(w.campaign("c", "", all...))
	w.finish(r)
	w.once(all...)
	w.has(r, "600 delivered")
}

func TestProgressWhileSending(t *testing.T) {
	w := newWorld(t, "")
	s := w.serve(`rules: [{at: rcpt, to: "u1@*", reply: "550 5.1.1 No such user"}]`, "a.test")
	e := w.open()
	var wait sync.WaitGroup
	stop := make(chan struct{})
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				e.Progress(5)
			}
		}
	})
	r := w.start(w.campaign("c", "", people(300, "a.test")...))
	w.finish(r)
	close(stop)
	wait.Wait()
	p := e.Progress(5)
	if len(p.Runs) != 1 || p.Runs[0].Loaded != 300 || p.Runs[0].Counts[ledger.Delivered] != 299 {
		t.Errorf("runs: %+v", p.Runs)
	}
	if len(p.Sites) != 1 || p.Sites[0].Sent != 299 || p.Sites[0].Bounced != 1 || !strings.Contains(p.Sites[0].LastReply, "No such user") || p.Sites[0].ConnectionLimit != 20 {
		t.Errorf("sites: %+v", p.Sites)
	}
	if p := e.Progress(0); len(p.Sites) != 0 {
		t.Errorf("sites: %+v", p.Sites)
	}
	improper(t, s)
}

// improper fails if the server saw commands where the client had to wait.
func improper(t *testing.T, s *sink.Sink) {
	t.Helper()
	if n := s.Stats().Improper; n > 0 {
		t.Errorf("%d commands came too early", n)
	}
}
