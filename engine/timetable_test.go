package engine

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func TestTimetableFiresInTimeAndOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := newTimetable()
		start := time.Now()
		type firing struct {
			d  *destination
			at time.Duration
		}
		var fired []firing
		done := make(chan struct{})
		go func() {
			defer close(done)
			table.run(func(d *destination) { fired = append(fired, firing{d, time.Since(start)}) })
		}()
		ds := make([]*destination, 200)
		want := make(map[*destination]time.Duration)
		r := rand.New(rand.NewPCG(1, 2))
		for i := range ds {
			ds[i] = newDestination(nil, nil)
			for range 3 { // the earliest of several counts
				at := time.Duration(r.IntN(7200)) * time.Second
				table.add(ds[i], start.Add(at))
				if w, ok := want[ds[i]]; !ok || at < w {
					want[ds[i]] = at
				}
			}
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if len(fired) != len(ds) {
			t.Fatalf("%d fired, want %d", len(fired), len(ds))
		}
		var last time.Duration
		for _, f := range fired {
			if f.at != want[f.d] || f.at < last {
				t.Errorf("fired at %v, want %v, not before %v", f.at, want[f.d], last)
			}
			last = f.at
		}
		if len(table.heap) != 0 {
			t.Errorf("%d still stand in the table", len(table.heap))
		}

		// What fires may come again, and what is late fires at once.
		fired = nil
		table.add(ds[0], start)
		synctest.Wait()
		if len(fired) != 1 || fired[0].d != ds[0] {
			t.Errorf("fired: %v", fired)
		}
		table.close()
		<-done
	})
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	e := new(Engine)
	r := &Run{}
	r.settings.Retry = campaign.Retry{First: 5 * time.Minute, Factor: 2, Max: 4 * time.Hour}
	for n, want := range map[int]time.Duration{
		1: 5 * time.Minute, 2: 10 * time.Minute, 3: 20 * time.Minute, 6: 160 * time.Minute,
		7: 4 * time.Hour, 8: 4 * time.Hour, 100: 4 * time.Hour, 60_000: 4 * time.Hour,
	} {
		least, most := time.Duration(1<<62), time.Duration(0)
		for range 1000 {
			got := e.backoff(r, n)
			least, most = min(least, got), max(most, got)
		}
		if least < want || most > want*11/10 {
			t.Errorf("wait %d is %v to %v, want %v and up to a tenth more", n, least, most, want)
		}
		if most-least < want/20 {
			t.Errorf("wait %d is always about %v: what was deferred together comes back together", n, least)
		}
	}
	now := time.Unix(1000, 0)
	if at := e.retryAt(r, 1, time.Hour, now); !at.Equal(now.Add(time.Hour)) {
		t.Errorf("with a hint of an hour: %v", at.Sub(now))
	}
	if at := e.retryAt(r, 1, time.Second, now); at.Before(now.Add(5 * time.Minute)) {
		t.Errorf("with a hint of a second: %v", at.Sub(now))
	}
}

func TestTurnedAwayThreeTimes(t *testing.T) {
	t.Parallel()
	r := new(Run)
	d := newDestination(r, nil)
	at := func(seq ledger.Seq) *envelope { return &envelope{destination: d, seq: seq} }
	for _, want := range []bool{false, false, true, false, false, true} {
		if got := r.turnedAway(at(1)); got != want {
			t.Fatalf("turned away: %v, want %v", got, want)
		}
	}
	for seq := range ledger.Seq(100) {
		if r.turnedAway(at(seq + 2)) {
			t.Fatal("others count, too")
		}
	}
}
