package pool

import "time"

// wanted is how many connections a backlog justifies: a recipient or two use
// one, a thousand use as many as the site allows by default.
func (l *Lane) wanted(backlog int) int {
	per := l.site.pool.opts.PerConnection
	return (backlog + per - 1) / per
}

// step is what a lane should do next to have the right size.
type step uint8

const (
	// content: nothing to do now; an event will ask again.
	content step = iota
	// dial: a place is reserved for the plan's target and source.
	dial
	// full: every source that could be used was refused a place.
	full
	// unreachable: every host rests, and that is news.
	unreachable
)

type plan struct {
	step   step
	to     *target
	source int
	until  time.Time // unreachable: when the first host has rested
	last   Failure   // unreachable: the last failure
}

// size connects until the lane has what its backlog justifies. served: it is the
// lane's turn, one place is taken and then it is the next lane's; the answer is
// false if the gates refused.
func (l *Lane) size(served bool) bool {
	s := l.site
	p := s.pool
	var (
		refused []bool
		wait    time.Duration
	)
	for {
		backlog := l.queue.Backlog()
		now := p.opts.Now()
		s.mu.Lock()
		todo := l.plan(now, backlog, refused)
		if todo.step == dial && !served && s.waiting() {
			// Others were here first.
			l.unreserve(todo.to, todo.source)
			s.enqueue(l, false)
			s.mu.Unlock()
			return true
		}
		var evict *Connection
		if todo.step == full {
			s.enqueue(l, served)
			evict = s.refused(wait)
		}
		s.mu.Unlock()

		switch todo.step {
		case content:
			return true
		case full:
			if evict != nil {
				evict.wake()
			}
			return false
		case unreachable:
			l.queue.Unreachable(todo.last, todo.until)
			return true
		case dial:
		}
		ok, again := s.gates[todo.source].Connect(now)
		if !ok {
			if refused == nil {
				refused = make([]bool, len(s.gates))
			}
			refused[todo.source] = true
			if wait == 0 || again > 0 && again < wait {
				wait = again
			}
			s.mu.Lock()
			l.unreserve(todo.to, todo.source)
			blocked := unblock(todo.to.state)
			s.mu.Unlock()
			for _, b := range blocked {
				if b != l {
					b.size(false)
				}
			}
			continue
		}
		p.dial.submit(&approach{lane: l, to: todo.to, source: todo.source})
		if served {
			s.mu.Lock()
			if s.waiting() && l.wanted(backlog) > l.places() {
				s.enqueue(l, false)
				s.mu.Unlock()
				return true
			}
			s.mu.Unlock()
		}
	}
}

// plan decides, and reserves what it decided on. refused sources are left out.
// REQUIRES: Site.mu is held.
//
// Among the usable hosts of the best preference it takes the one where the lane
// has the fewest places, and there the source with the fewest. Hosts of the next
// preference come in only when all better ones rest (RFC 5321 5.1); when one of
// those is just being probed, its answer is awaited.
func (l *Lane) plan(now time.Time, backlog int, refused []bool) plan {
	switch {
	case l.closed || l.queued || l.site.pool.draining.Load(),
		backlog <= 0,
		len(l.hungry) > 0, // more connections would only be hungry too
		l.places() >= l.wanted(backlog):
		return plan{}
	case now.Before(l.resting):
		return l.restNews()
	}
	if !l.resting.IsZero() {
		l.resting = time.Time{}
		l.restuck()
	}
	var (
		best    plan
		noPlace bool    // a usable source was refused
		held    bool    // a usable source has as many as its rate can use
		probed  *target // the least loaded host whose probe is under way
		until   time.Time
		last    Failure
	)
	n := len(l.targets)
	l.turn++
	for from := 0; from < n; {
		to := from + 1
		for to < n && l.targets[to].Preference == l.targets[from].Preference {
			to++
		}
		for i := range to - from {
			t := l.targets[from+(i+l.turn)%(to-from)]
			waitsForProbe := false
			for src := range l.site.gates {
				if l.site.pool.frozen[src].Load() {
					continue // as if it were none
				}
				st, rest := t.state.standing(src, now)
				switch st {
				case rests:
					if until.IsZero() || rest.Before(until) {
						until = rest
					}
					if !last.At.After(t.state.last.At) {
						last = t.state.last
					}
				case probing:
					waitsForProbe = true
				case usable:
					if refused != nil && refused[src] {
						noPlace = true
						continue
					}
					if l.bySource[src] > 0 && now.UnixNano() < l.heldTo[src].Load() {
						held = true
						continue
					}
					if best.to == nil || t.load < best.to.load ||
						t == best.to && l.bySource[src] < l.bySource[best.source] {
						best = plan{step: dial, to: t, source: src}
					}
				}
			}
			if waitsForProbe && (probed == nil || t.load < probed.load) {
				probed = t
			}
		}
		if best.to != nil {
			// The first host to answer must not get what is for both.
			if probed != nil && probed.load < best.to.load && now.Sub(probed.state.since) < probePatience {
				l.awaitProbe(probed.state)
				return plan{}
			}
			l.reserve(best.to, best.source, now)
			return best
		}
		if noPlace {
			return plan{step: full}
		}
		if held {
			return plan{}
		}
		if probed != nil {
			hosts := make([]*hostState, 0, to-from)
			for _, t := range l.targets[from:to] {
				if t.state.connecting > 0 {
					hosts = append(hosts, t.state)
				}
			}
			l.awaitProbe(hosts...)
			l.halted = true
			l.restuck()
			return plan{}
		}
		from = to
	}
	if until.IsZero() { // no hosts at all
		return plan{}
	}
	l.restUntil(until, now)
	l.restWhy, l.told = last, false
	return l.restNews()
}

// restNews is what to tell of a rest: that no host can be used is news once, and
// only if no connection is left either. REQUIRES: Site.mu is held.
func (l *Lane) restNews() plan {
	if l.told || l.places() > 0 {
		return plan{}
	}
	l.told = true
	return plan{step: unreachable, until: l.resting, last: l.restWhy}
}

// probePatience is how long an equal host's probe is waited for before the
// others get more than their share.
const probePatience = 500 * time.Millisecond

// restUntil lets the lane rest until the first host has rested. REQUIRES: Site.mu is held.
func (l *Lane) restUntil(until, now time.Time) {
	l.resting = until
	l.restuck()
	d := until.Sub(now)
	if l.rested == nil {
		l.rested = time.AfterFunc(d, l.rise)
	} else {
		l.rested.Reset(d)
	}
}

// rise ends a rest.
func (l *Lane) rise() {
	l.site.mu.Lock()
	// The timer and the clock of the rests need not agree to the nanosecond.
	if now := l.site.pool.opts.Now(); !now.Before(l.resting) {
		l.resting = time.Time{}
		l.restuck()
	} else if !l.closed {
		l.rested.Reset(l.resting.Sub(now))
	}
	l.site.mu.Unlock()
	l.size(false)
}
