package wire

import (
	"container/heap"
	"time"
)

// timers is a loop's deadlines: a heap ordered by when a connection must be
// looked at.
//
// A deadline moves with every reply, nearly always to later. So it is only a
// field of the connection; the heap keeps the time of the next look, and a look
// that comes too early puts the connection back. Moving a deadline to later
// costs an assignment, whatever the number of connections. A wheel, the usual
// answer, costs a slot change per message and a tick even when all is idle.
// Loop only, except that wake's function posts.
type timers struct {
	heap []*Conn
	// wake posts to the loop when the first look is due.
	wake *time.Timer
	// set is what wake is set to; 0: not set.
	set time.Duration
}

func (t *timers) Len() int           { return len(t.heap) }
func (t *timers) Less(i, j int) bool { return t.heap[i].look < t.heap[j].look }
func (t *timers) Swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.heap[i].place, t.heap[j].place = i+1, j+1
}
func (t *timers) Push(x any) {
	c := x.(*Conn)
	t.heap = append(t.heap, c)
	c.place = len(t.heap)
}
func (t *timers) Pop() any {
	last := len(t.heap) - 1
	c := t.heap[last]
	t.heap[last] = nil
	t.heap = t.heap[:last]
	c.place = 0
	return c
}

// schedule sees to it that c is looked at by its deadline.
func (t *timers) schedule(c *Conn, now time.Duration) {
	switch {
	case c.deadline == 0:
		return
	case c.place == 0:
		c.look = c.deadline
		heap.Push(t, c)
	case c.deadline < c.look:
		c.look = c.deadline
		heap.Fix(t, c.place-1)
	default:
		return
	}
	t.arm(now)
}

func (t *timers) remove(c *Conn) {
	if c.place != 0 {
		heap.Remove(t, c.place-1)
	}
}

// arm sets the wake-up for the first look.
func (t *timers) arm(now time.Duration) {
	if len(t.heap) == 0 {
		return
	}
	first := t.heap[0].look
	if t.set != 0 && t.set <= first {
		return
	}
	t.set = first
	t.wake.Reset(max(first-now, 0))
}

// fire looks at all connections that are due. Loop only.
func (l *loop) fire() {
	t := &l.timers
	t.set = 0
	for len(t.heap) > 0 && t.heap[0].look <= l.now {
		c := t.heap[0]
		if c.deadline > l.now {
			c.look = c.deadline
			heap.Fix(t, 0)
			continue
		}
		heap.Pop(t)
		if c.deadline != 0 {
			c.deadline = 0
			c.expired()
		}
	}
	t.arm(l.now)
}
