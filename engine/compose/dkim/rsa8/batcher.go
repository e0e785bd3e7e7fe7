package rsa8

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// MaxLinger is the longest that a batcher may wait for a batch to fill.
const MaxLinger = 2 * time.Millisecond

// DefaultLinger is about what three batches take: waiting longer fills lanes
// with what would have waited anyway.
const DefaultLinger = time.Millisecond

// ErrClosed is what Sign returns on a closed batcher.
var ErrClosed = errors.New("RSA batcher is closed")

// Options of a batcher; the zero value has sound defaults.
type Options struct {
	// Workers is how many goroutines sign, 1 to 1024; 0 is one per processor
	// that Go may use.
	Workers int
	// Linger is how long the first job of a batch waits for the batch to fill,
	// up to MaxLinger; 0 is DefaultLinger. Under load batches are full and
	// nobody waits.
	Linger time.Duration
}

// Batcher gathers the jobs of many goroutines into batches of eight.
//
// Invariants. Jobs wait in two queues, those for the lanes and those for
// crypto/rsa, each first in, first out. One worker at a time
// gathers (it holds gathering), so that there is never more than one partial
// batch; it leaves with what it will sign and the next one begins to gather. A
// job belongs to its caller again once the call it came with has counted it as
// done, and Sign returns no earlier, so no worker ever touches a signature
// whose caller has gone on. The queues need no bound of their own: every job
// in them has a caller that waits.
//
// The obvious design, a channel of jobs that each worker reads eight from, gave
// as many partial batches as workers and could not take back the jobs of a
// cancelled caller.
type Batcher struct {
	linger    time.Duration
	gathering chan struct{} // holds one token
	wake      chan struct{} // holds at most one: the queue is not what it was
	workers   sync.WaitGroup

	// calls keeps calls for reuse. It is the batcher's own because a channel
	// made in a test's bubble must stay there.
	calls sync.Pool

	mu     sync.Mutex
	eights queue // guarded by mu; for the lanes
	ones   queue // guarded by mu; for crypto/rsa
	closed bool  // guarded by mu
}

type queue []queued

// take moves the first n jobs to batch.
func (q *queue) take(batch []queued, n int) []queued {
	batch = append(batch, (*q)[:n]...)
	rest := copy(*q, (*q)[n:])
	clear((*q)[rest:])
	*q = (*q)[:rest]
	return batch
}

// drop removes a call's jobs and says how many there were.
func (q *queue) drop(c *call) int {
	before := len(*q)
	*q = slices.DeleteFunc(*q, func(x queued) bool { return x.call == c })
	return before - len(*q)
}

// queued is a job in the queue, with the call it came with.
type queued struct {
	job   *Job
	call  *call
	since time.Time
}

// call is one Sign that waits.
type call struct {
	left int           // jobs not done, guarded by Batcher.mu
	err  error         // the first, guarded by Batcher.mu
	done chan struct{} // gets one value when left is 0
}

// NewBatcher starts the workers. Close stops them.
func NewBatcher(o Options) (*Batcher, error) {
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Linger == 0 {
		o.Linger = DefaultLinger
	}
	if o.Workers < 1 || o.Workers > 1024 || o.Linger < 0 || o.Linger > MaxLinger {
		return nil, fmt.Errorf("RSA batcher: %d workers (1 to 1024), linger %v (0 to %v)", o.Workers, o.Linger, MaxLinger)
	}
	b := &Batcher{
		linger:    o.Linger,
		gathering: make(chan struct{}, 1),
		wake:      make(chan struct{}, 1),
	}
	b.calls.New = func() any { return &call{done: make(chan struct{}, 1)} }
	b.gathering <- struct{}{}
	b.workers.Add(o.Workers)
	for range o.Workers {
		go b.work()
	}
	return b, nil
}

