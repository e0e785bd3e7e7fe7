package ledger

import (
	"context"
	"sync"
	"sync/atomic"
)

// eventTip is where the event log ends now. The writer moves it, and wakes
// those who wait with one closed channel; with nobody waiting that is one
// atomic store a group.
type eventTip struct {
	next    atomic.Uint64
	bytes   atomic.Uint64 // what all records ever took
	waiting atomic.Bool

	mu   sync.Mutex
	wake chan struct{} // guarded by mu; nil: nobody waits
}

// move is called by the writer after each group.
func (t *eventTip) move(log *eventLog) {
	t.bytes.Store(log.bytes)
	if t.next.Swap(log.next) == log.next || !t.waiting.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wake != nil {
		close(t.wake)
		t.wake = nil
	}
	t.waiting.Store(false)
}

// moved gives a channel that is closed when the log reaches beyond number; nil
// when it does.
func (t *eventTip) moved(number uint64) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Before the look at next: a move in between sees that somebody waits.
	t.waiting.Store(true)
	if t.next.Load() > number {
		return nil
	}
	if t.wake == nil {
		t.wake = make(chan struct{})
	}
	return t.wake
}

// EventRevision rises when what was read of the event log before may no longer
// be shown: an address was erased, or a campaign deleted.
func (l *Ledger) EventRevision() uint64 { return l.revision.Load() }

// NextEvent is the number that the next event will have.
func (l *Ledger) NextEvent() uint64 { return l.tip.next.Load() }

// AwaitEvent waits until the event with this number is on disk. ErrClosed: it
// will not come; or why writing failed, or ctx ended.
func (l *Ledger) AwaitEvent(ctx context.Context, number uint64) error {
	for {
		moved := l.tip.moved(number)
		if moved == nil {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.writer.failing:
			return l.writer.failure()
		case <-l.writer.done:
			if l.NextEvent() > number {
				return nil
			}
			return ErrClosed
		}
	}
}
