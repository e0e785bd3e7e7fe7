package engine

import (
	"slices"
	"sync"
	"testing"
	"time"
)

func runOf(priority, weight int) *Run {
	r := new(Run)
	r.settings.Priority, r.settings.Weight = priority, weight
	return r
}

func TestTurnsHandOutEachOnce(t *testing.T) {
	t.Parallel()
	q := newTurns[int]()
	runs := []*Run{runOf(10, 100), runOf(10, 300), runOf(20, 100)}
	const n, takers = 1000, 4
	var mu sync.Mutex
	var got []int
	var wait, taken sync.WaitGroup
	taken.Add(n)
	for range takers {
		wait.Go(func() {
			for {
				v, turn, ok := q.take()
				if !ok {
					return
				}
				mu.Lock()
				got = append(got, v)
				mu.Unlock()
				q.spent(turn, runs[v%len(runs)], time.Millisecond)
				taken.Done()
			}
		})
	}
	for i := range n {
		q.put(runs[i%len(runs)], i)
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
	q.put(runs[0], 1)
	if v, _, ok := q.take(); ok {
		t.Errorf("a closed queue gave %d", v)
	}
}

// TestCostlyWorkHoldsUpOnlyItself: of two runs that always have work, the one
// whose work takes twenty times as long gets a twentieth as many turns, however
// much of it stands in line.
func TestCostlyWorkHoldsUpOnlyItself(t *testing.T) {
	t.Parallel()
	q := newTurns[*Run]()
	costly, cheap := runOf(10, 100), runOf(10, 100)
	for range 500 {
		q.put(costly, costly)
	}
	q.put(cheap, cheap)
	turns := map[*Run]int{}
	for range 2100 {
		r, turn, _ := q.take()
		took := 500 * time.Microsecond
		if r == costly {
			took = 10 * time.Millisecond
		}
		q.spent(turn, r, took)
		turns[r]++
		q.put(r, r)
	}
	if n := turns[costly]; n < 95 || n > 105 {
		t.Errorf("%d turns of 2,100 were the costly run's, want 100", n)
	}
}

// TestWhoLeavesIsForgotten: a process that sends for months stays small.
func TestWhoLeavesIsForgotten(t *testing.T) {
	t.Parallel()
	q := newTurns[int]()
	for range 100 {
		r := runOf(10, 100)
		q.put(r, 1)
		_, turn, _ := q.take()
		q.spent(turn, r, 0)
		q.leave(r)
	}
	late := runOf(10, 100)
	q.put(late, 1)
	if n := q.shares.Members(); n != 1 {
		t.Errorf("%d members are kept, want 1", n)
	}
}
