package engine

import "iter"

// fifo is a queue in a ring that grows as needed and keeps its memory.
// Not safe for concurrent use.
type fifo[T any] struct {
	ring []T
	head int
	n    int
}

func (f *fifo[T]) len() int { return f.n }

func (f *fifo[T]) push(v T) {
	if f.n == len(f.ring) {
		f.grow()
	}
	f.ring[(f.head+f.n)&(len(f.ring)-1)] = v
	f.n++
}

func (f *fifo[T]) pop() (v T, ok bool) {
	if f.n == 0 {
		return v, false
	}
	var zero T
	v = f.ring[f.head]
	f.ring[f.head] = zero
	f.head = (f.head + 1) & (len(f.ring) - 1)
	f.n--
	return v, true
}

// front is the element that pop would give. REQUIRES: len() > 0.
func (f *fifo[T]) front() T { return f.ring[f.head] }

// all goes through the elements from the front.
func (f *fifo[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range f.n {
			if !yield(f.ring[(f.head+i)&(len(f.ring)-1)]) {
				return
			}
		}
	}
}

func (f *fifo[T]) grow() {
	ring := make([]T, max(8, 2*len(f.ring)))
	for i := range f.n {
		ring[i] = f.ring[(f.head+i)&(len(f.ring)-1)]
	}
	f.ring, f.head = ring, 0
}
