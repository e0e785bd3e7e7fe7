package pool

// Line is the order in which a site's lanes get places, where the gates have
// fewer than are wanted. Each lane stands in it at most once. Its methods are
// called with the site's lock held: they touch memory and return, and call
// nothing of this package.
type Line interface {
	// Len is how many lanes stand in line.
	Len() int
	// Push puts a lane in line. front: it was taken out for its turn just now and
	// refused, so that it is still its turn.
	Push(l *Lane, front bool)
	// Pop takes out the lane whose turn it is. REQUIRES: Len is not 0.
	Pop() *Lane
	// First is the lane that Pop would take out. REQUIRES: Len is not 0.
	First() *Lane
	// Ahead reports whether l, which has a place, has had so much more than its
	// share that it should leave it to the first in line. REQUIRES: Len is not 0.
	Ahead(l *Lane) bool
}

// lineUp is the Line of first come, first served. One that is taken out and put back in front moves
// nobody, however long the line is.
type lineUp struct {
	lanes []*Lane // from head on
	head  int
}

func (q *lineUp) Len() int { return len(q.lanes) - q.head }

func (q *lineUp) Push(l *Lane, front bool) {
	if !front {
		q.lanes = append(q.lanes, l)
		return
	}
	if q.head == 0 {
		q.lanes = append(q.lanes, nil)
		copy(q.lanes[1:], q.lanes)
		q.head = 1
	}
	q.head--
	q.lanes[q.head] = l
}

func (q *lineUp) First() *Lane { return q.lanes[q.head] }

func (q *lineUp) Ahead(*Lane) bool { return false }

func (q *lineUp) Pop() *Lane {
	l := q.lanes[q.head]
	q.lanes[q.head] = nil
	q.head++
	if q.head > 64 && q.head*2 > len(q.lanes) {
		n := copy(q.lanes, q.lanes[q.head:])
		clear(q.lanes[n:])
		q.lanes, q.head = q.lanes[:n], 0
	}
	return l
}
