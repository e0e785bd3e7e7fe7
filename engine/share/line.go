package share

// Line is a queue in which those of one member keep their order, and the members
// take turns. What is taken out counts through Charge, or by whoever knows
// better what it was worth. Not safe for concurrent use.
type Line[K comparable, V any] struct {
	share  *Share[K]
	rows   map[*Member]*row[V]
	among  []*Member // those with something in line
	spare  []*row[V] // rows that are empty, for the next
	length int
}

// row is what one member has in line, from head on.
type row[V any] struct {
	items []V
	head  int
	index int // in among
}

// NewLine makes a line of which s decides the order.
func NewLine[K comparable, V any](s *Share[K]) *Line[K, V] {
	return &Line[K, V]{share: s, rows: make(map[*Member]*row[V])}
}

// Len is how many stand in line.
func (q *Line[K, V]) Len() int { return q.length }

// Push puts v behind all others of m.
func (q *Line[K, V]) Push(m *Member, v V) {
	r := q.row(m)
	r.items = append(r.items, v)
	q.length++
}

// PushFront puts v before all others of m.
func (q *Line[K, V]) PushFront(m *Member, v V) {
	r := q.row(m)
	if r.head == 0 {
		r.items = append(r.items, v)
		copy(r.items[1:], r.items)
		r.items[0] = v
	} else {
		r.head--
		r.items[r.head] = v
	}
	q.length++
}

func (q *Line[K, V]) row(m *Member) *row[V] {
	r := q.rows[m]
	if r == nil {
		if n := len(q.spare) - 1; n >= 0 {
			r, q.spare = q.spare[n], q.spare[:n]
		} else {
			r = new(row[V])
		}
		r.index = len(q.among)
		q.rows[m] = r
		q.among = append(q.among, m)
	}
	return r
}

// Pop takes out the first of the member whose turn it is. ok is false when
// nothing stands in line.
func (q *Line[K, V]) Pop() (v V, m *Member, t Turn, ok bool) {
	if q.length == 0 {
		return v, nil, t, false
	}
	if len(q.among) == 1 {
		t = Alone
	} else {
		t = q.share.Next(q.among)
	}
	m = q.among[t.Index]
	r := q.rows[m]
	v = r.pop()
	q.length--
	if r.head == len(r.items) {
		q.drop(m, r)
	}
	return v, m, t, true
}

// First is the one that Pop would take out, or another with as good a claim. ok
// is false when nothing stands in line.
func (q *Line[K, V]) First() (v V, m *Member, ok bool) {
	if q.length == 0 {
		return v, nil, false
	}
	m = q.among[0]
	if len(q.among) > 1 {
		m = q.among[q.share.Next(q.among).Index]
	}
	r := q.rows[m]
	return r.items[r.head], m, true
}

// drop takes a member out that has nothing in line any more.
func (q *Line[K, V]) drop(m *Member, r *row[V]) {
	last := len(q.among) - 1
	moved := q.among[last]
	q.among[r.index] = moved
	q.rows[moved].index = r.index
	q.among[last] = nil
	q.among = q.among[:last]
	delete(q.rows, m)
	r.items, r.head = r.items[:0], 0
	if cap(r.items) <= spareItems {
		q.spare = append(q.spare, r)
	}
}

// spareItems is how much of a row's memory is kept for the next that stands in
// line: enough that a short line costs no allocation, no more.
const spareItems = 256

func (r *row[V]) pop() V {
	var zero V
	v := r.items[r.head]
	r.items[r.head] = zero
	r.head++
	if r.head > 64 && r.head*2 > len(r.items) {
		n := copy(r.items, r.items[r.head:])
		clear(r.items[n:])
		r.items, r.head = r.items[:n], 0
	}
	return v
}