// Sign makes all signatures and returns the first error. Any number of
// goroutines may call it, with any number of jobs. When ctx ends, jobs not yet
// begun are dropped and Sign returns once those begun are finished, a
// millisecond or so later; the jobs are the caller's again in any case.
func (b *Batcher) Sign(ctx context.Context, jobs []*Job) error {
	if len(jobs) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, j := range jobs {
		if err := j.check(); err != nil {
			return err
		}
	}
	c := b.calls.Get().(*call)
	c.left, c.err = len(jobs), nil
	now := time.Now()
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		b.calls.Put(c)
		return ErrClosed
	}
	for _, j := range jobs {
		if j.Key.lanes != nil {
			b.eights = append(b.eights, queued{j, c, now})
		} else {
			b.ones = append(b.ones, queued{j, c, now})
		}
	}
	b.mu.Unlock()
	b.signal()

	select {
	case <-c.done:
	case <-ctx.Done():
		b.withdraw(c, ctx.Err())
		<-c.done
	}
	b.mu.Lock()
	err := c.err
	b.mu.Unlock()
	b.calls.Put(c)
	return err
}

// signal wakes the gathering worker, if it sleeps.
func (b *Batcher) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// withdraw takes a call's jobs out of the queues.
func (b *Batcher) withdraw(c *call, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.eights.drop(c) + b.ones.drop(c); n > 0 {
		c.finish(n, err)
	}
}

// finish counts jobs as done. REQUIRES: Batcher.mu is held.
func (c *call) finish(n int, err error) {
	if c.err == nil {
		c.err = err
	}
	if c.left -= n; c.left == 0 {
		c.done <- struct{}{}
	}
}

// work signs until the batcher is closed and the queue is empty.
func (b *Batcher) work() {
	defer b.workers.Done()
	signer := NewSigner()
	var batch []queued
	var one [1]*Job
	jobs := make([]*Job, 0, lanes)
	for {
		<-b.gathering
		batch = b.gather(batch[:0])
		b.gathering <- struct{}{}
		if len(batch) == 0 {
			return
		}
		jobs = jobs[:0]
		for _, q := range batch {
			jobs = append(jobs, q.job)
		}
		err := signer.Sign(context.Background(), jobs)
		b.mu.Lock()
		if err == nil {
			for _, q := range batch {
				q.call.finish(1, nil)
			}
			b.mu.Unlock()
		} else {
			b.mu.Unlock()
			// The callers may be different ones: let each have its own error.
			for _, q := range batch {
				one[0] = q.job
				err := signer.Sign(context.Background(), one[:])
				b.mu.Lock()
				q.call.finish(1, err)
				b.mu.Unlock()
			}
		}
		clear(batch)
		clear(jobs)
	}
}

// gather waits for a batch: eight jobs for the lanes, or fewer when the first
// has waited for the linger, or one for crypto/rsa, which gains nothing from
// company. An empty batch means that the batcher is closed and done. REQUIRES:
// the caller holds gathering.
func (b *Batcher) gather(batch []queued) []queued {
	var timer *time.Timer
	for {
		b.mu.Lock()
		var wait time.Duration
		ready := 0
		if n := len(b.eights); n > 0 {
			wait = b.linger - time.Since(b.eights[0].since)
			if n >= lanes || wait <= 0 || b.closed {
				ready = min(n, lanes)
			}
		}
		switch {
		case len(b.ones) > 0 && (ready == 0 || b.ones[0].since.Before(b.eights[0].since)):
			batch = b.ones.take(batch, 1)
		case ready > 0:
			batch = b.eights.take(batch, ready)
		}
		closed := b.closed
		b.mu.Unlock()
		switch {
		case len(batch) > 0 || closed:
			return batch
		case wait == 0: // nothing is queued
			<-b.wake
		default:
			if timer == nil {
				timer = time.NewTimer(wait)
				defer timer.Stop()
			} else {
				timer.Reset(wait)
			}
			select {
			case <-b.wake:
			case <-timer.C:
			}
		}
	}
}

// Close signs what is queued, refuses what comes later, and returns when the
// workers have stopped. It may be called more than once.
func (b *Batcher) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.signal()
	b.workers.Wait()
}
