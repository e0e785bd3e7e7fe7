package engine

import (
	"container/heap"
	"sync"
	"time"
)

// timetable wakes destinations when their time has come. A destination stands
// in it at most once, at its earliest time: so a paused campaign with a million
// deferred recipients in one domain is one entry.
//
// One goroutine (run) fires; add may be called from any goroutine.
type timetable struct {
	mu     sync.Mutex
	heap   dueHeap // guarded by mu
	nudge  chan struct{}
	closed chan struct{}
}

func newTimetable() *timetable {
	return &timetable{nudge: make(chan struct{}, 1), closed: make(chan struct{})}
}

// add schedules d for at, or leaves it where it stands when that is earlier.
func (t *timetable) add(d *destination, at time.Time) {
	t.mu.Lock()
	switch {
	case d.slot < 0:
		d.due = at
		heap.Push(&t.heap, d)
	case at.Before(d.due):
		d.due = at
		heap.Fix(&t.heap, d.slot)
	}
	first := t.heap[0] == d
	t.mu.Unlock()
	if first {
		select {
		case t.nudge <- struct{}{}:
		default:
		}
	}
}

// standing is those that stand in it and are chosen, which is asked with the
// timetable locked.
func (t *timetable) standing(chosen func(*destination) bool) (all []*destination) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.heap {
		if chosen(d) {
			all = append(all, d)
		}
	}
	return all
}

// hasten has those of the destinations that stand in it still fired at now.
func (t *timetable) hasten(now time.Time, all []*destination) {
	t.mu.Lock()
	for _, d := range all {
		if d.slot >= 0 && d.due.After(now) {
			d.due = now
			heap.Fix(&t.heap, d.slot)
		}
	}
	t.mu.Unlock()
	select {
	case t.nudge <- struct{}{}:
	default:
	}
}

// run fires destinations until close.
func (t *timetable) run(fire func(*destination)) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		for {
			t.mu.Lock()
			if len(t.heap) == 0 {
				t.mu.Unlock()
				break
			}
			first := t.heap[0]
			if wait = time.Until(first.due); wait > 0 {
				t.mu.Unlock()
				break
			}
			heap.Pop(&t.heap)
			t.mu.Unlock()
			fire(first)
		}
		timer.Reset(wait)
		select {
		case <-t.closed:
			return
		case <-t.nudge:
		case <-timer.C:
		}
	}
}

func (t *timetable) close() { close(t.closed) }

type dueHeap []*destination

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}
func (h *dueHeap) Push(x any) {
	d := x.(*destination)
	d.slot = len(*h)
	*h = append(*h, d)
}
func (h *dueHeap) Pop() any {
	old := *h
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	d.slot = -1
	return d
}
