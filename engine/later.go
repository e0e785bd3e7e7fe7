package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
)

// ErrBegun is the refusal to put off what has begun already.
var ErrBegun = errors.New("sending has begun")

// StartAt is Start at a time, which replaces start_at in the campaign's settings
// and is on disk when it returns; a time that is past is now. ErrBegun: at is to
// come, but something of it may have gone out. Other errors as Start. Any
// goroutine.
func (e *Engine) StartAt(ctx context.Context, c *ledger.Campaign, at time.Time) (*Run, error) {
	e.steering.Lock()
	defer e.steering.Unlock()
	r := e.Run(c.Name())
	if r != nil && r.Done() {
		r = nil
	}
	if err := e.startable(c); err != nil {
		return nil, err
	}
	if at.After(e.now()) {
		if began := c.Totals().Started; !began.IsZero() || r != nil && !r.putOff(at) {
			return nil, fmt.Errorf("start campaign %s at %s: %w; pause it and resume it then", c.Name(), at.Format(time.RFC3339), ErrBegun)
		}
	}
	settings, err := settingsOf(c)
	if err != nil {
		return nil, err
	}
	settings.StartAt, settings.OnDemand = at, false
	if err := c.SetSettings(ctx, settings.Encode()); err != nil {
		return nil, fmt.Errorf("start campaign %s later: %w", c.Name(), err)
	}
	if r != nil {
		r.putOff(at) // to now; one that has begun does not mind
	}
	return e.start(ctx, c)
}

// putOff sets when the run begins; false when it has begun.
func (r *Run) putOff(at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.underway {
		return false
	}
	r.startAt = at
	select {
	case r.goOn <- struct{}{}:
	default:
	}
	return true
}

// StartsAt is when the run begins, as far as its own time says; zero when it
// has begun or may. Any goroutine.
func (r *Run) StartsAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.underway {
		return time.Time{}
	}
	return r.startAt
}

// await waits for the campaign's time, for its release if it is paused as a
// whole, and for its window; false when the run is to end instead. From then on
// it cannot be put off.
func (r *Run) await(ctx context.Context) bool {
	for {
		at := r.StartsAt()
		wait := time.Until(at)
		if r.cancelled.Load() {
			return false
		}
		if wait <= 0 {
			if !r.awaitRelease(ctx) {
				return false
			}
			r.mu.Lock()
			r.underway = r.startAt.Equal(at) // or it was put off meanwhile
			begun := r.underway
			r.mu.Unlock()
			if begun {
				return true
			}
			continue
		}
		timer := time.NewTimer(min(wait, lookAgain))
		select {
		case <-timer.C:
		case <-r.goOn:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}
