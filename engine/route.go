package engine

import (
	"context"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/mx"
	"github.com/penstock-mail/penstock/pool"
)

// route has d's hosts looked up; attach follows. It counts as activity of the
// run until then.
func (e *Engine) route(d *destination) {
	if !d.looking.CompareAndSwap(false, true) {
		d.missed.Store(true)
		return
	}
	d.run.activity.Add(1)
	e.lookups.put(d.run, d)
}

// farAhead is how many look-ups, or dials, may stand in line.
const farAhead = 1000

// aheadEnough waits while look-ups run far enough ahead: while a thousand dials
// stand in line, more domains would only fill memory. Sites that hold back do
// not stand in that line, so they never keep others from being looked up.
func (e *Engine) aheadEnough(ctx context.Context) {
	ahead := func() bool { return e.lookups.len() > farAhead || e.pool.Stats().Queued > farAhead }
	if !ahead() {
		return
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for ahead() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// lookup is one of the goroutines that ask the resolver. There are as many as
// look-ups may run side by side.
func (e *Engine) lookup(ctx context.Context) {
	for {
		d, turn, ok := e.lookups.take()
		if !ok {
			return
		}
		began := e.now()
		e.resolving.Add(1)
		for !e.attach(d, e.resolve(ctx, d.domain.Name())) {
			// Its lane was retired meanwhile: the next answer opens another.
		}
		e.resolving.Add(-1)
		d.looking.Store(false)
		if d.missed.Swap(false) {
			e.fire(d) // somebody wanted it routed again meanwhile
		}
		e.lookups.spent(turn, d.run, e.now().Sub(began))
		d.run.left(1)
	}
}

// resolve asks the resolver, which may know the answer.
func (e *Engine) resolve(ctx context.Context, domain string) mx.Answer {
	asked := time.Now()
	a := e.resolver.Resolve(ctx, domain)
	e.meters.looked(a.Status, time.Since(asked))
	return a
}

// attach sends d's recipients where the answer says. An answer that could not
// be found out holds the domain back and is one record, not one per recipient.
// ok is false when it must be looked up once more.
func (e *Engine) attach(d *destination, a mx.Answer) (ok bool) {
	now := e.now()
	if d.run.cancelled.Load() {
		return true
	}
	switch a.Status {
	case mx.Found:
		d.tries = 0
		d.setExpires(a.Expires)
		d.domain.SetSite(a.Route.Site)
		return e.join(d, e.laneFor(a.Route), now)
	case mx.NullMX:
		e.refuse(d, &unsent{code: 556, enhanced: [3]uint16{5, 1, 10}, text: a.Reason}) // RFC 7505 4.2
	case mx.NoDomain:
		e.refuse(d, &unsent{code: 550, enhanced: [3]uint16{5, 1, 2}, text: a.Reason}) // RFC 3463 3.2
	case mx.Prohibited:
		e.refuse(d, &unsent{code: 550, enhanced: [3]uint16{5, 4, 4}, text: a.Reason}) // RFC 3463 3.5
	default:
		if d.active.Load() {
			// It flows by its last answer, which does until the next one.
			d.setExpires(now.Add(staleFor))
			return true
		}
		retry := now.Add(e.troubleDelay(d))
		if e.overdue(d, now) {
			return true
		}
		e.log.Warn("domain cannot be looked up", "domain", a.Domain, "reason", a.Reason, "retry", retry)
		d.domain.SetTrouble(a.Reason, now, retry)
		e.timetable.add(d, retry)
	}
	return true
}

// overdue lets a domain whose campaign has expired run out: its recipients are
// settled instead of held back once more.
func (e *Engine) overdue(d *destination, now time.Time) bool {
	if !d.run.expired(d.domain.Site(), now) {
		return false
	}
	e.refuse(d, expiredVerdict)
	return true
}

// expire is called when a run's time is over, or may be: what waits in lanes
// is settled, but for what is paused or was.
// What waits for its retry was given none behind that time, and what is held
// back for trouble finds out when its rest ends.
func (e *Engine) expire(r *Run) {
	now, lanes := e.now(), e.allLanes()
	if r.settings.ExpireWhilePaused {
		applyHolds(e.refusals)
	}
	for _, l := range lanes {
		if l == e.refusals || !r.expired(l.site.name, now) {
			continue
		}
		idle, unsent := l.empty(r)
		for _, d := range idle {
			e.refuse(d, expiredVerdict)
			d.run.left(1)
		}
		for _, u := range unsent {
			e.settleUnsent(u, ledger.Expired, expiredVerdict)
		}
	}
	r.expireAgain(lanes)
}

// troubleDelay is how long to leave a domain alone that could not be looked
// up, longer each time.
func (e *Engine) troubleDelay(d *destination) time.Duration {
	d.tries = min(d.tries+1, 16)
	return e.backoff(d.run, int(d.tries))
}

// staleFor is how long a route still serves after DNS gave no answer.
const staleFor = time.Minute

// refuse bounces what d has and will have: it flows through a lane without
// connections, where each recipient is settled instead of sent.
func (e *Engine) refuse(d *destination, why *unsent) {
	d.refusal.Store(why)
	d.setExpires(e.now().Add(time.Hour))
	e.join(d, e.refusals, e.now()) // that lane never retires
}

// join puts d into l; ok is false when l was retired meanwhile.
func (e *Engine) join(d *destination, l *lane, now time.Time) (ok bool) {
	f := l.flowOf(d.run)
	if f == nil {
		return false
	}
	d.setFlow(f)
	return e.resume(d, f, now)
}

// resume lets d flow now, or when the rest of its lane, or of the site for its
// campaign, is over. ok is false when the lane was retired meanwhile.
func (e *Engine) resume(d *destination, f *flow, now time.Time) (ok bool) {
	if f.lane != e.refusals && d.run.expired(f.lane.site.name, now) {
		e.refuse(d, expiredVerdict) // it may be held, and nothing else would come
		return true
	}
	until, reason := d.run.restingUntil(f.lane.site)
	if lane, why := f.lane.restingUntil(); lane.After(until) {
		until, reason = lane, why
	}
	if until.After(now) {
		e.holdBack(d, reason, now, until)
		return true
	}
	if _, troubled := d.domain.Trouble(); troubled {
		d.domain.ClearTrouble()
	}
	if due, ok := d.domain.NextDue(); ok && due.After(now) {
		e.timetable.add(d, due)
	}
	return f.lane.activate(f, d, now)
}

// fire is called when d's time has come.
func (e *Engine) fire(d *destination) {
	now := e.now()
	if d.run.cancelled.Load() {
		return
	}
	if f := d.currentFlow(); f == nil || !now.Before(d.routeExpires()) || !e.resume(d, f, now) {
		e.route(d)
	}
}

// retire closes a lane that has neither connections nor work, and its site when
// that was its last: a list may have a hundred thousand of them. A few idle
// sites are kept for the display.
func (e *Engine) retire(l *lane) {
	if l.pool == nil || l.connections.Load() > 0 {
		return
	}
	e.routing.Lock()
	ok := l.retire()
	var idle *site
	if s := l.site; ok {
		delete(e.lanes, l.key)
		delete(s.lanes, l)
		if len(s.lanes) == 0 && len(e.sites) > keptSites {
			delete(e.sites, s.name)
			idle = s
		}
	}
	e.routing.Unlock()
	if ok {
		l.pool.Close()
	}
	if idle != nil {
		idle.pool.Close()
	}
}

// keptSites is how many sites stay known that have nothing to do.
const keptSites = 1000

// laneFor gives the lane of a route, opened when there is none.
func (e *Engine) laneFor(r *mx.Route) *lane {
	key := r.Site + "\x00" + r.Key
	e.routing.Lock()
	defer e.routing.Unlock()
	l := e.lanes[key]
	if l == nil {
		s := e.siteFor(r.Site)
		l = &lane{engine: e, site: s, key: key}
		l.pool = s.pool.Lane(hosts(r), l, pool.LaneOptions{})
		l.pool.Data = l
		e.lanes[key] = l
		s.lanes[l] = struct{}{}
		return l
	}
	l.pool.Retarget(hosts(r))
	return l
}

func hosts(r *mx.Route) []pool.Host {
	hosts := make([]pool.Host, len(r.Hosts))
	for i, h := range r.Hosts {
		hosts[i] = pool.Host(h)
	}
	return hosts
}

// unreachable holds a lane back whose hosts all failed: its recipients lose
// nothing by it, and it is one record per domain.
func (e *Engine) unreachable(l *lane, f pool.Failure, retry time.Time) {
	now := e.now()
	reason := f.Error()
	l.site.replies.note(Reply{At: now, Code: f.Reply.Code, Text: reason})
	e.log.Warn("site cannot be reached", "site", l.site.name, "host", f.Host, "reason", reason, "retry", retry)
	e.restLane(l, reason, now, retry)
}

// restLane holds back what waits in a lane until the given time.
func (e *Engine) restLane(l *lane, reason string, now, until time.Time) {
	l.rest(reason, until)
	idle, unsent := l.empty(nil)
	for _, d := range idle {
		e.holdBack(d, reason, now, until)
		d.run.left(1)
	}
	for _, u := range unsent {
		e.handBack(u)
	}
}

// holdBack leaves a domain alone until the given time, unless its campaign has
// expired.
func (e *Engine) holdBack(d *destination, reason string, now, until time.Time) {
	if e.overdue(d, now) {
		return
	}
	d.domain.SetTrouble(reason, now, until)
	e.timetable.add(d, until)
}
