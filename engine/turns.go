package engine

import (
	"sync"
	"time"

	"github.com/penstock-mail/penstock/engine/share"
)

// turns hands work to goroutines that wait for it, in an order that shares their
// time among campaigns by weight and priority: one whose messages cost much to
// sign, or whose domains are slow to be looked up, holds up only itself. It is
// unbounded, because its users put each of their elements in at most once. Any
// goroutine.
type turns[T any] struct {
	shares *share.Share[*Run]

	mu     sync.Mutex
	filled sync.Cond
	line   *share.Line[*Run, T] // guarded by mu
	closed bool                 // guarded by mu
}

// turnTime is what one turn is reckoned to last at most: what a run is owed
// while it could not use its turns is a few times that.
const turnTime = 10 * time.Millisecond

func newTurns[T any]() *turns[T] {
	q := &turns[T]{shares: share.New[*Run](int(turnTime / time.Microsecond))}
	q.line = share.NewLine[*Run, T](q.shares)
	q.filled.L = &q.mu
	return q
}

// put has somebody work on v for r.
func (q *turns[T]) put(r *Run, v T) {
	m := q.member(r)
	q.mu.Lock()
	if !q.closed {
		q.line.Push(m, v)
		q.filled.Signal()
	}
	q.mu.Unlock()
}

// take waits for an element; ok is false once the queue is closed. spent must
// follow.
func (q *turns[T]) take() (v T, t share.Turn, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.line.Len() == 0 && !q.closed {
		q.filled.Wait()
	}
	if q.closed {
		return v, t, false
	}
	v, _, t, ok = q.line.Pop()
	return v, t, ok
}

// spent tells for whom the time of a turn went.
func (q *turns[T]) spent(t share.Turn, r *Run, took time.Duration) {
	q.shares.Take(q.member(r), max(1, int(took/time.Microsecond)), t)
}

func (q *turns[T]) member(r *Run) *share.Member {
	return q.shares.Member(r, r.settings.Priority, r.settings.Weight)
}

func (q *turns[T]) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.line.Len()
}

// leave forgets a run of which nothing stands in line any more.
func (q *turns[T]) leave(r *Run) { q.shares.Leave(r) }

// close ends all takes at once; what still waits is dropped.
func (q *turns[T]) close() {
	q.mu.Lock()
	q.closed = true
	q.filled.Broadcast()
	q.mu.Unlock()
}
