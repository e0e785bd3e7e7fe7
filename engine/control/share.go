package control

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// share keeps readers of events from slowing the sending down. While the log
// grows fast they are given a fixed part of the processor, all of them together,
// and fall behind; what they miss waits in the ledger, and they catch up as fast
// as they can once it grows slowly. Any goroutine.
type share struct {
	next       func() uint64
	busy, each float64 // events a second

	mu     sync.Mutex
	at     time.Time // of the last look; guarded by mu, as all below
	number uint64    // the log's end then
	growth float64   // events a second, of late
	debt   float64   // what was served and is not paid for
}

// For each processor: the log grows fast when it grows by busyGrowth events a
// second, and then busyShare events are read or sent a second. An event that is
// read, encoded, sent and taken in costs about 2 us, so that is some 4 % of a
// processor. busyGrowth is far below what sending reaches beside readers who are
// not held back, or they would never be.
const (
	busyGrowth = 1_000
	busyShare  = 20_000
)

// lookEvery is how often the growth is looked at.
const lookEvery = 200 * time.Millisecond

func newShare(next func() uint64) *share {
	n := float64(runtime.GOMAXPROCS(0))
	return &share{next: next, busy: busyGrowth * n, each: busyShare * n}
}

// spend takes note of events that were read or sent.
func (s *share) spend(events int, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(now)
	s.debt += float64(events)
}

// look brings growth and debt up to date. REQUIRES: mu.
func (s *share) look(now time.Time) {
	passed := now.Sub(s.at)
	if passed < lookEvery {
		return
	}
	number := s.next()
	if !s.at.IsZero() {
		s.growth = float64(number-s.number) / passed.Seconds()
	}
	s.debt = max(0, s.debt-s.each*passed.Seconds())
	s.at, s.number = now, number
}

// wait is how long a reader has to wait before his next page.
func (s *share) wait(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(now)
	if s.growth < s.busy {
		s.debt = 0
		return 0
	}
	// A quarter of a second's worth may be served at once.
	if over := s.debt - s.each/4; over > 0 {
		return max(time.Duration(over/s.each*float64(time.Second)), lookEvery)
	}
	return 0
}

// yield waits for a reader's turn.
func (s *share) yield(ctx context.Context) error {
	for {
		d := s.wait(time.Now())
		if d <= 0 {
			return nil
		}
		if err := pass(ctx, d); err != nil {
			return err
		}
	}
}

// pass lets time go by.
func pass(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
