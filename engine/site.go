package engine

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/penstock-mail/penstock/engine/bounce"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/share"
	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/pool/smtp"
	"github.com/penstock-mail/penstock/throttle"
)

// site is the engine's end of one destination: its pool, its limiters by
// source, and what the display shows of it. Counters are of this process; the
// ledger has those that last.
type site struct {
	name     string
	pool     *pool.Site
	limiters map[string]*throttle.Limiter // by source; never changed
	lanes    map[*lane]struct{}           // guarded by Engine.routing
	// shares is how campaigns share the site, in recipients.
	shares *share.Share[*Run]
	// scarce: lanes wait for a place, so that whatever is sent costs others.
	scarce atomic.Bool

	sent, deferred, bounced, uncertain atomic.Uint64
	connections                        atomic.Int32
	replies                            replies
	tempo                              tempo
}

// sample is the counters as of now.
func (s *site) sample(now time.Time) sample {
	deferred := s.deferred.Load()
	return sample{at: now, answers: s.sent.Load() + deferred + s.bounced.Load() + s.uncertain.Load(), deferred: deferred}
}

// count takes an outcome for the display.
func (s *site) count(state ledger.State) {
	switch state {
	case ledger.Delivered:
		s.sent.Add(1)
	case ledger.Deferred:
		s.deferred.Add(1)
	case ledger.Uncertain:
		s.uncertain.Add(1)
	case ledger.Bounced, ledger.Expired:
		s.bounced.Add(1)
	case ledger.Pending, ledger.Suppressed, ledger.Cancelled:
	}
}

func (s *site) delivered(via *pool.Connection, now time.Time) {
	s.limiters[via.Source()].Delivered(now, 1)
}

// refused lets the limits learn from a refusal that concerns us as sender.
func (s *site) refused(via *pool.Connection, now time.Time, v *bounce.Verdict, out *smtp.Outcome) {
	reply := out.Reply.String()
	s.replies.note(Reply{At: now, Code: out.Reply.Code, Text: reply})
	limiter := s.limiters[via.Source()]
	if v.Signal.Kind != throttle.KindNone {
		if limiter.Deferred(now, v.Signal) {
			e := via.Lane().Data.(*lane).engine
			e.slowed(s, limiter, now, reply)
			e.restSite(s, now, reply)
		}
		return
	}
	// About the recipient, not about us: for the limits a clean answer.
	limiter.Delivered(now, 1)
}

// slowed logs and tells that a site objected and is sent less, or nothing for a while:
// who wonders why nothing moves finds it here.
func (e *Engine) slowed(s *site, l *throttle.Limiter, now time.Time, why string) {
	snap := l.Snapshot(now)
	e.log.Warn("site objects: its limits are lowered", "site", s.name, "source", l.Source(), "about", snap.Reason,
		"connections", snap.Connections, "messages_per_second", snap.MessageRate, "rests_until", snap.RestsUntil, "reply", why)
	e.tellBackoff(l, snap, now)
}

// restSite holds a site's lanes back when every source must leave it alone for a
// while: what waits is one record a domain then, and nothing of it stays leased.
func (e *Engine) restSite(s *site, now time.Time, why string) {
	var until time.Time
	for _, l := range s.limiters {
		rests := l.Snapshot(now).RestsUntil
		if rests.Before(now.Add(briefRest)) {
			return
		}
		if until.IsZero() || rests.Before(until) {
			until = rests
		}
	}
	for _, l := range e.lanesOf(s) {
		e.restLane(l, why, now, until)
	}
}

// briefRest is a rest that is waited for with everything ready.
const briefRest = 5 * time.Second

// siteFor gives the site of that name. REQUIRES: e.routing held.
func (e *Engine) siteFor(name string) *site {
	s := e.sites[name]
	if s != nil {
		return s
	}
	s = &site{name: name, limiters: make(map[string]*throttle.Limiter), lanes: make(map[*lane]struct{}), shares: share.New[*Run](batchSize)}
	top := e.config.Limits.Default.Gear
	if l, ok := e.config.Limits.Sites[name]; ok {
		top = l.Gear
	} else if l, ok := e.config.Limits.Domains[name]; ok {
		top = l.Gear
	}
	s.pool = e.pool.Site(name, func(from pool.Source) pool.Gate {
		s.limiters[from.Name] = e.throttle.Limiter(name, from.Name)
		return s.limiters[from.Name]
	}, pool.SiteOptions{TopGear: gear(top), Line: newPlaces(s)})
	s.tempo.take(sample{at: e.now()})
	e.sites[name] = s
	return s
}

// siteNamed is the site of that name that is dealt with now; nil: none.
func (e *Engine) siteNamed(name string) *site {
	e.routing.Lock()
	defer e.routing.Unlock()
	return e.sites[name]
}

// takeSamples measures every site's tempo.
func (e *Engine) takeSamples(now time.Time) {
	e.routing.Lock()
	sites := slices.Collect(maps.Values(e.sites))
	e.routing.Unlock()
	for _, s := range sites {
		s.tempo.take(s.sample(now))
	}
}

// ConnectFailed implements pool.Observer.
func (e *Engine) ConnectFailed(at *pool.Site, f pool.Failure) {
	s := e.siteNamed(at.Name())
	if s == nil {
		return
	}
	now := e.now()
	s.replies.note(Reply{At: now, Code: f.Reply.Code, Text: f.Error()})
	limiter := s.limiters[f.Source]
	if f.Reply.Code == 0 {
		if limiter.ConnectFailed(now) {
			e.slowed(s, limiter, now, f.Error())
		}
		return
	}
	// The greeting or EHLO was refused: that is about us, or about them, and
	// never about a recipient (RFC 5321 3.1).
	v := bounce.Judge(bounce.Facts{Site: s.name, Fate: smtp.NotAttempted, Command: f.Step, Reply: f.Reply, Err: f.Err, Fresh: true})
	if v.Signal.Kind != throttle.KindNone && limiter.Deferred(now, v.Signal) {
		e.slowed(s, limiter, now, f.Reply.String())
	}
}

// Opened implements pool.Observer.
func (e *Engine) Opened(_ *pool.Site, c *pool.Connection) {
	l := c.Lane().Data.(*lane)
	l.connections.Add(1)
	l.site.connections.Add(1)
	l.offer()
}

// Closed implements pool.Observer.
func (e *Engine) Closed(_ *pool.Site, c *pool.Connection, why error) {
	e.log.Debug("connection closed", "host", c.Host(), "source", c.Source(), "why", why)
	l := c.Lane().Data.(*lane)
	l.connections.Add(-1)
	l.site.connections.Add(-1)
	e.retire(l)
}

// Waited implements pool.Observer.
func (e *Engine) Waited(at pool.Step, took time.Duration) { e.meters.waited(at, took) }

// peer is the ledger's name for the other end of a connection, asked for once
// per connection.
func (e *Engine) peer(via *pool.Connection) *ledger.Peer {
	if p, ok := via.Peer.(*ledger.Peer); ok {
		return p
	}
	p := e.ledger.Peer(via.Host(), via.Addr(), via.Source(), via.TLS())
	via.Peer = p
	return p
}
