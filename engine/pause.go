package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/penstock-mail/penstock/engine/pause"
)

// Pauses is what is paused. Change it through Pause and Resume.
func (e *Engine) Pauses() *pause.Book { return e.pauses }

// Pause freezes a scope: once it returns no message of it is handed to a
// connection, what connections have already finishes and is recorded, and the
// pause is on disk. Recipients that were ready are handed back, so that none is
// uncertain should the process die; a retry that falls due waits, and time
// paused does not count towards expiry. A source that is paused has its part done
// by the others; with all of them paused everything is. pause.ErrInvalid: h cannot
// be kept. ErrNoSource. Any other error is the ledger's: it is paused then, but a restart may not know.
func (e *Engine) Pause(ctx context.Context, h pause.Hold) error {
	e.steering.Lock()
	defer e.steering.Unlock()
	if err := e.knowsScope(h.Scope); err != nil {
		return err
	}
	if err := e.pauses.Add(h); err != nil {
		return err
	}
	e.applyHolds(h.Scope)
	e.log.Info("paused", "scope", h.Scope.String(), "by", h.Who, "reason", h.Why)
	if err := e.ledger.Flush(ctx); err != nil {
		return fmt.Errorf("pause %s: %w", h.Scope, err)
	}
	return nil
}

// Resume ends who's pause of a scope, or with force everybody's; what nobody
// else holds goes on at once. pause.ErrNotHeld: there is none of his.
func (e *Engine) Resume(ctx context.Context, s pause.Scope, who string, force bool) error {
	e.steering.Lock()
	defer e.steering.Unlock()
	if err := e.pauses.Release(s, who, force, e.now()); err != nil {
		return err
	}
	if err := e.ledger.Flush(ctx); err != nil {
		return fmt.Errorf("resume %s: %w", s, err)
	}
	e.log.Info("resumed", "scope", s.String(), "by", who, "force", force)
	e.applyHolds(s)
	for _, r := range e.allRuns() {
		r.released()
	}
	return nil
}

// applyHolds has every lane within a scope look anew at what is held. One that
// drains takes nothing up anyway.
func (e *Engine) applyHolds(s pause.Scope) {
	if e.ctx.Err() != nil {
		return
	}
	if s.Source != "" {
		e.holdSources()
	}
	var lanes []*lane
	for _, l := range e.allLanes() {
		if s.Site == "" || s.Site == l.site.name {
			lanes = append(lanes, l)
		}
	}
	applyHolds(lanes...)
}

// applyHolds stops and lets go the flows that began or ended to be held. What
// was ready of those held goes back to the ledger: a pause may last for days,
// and whoever is leased when the process dies is uncertain. Only when nothing
// begins any more in all of them: handing back takes longer than holding.
func applyHolds(lanes ...*lane) {
	var unsent []*envelope
	for _, l := range lanes {
		unsent = l.applyHolds(unsent)
	}
	for _, u := range unsent {
		u.flow.lane.engine.handBack(u)
	}
	for _, l := range lanes {
		l.offer()
		l.wake()
	}
}

// applyHolds has the lane look anew at what is held, and appends what was ready
// of that.
func (l *lane) applyHolds(unsent []*envelope) []*envelope {
	l.mu.Lock()
	for r, f := range l.byRun {
		f.held = r.held(l.site)
	}
	for range l.ready.len() {
		env, _ := l.ready.pop()
		if !env.flow.held {
			l.ready.push(env)
			continue
		}
		l.readyBytes -= env.Size
		unsent = append(unsent, env)
	}
	l.foremost()
	l.mu.Unlock()
	return unsent
}

// held reports whether nothing of the run may begin at a site. What has expired
// in spite of a pause runs out.
func (r *Run) held(s *site) bool {
	if s == r.engine.refusals.site && r.settings.ExpireWhilePaused && r.expired("", r.engine.now()) {
		return r.cancelled.Load()
	}
	return r.cancelled.Load() || r.engine.pauses.Held(r.campaign.Name(), s.name) ||
		r.closed.Load() && s != r.engine.refusals.site // there nothing begins
}

// released tells a run that a pause has ended: it may be waiting to begin, and
// its expiry has moved.
func (r *Run) released() {
	select {
	case r.goOn <- struct{}{}:
	default:
	}
	r.mu.Lock()
	started := !r.expires.IsZero()
	r.mu.Unlock()
	if started {
		r.engine.expire(r)
	}
}

// awaitRelease waits until the campaign as a whole is neither paused nor outside
// of its windows; false when the run is to end instead.
func (r *Run) awaitRelease(ctx context.Context) bool {
	for (r.closed.Load() || r.engine.pauses.Held(r.campaign.Name(), "")) && !r.cancelled.Load() {
		select {
		case <-r.goOn:
		case <-ctx.Done():
			return false
		}
	}
	return !r.cancelled.Load()
}

// expiry is when the time is over of what the run has for a site: later by as
// long as that was paused, unless the campaign wants its time to run on. held: it
// is paused now, so that the time is not known.
func (r *Run) expiry(site string, now time.Time) (at time.Time, held bool) {
	r.mu.Lock()
	at = r.expires
	r.mu.Unlock()
	if at.IsZero() || r.settings.ExpireWhilePaused {
		return at, false
	}
	name, book := r.campaign.Name(), r.engine.pauses
	paused := book.Paused(name, site, at.Add(-r.settings.ExpireAfter), now)
	return at.Add(paused), book.Held(name, site)
}

// expired reports whether the time of what the run has for a site is over at
// now. What is paused does not expire.
func (r *Run) expired(site string, now time.Time) bool {
	at, held := r.expiry(site, now)
	return !held && !at.IsZero() && !now.Before(at)
}

// expiresBefore reports whether a retry at due would come too late.
func (r *Run) expiresBefore(site string, now, due time.Time) bool {
	at, held := r.expiry(site, now)
	return !held && !at.IsZero() && !due.Before(at)
}

// expireAgain sets the clock for the next expiry of the run: that of the
// campaign, or of a site that was paused on its own.
func (r *Run) expireAgain(lanes []*lane) {
	now := r.engine.now()
	var next time.Time
	consider := func(site string) {
		at, held := r.expiry(site, now)
		if !held && at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	consider("")
	for _, l := range lanes {
		consider(l.site.name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.onExpiry == nil || next.IsZero() || r.engine.ctx.Err() != nil {
		return
	}
	r.onExpiry.Reset(next.Sub(now))
}
