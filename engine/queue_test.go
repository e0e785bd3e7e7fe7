package engine

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func TestFifoIsASlice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var f fifo[int]
		var model []int
		next := 1
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "n") {
					f.push(next)
					model = append(model, next)
					next++
				}
			},
			"pop": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "n") {
					v, ok := f.pop()
					if ok != (len(model) > 0) {
						t.Fatalf("pop: %v with %d elements", ok, len(model))
					}
					if !ok {
						if v != 0 {
							t.Fatalf("pop of nothing gave %d", v)
						}
						return
					}
					if v != model[0] {
						t.Fatalf("pop: %d, want %d", v, model[0])
					}
					model = model[1:]
				}
			},
			"": func(t *rapid.T) {
				if f.len() != len(model) {
					t.Fatalf("len %d, want %d", f.len(), len(model))
				}
				if got := slices.Collect(f.all()); !slices.Equal(got, model) {
					t.Fatalf("all: %v, want %v", got, model)
				}
				if len(model) > 0 && f.front() != model[0] {
					t.Fatalf("front %d, want %d", f.front(), model[0])
				}
				for range f.all() {
					break
				}
			},
		})
	})
}

func TestFifoKeepsItsMemoryAndLetsGoOfElements(t *testing.T) {
	var f fifo[*int]
	for range 8 {
		f.push(new(int))
	}
	if n := testing.AllocsPerRun(100, func() {
		for range 8 {
			v, _ := f.pop()
			f.push(v)
		}
	}); n > 0 {
		t.Errorf("%v allocations while it does not grow", n)
	}
	for range 8 {
		f.pop()
	}
	for i, v := range f.ring {
		if v != nil {
			t.Errorf("place %d still holds its element", i)
		}
	}
}

func TestQueueHandsOutEachOnce(t *testing.T) {
	t.Parallel()
	q := newQueue[int]()
	const n, takers = 1000, 4
	var mu sync.Mutex
	var got []int
	var wait, taken sync.WaitGroup
	taken.Add(n)
	for range takers {
		wait.Go(func() {
			for {
				v, ok := q.take()
				if !ok {
					return
				}
				mu.Lock()
				got = append(got, v)
				mu.Unlock()
				taken.Done()
			}
		})
	}
	for i := range n {
		q.put(i)
	}
	taken.Wait()
	q.close()
	wait.Wait()
	slices.Sort(got)
	for i, v := range got {
		if i != v {
			t.Fatalf("element %d is %d", i, v)
		}
	}
	q.put(1)
	if v, ok := q.take(); ok {
		t.Errorf("a closed queue gave %d", v)
	}
}

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
