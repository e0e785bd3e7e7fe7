package throttle

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Limiter holds one site to its limits for one source, and learns what it
// bears. It is what a pool asks before it connects and before it sends.
//
// Safe for concurrent use. No method blocks or waits; with nothing to hold
// back, Grant takes no lock.
type Limiter struct {
	throttle *Throttle
	key      Key
	budget   *budget // what its source is held to over all sites

	// free: nothing bounds messages now, and Grant need not look further.
	free atomic.Bool
	// perConnection is Limits.MessagesPerConnection.
	perConnection atomic.Int64
	// listed: in Throttle.changed.
	listed atomic.Bool

	mu     sync.Mutex
	limits Limits        // guarded by mu, as all below
	open   int           // connections
	dials  *rate.Limiter // nil: no limit
	sends  *rate.Limiter // the lower of the rule and what was learned; nil: no limit
	spare  int           // grants handed back; used before sends is asked
	meter  meter
	// lesson is nil as long as nothing was learned: most sites never object.
	lesson *lesson
}

// phase says how a limiter stands to its site.
type phase uint8

const (
	running phase = iota
	// resting: nothing goes out before lesson.restUntil.
	resting
	// probing: the rest is over; one connection and one message at a time
	// until something went well.
	probing
)

// probeWait is how long a probe may go unanswered before another may follow.
// probeAgain is when to ask whether the probe went well.
const (
	probeWait  = time.Minute
	probeAgain = time.Second
)

// Site and Source are what the limiter is for.
func (l *Limiter) Site() string   { return l.key.Site }
func (l *Limiter) Source() string { return l.key.Source }

// Connect asks for a place for one more connection. ok false: not now; ask
// again after wait, or when a place is free (a Disconnect, or OnRoom) if wait
// is 0. Each true is given back by exactly one Disconnect.
func (l *Limiter) Connect(now time.Time) (ok bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.phaseAt(now) {
	case resting:
		return false, l.lesson.restUntil.Sub(now)
	case probing:
		if outstanding(now, l.lesson.dialAt) {
			return false, probeAgain
		}
	case running:
		if l.open >= l.connections() {
			return false, 0
		}
	}
	if !l.budget.connect() {
		return false, 0
	}
	granted, wait := take(l.dials, now, 1)
	if granted == 0 {
		l.budget.disconnect()
		return false, wait
	}
	if l.lesson != nil && l.lesson.phase == probing {
		l.lesson.dialAt = now
	}
	l.open++
	return true, 0
}

// Disconnect gives a place back.
func (l *Limiter) Disconnect(time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Below zero would be the owner's mistake; a place too many must not come
	// of it.
	if l.open > 0 {
		l.open--
		l.budget.disconnect()
	}
}

// Grant asks to begin n messages; granted is 0 to n. When it is less than n,
// wait is how long until the next may begin.
func (l *Limiter) Grant(now time.Time, n int) (granted int, wait time.Duration) {
	if l.free.Load() {
		return n, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := n
	switch l.phaseAt(now) {
	case resting:
		return 0, l.lesson.restUntil.Sub(now)
	case probing:
		if outstanding(now, l.lesson.sendAt) {
			return 0, probeAgain
		}
		n = min(n, 1)
	case running:
	}
	allowed, wait := l.budget.grant(now, n)
	spare := min(l.spare, allowed)
	l.spare -= spare
	granted, again := take(l.sends, now, allowed-spare)
	granted += spare
	l.budget.refund(allowed - granted)
	if granted < allowed {
		wait = max(wait, again)
	}
	if granted > 0 && l.lesson != nil && l.lesson.phase == probing {
		l.lesson.sendAt = now
		if granted < asked {
			wait = probeAgain
		}
	}
	return granted, wait
}

// Refund gives back grants that were not used.
func (l *Limiter) Refund(_ time.Time, n int) {
	if l.free.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// x/time/rate takes tokens back only through reservations, so they wait
	// beside it; never more than it would hold itself.
	if l.sends != nil {
		l.spare = min(l.spare+n, l.sends.Burst())
	}
	l.budget.refund(n)
	if l.lesson != nil {
		l.lesson.sendAt = time.Time{}
	}
}

// MessagesPerConnection is the most messages one connection may carry.
func (l *Limiter) MessagesPerConnection() int { return int(l.perConnection.Load()) }

// setLimits applies a rule and reports whether it is another than before.
func (l *Limiter) setLimits(now time.Time, limits Limits) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits == limits {
		return false
	}
	l.limits = limits
	l.perConnection.Store(int64(limits.MessagesPerConnection))
	l.dials = retune(l.dials, now, limits.ConnectionRate.PerSecond())
	l.refresh(now)
	return true
}

// refresh brings sends and free in line with limits and lesson. REQUIRES: mu.
func (l *Limiter) refresh(now time.Time) {
	l.sends = retune(l.sends, now, l.messageRate())
	if l.sends == nil {
		l.spare = 0
	}
	l.free.Store(l.sends == nil && !l.budget.rated() && (l.lesson == nil || l.lesson.phase == running))
}

// connections is the most open at once now. REQUIRES: mu.
func (l *Limiter) connections() int {
	n := l.limits.Connections
	if l.lesson != nil && l.lesson.conns.bound < float64(n) {
		n = max(1, int(l.lesson.conns.bound))
	}
	return n
}

// messageRate is in messages a second, +Inf for no limit. REQUIRES: mu.
func (l *Limiter) messageRate() float64 {
	r := l.limits.MessageRate.PerSecond()
	if l.lesson != nil {
		r = min(r, l.lesson.rate.bound)
	}
	return r
}

// phaseAt notices the end of a rest. REQUIRES: mu.
func (l *Limiter) phaseAt(now time.Time) phase {
	s := l.lesson
	if s == nil {
		return running
	}
	if s.phase == resting && !now.Before(s.restUntil) {
		s.probe(now, l.limits.Connections)
	}
	return s.phase
}

// outstanding: a probe begun at that time still keeps the next back.
func outstanding(now, begun time.Time) bool {
	return !begun.IsZero() && now.Before(begun.Add(probeWait))
}

func (k Key) compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Site, o.Site), cmp.Compare(k.Source, o.Source))
}
