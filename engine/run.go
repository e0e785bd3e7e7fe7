package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/compose"
	"github.com/penstock-mail/penstock/engine/hours"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// Run is one campaign being sent.
type Run struct {
	engine   *Engine
	campaign *ledger.Campaign
	template *compose.Template
	settings campaign.Settings
	never    *campaign.Suppression // the campaign's own lists
	// signatures are put on every message; nil: none.
	signatures *signatures
	paced      *paced    // nil: no max_rate
	loaded     time.Time // Date of every message

	// since is when sending began, in nanoseconds of Unix time; 0 before that.
	since atomic.Int64

	// activity counts what keeps the run from being idle: the walk over its
	// domains, look-ups under way, active destinations, reserved recipients.
	activity atomic.Int64
	idle     chan struct{} // has an element when activity has come to 0
	finished chan struct{} // closed when every recipient has a final outcome
	finish   sync.Once

	turned  turned
	outside outside
	stream  *Stream // nil: all is loaded

	// cancelled: nothing of it begins any more.
	cancelled atomic.Bool
	// calendar is its windows; nil: it is always open. closed: it is outside of
	// them.
	calendar *hours.Calendar
	closed   atomic.Bool
	// goOn has an element when what begin waits for may have come.
	goOn chan struct{}

	// streaks: some breaker holds settlements back.
	streaks atomic.Bool

	mu sync.Mutex
	// startAt is when it begins; underway: it does, and cannot be put off
	// any more.
	// Guarded by mu.
	startAt  time.Time
	underway bool
	breakers map[string]*breaker // by site; guarded by mu
	// expires is when the time of what was never paused is over, zero until
	// sending begins. Guarded by mu, as is onExpiry.
	expires  time.Time
	onExpiry *time.Timer
}

// Idle is signalled each time nothing of the run is due or in flight.
func (r *Run) Idle() <-chan struct{} { return r.idle }

// Finished is closed when every recipient has a final outcome.
func (r *Run) Finished() <-chan struct{} { return r.finished }

// Campaign is what the run sends.
func (r *Run) Campaign() *ledger.Campaign { return r.campaign }

// begun is when sending began. Any goroutine, once something of it is sent.
func (r *Run) begun() time.Time { return time.Unix(0, r.since.Load()) }

// inDoubt is max_in_doubt: how many recipients per connection the campaign
// accepts as uncertain after a crash.
func (r *Run) inDoubt() int { return r.settings.MaxInDoubt }

// left takes n from activity.
func (r *Run) left(n int64) {
	if n != 0 && r.activity.Add(-n) == 0 {
		if r.cancelled.Load() {
			r.check()
		}
		select {
		case r.idle <- struct{}{}:
		default:
		}
	}
}

// schedule has d looked at again when its next retry is due.
func (r *Run) schedule(d *destination) {
	if due, ok := d.domain.NextDue(); ok {
		r.engine.scheduleAt(d, due)
	}
	if r.stream != nil && d.domain.Fresh() > 0 {
		r.engine.fire(d) // they came while it ran dry
	}
}

// scheduleAt has d looked at again at a time. What is due already counts as the
// run's activity at once, or the run would seem idle for a moment.
func (e *Engine) scheduleAt(d *destination, at time.Time) {
	if at.After(e.now()) {
		e.timetable.add(d, at)
		return
	}
	e.fire(d)
}

// begin waits for the campaign's time, then walks over its domains and routes
// those with work, look-ups running ahead in bounded parallel.
func (r *Run) begin(ctx context.Context) {
	if !r.await(ctx) {
		return
	}
	if err := r.campaign.MarkStarted(ctx, r.engine.now()); err != nil {
		if ctx.Err() == nil {
			r.engine.fail(err)
		}
		return
	}
	started := r.campaign.Totals().Started
	r.since.Store(started.UnixNano())
	r.mu.Lock()
	r.expires = started.Add(r.settings.ExpireAfter)
	// What waits for a connection that never comes must run out, too.
	r.onExpiry = time.AfterFunc(time.Until(r.expires), func() { r.engine.expire(r) })
	r.mu.Unlock()
	err := r.campaign.Domains(func(domain *ledger.Domain) bool {
		counts := domain.Counts()
		if counts[ledger.Pending]+counts[ledger.Deferred]+counts[ledger.Uncertain] == 0 {
			return true
		}
		d := r.destination(domain)
		switch due, waits := domain.NextDue(); {
		case domain.Fresh() > 0 || waits && !due.After(r.engine.now()):
			r.engine.aheadEnough(ctx)
			r.engine.route(d)
		case waits:
			r.engine.timetable.add(d, due)
		}
		return ctx.Err() == nil && !r.cancelled.Load()
	})
	if err != nil {
		r.engine.fail(err)
	}
	if r.stream != nil {
		r.follow(ctx)
	}
}

// check closes finished when nothing is left to do.
func (r *Run) check() {
	if r.campaign.Totals().Streaming {
		return // more rows are to come
	}
	cancelled := r.cancelled.Load()
	if cancelled && (r.activity.Load() != 0 || r.reading()) {
		return // what is on the wire ends first, and the load
	}
	counts, err := r.campaign.Counts()
	if err != nil {
		r.engine.fail(err)
		return
	}
	open := counts[ledger.Pending] + counts[ledger.Deferred]
	if r.settings.OnUncertain == campaign.RetryUncertain && !cancelled {
		open += counts[ledger.Uncertain]
	}
	if open > 0 {
		return
	}
	r.finish.Do(func() {
		// On a goroutine of its own: check is called by the ledger's writer,
		// which must not wait for itself.
		r.engine.tasks.Go(func() {
			if err := r.campaign.MarkFinished(context.Background(), r.engine.now()); err != nil {
				r.engine.fail(err)
			}
			close(r.finished)
		})
	})
}

// Done reports whether every recipient has a final outcome.
func (r *Run) Done() bool {
	select {
	case <-r.finished:
		return true
	default:
		return false
	}
}

// recipient is what the template needs to know of one.
func (r *Run) recipient(to *ledger.Recipient, domain []byte) compose.Recipient {
	return compose.Recipient{Seq: uint32(to.Seq), Local: to.Local, Domain: domain, Fields: to.Fields, Date: r.loaded}
}
