package smtp

// ring is the messages in flight, oldest first. It grows by doubling and is as
// small as the window that was really used.
type ring struct {
	slots       []transaction // length: a power of two, or 0
	head, count int
}

// at is the i-th oldest; REQUIRES i < count, except that at(0) of an empty ring
// is nil.
func (r *ring) at(i int) *transaction {
	if r.count == 0 {
		return nil
	}
	return &r.slots[(r.head+i)&(len(r.slots)-1)]
}

// push returns a zero slot at the end. It moves the slots when it grows: no
// pointer from at survives it.
func (r *ring) push() *transaction {
	if r.count == len(r.slots) {
		slots := make([]transaction, max(2, 2*len(r.slots)))
		for i := range r.count {
			slots[i] = *r.at(i)
		}
		r.slots, r.head = slots, 0
	}
	r.count++
	return r.at(r.count - 1)
}

// pop frees the oldest slot and what it holds on to.
func (r *ring) pop() {
	r.slots[r.head] = transaction{}
	r.head = (r.head + 1) & (len(r.slots) - 1)
	r.count--
}
