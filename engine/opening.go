package engine

import (
	"context"
	"time"
)

// A run with windows (package hours) is closed outside of them: that holds its
// flows as a pause does, so that nothing begins, what is on the wire finishes,
// and who was ready is handed back. It is no pause: nobody has to end it, and the
// time of expire_after runs on, since it is the message that grows old. It begins
// to run when sending does, which is within a window.

// lookAgain is how long a clock on the wall is trusted to go on as it does: one
// that is set forward or back makes itself felt within this time.
const lookAgain = 30 * time.Second

// openings closes and opens runs as their windows say, until ctx ends.
func (e *Engine) openings(ctx context.Context) {
	timer := time.NewTimer(lookAgain)
	defer timer.Stop()
	for {
		next := lookAgain
		for _, r := range e.allRuns() {
			if change, ok := r.open(e.now()); ok {
				// Change goes by the wall, so the difference does.
				next = min(next, max(change.Sub(e.now()), time.Millisecond))
			}
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-e.opening:
		case <-timer.C:
		}
	}
}

// lookAtHours has openings look at the windows anew, of a run that begins.
func (e *Engine) lookAtHours() {
	select {
	case e.opening <- struct{}{}:
	default:
	}
}

// open opens or closes the run as its windows have it at now, and returns when
// they change next; ok is false when they never do.
func (r *Run) open(now time.Time) (change time.Time, ok bool) {
	if r.calendar == nil || r.Done() {
		return time.Time{}, false
	}
	open := r.calendar.Open(now)
	change, ok = r.calendar.Change(now)
	if r.closed.Swap(!open) == !open {
		return change, ok
	}
	e := r.engine
	if open {
		e.log.Info("campaign goes on: its window opens", "campaign", r.campaign.Name(), "until", change)
	} else {
		e.log.Info("campaign waits: its window closes", "campaign", r.campaign.Name(), "until", change)
	}
	applyHolds(e.allLanes()...)
	if open {
		r.released()
	}
	return change, ok
}

// Opens is when the run may go on that waits for its time: its start, or the next
// opening of its windows. ok is false when it waits for neither.
func (r *Run) Opens() (at time.Time, ok bool) {
	now := r.engine.now()
	at = now
	if start := r.StartsAt(); start.After(now) {
		at = start
	}
	if !r.calendar.Open(at) {
		return r.calendar.Change(at)
	}
	return at, at.After(now)
}
