package throttle

import (
	"math"
	"time"
)

// Kind says what a reply that concerns us as a sender asks for.
type Kind uint8

const (
	// KindNone: nothing; the reply concerns a recipient or a message.
	KindNone Kind = iota
	// TooFast: fewer messages a second.
	TooFast
	// TooMany: fewer connections.
	TooMany
	// Reputation: they do not want us now; a long rest.
	Reputation
	// Busy: the other side is in trouble itself; fewer connections.
	Busy
)

var kindNames = [...]string{"none", "rate", "connections", "reputation", "busy"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Signal is what a limiter learns from.
type Signal struct {
	Kind Kind
	// RetryAfter is the rest that the server, or what is known of it, asks
	// for; 0: none.
	RetryAfter time.Duration
	// Hold is how long a bound that this signal lowered stays as it is; 0: the
	// usual time.
	Hold time.Duration
}

// backoff is the rest that follows when a site refuses everything: the first,
// doubled each time that the probe at its end meets the same, up to a bound.
type backoff struct{ first, most time.Duration }

// unreachable is the backoff for connections that come to nothing.
var unreachable = backoff{15 * time.Second, 30 * time.Minute}

var backoffs = [...]backoff{
	KindNone:   {},
	TooFast:    {30 * time.Second, time.Hour},
	TooMany:    {15 * time.Second, 30 * time.Minute},
	Reputation: {10 * time.Minute, 4 * time.Hour},
	Busy:       {30 * time.Second, 30 * time.Minute},
}

const (
	// maxHint bounds Signal.RetryAfter and Signal.Hold.
	maxHint = 24 * time.Hour
	// fewMisses: so many refusals in a row, and no fewer, can mean that a site
	// refuses everything. With more connections open it takes as many as
	// there are: one failed cohort, not one failure.
	fewMisses = 3
	// quiet is how long there must have been no clean answer besides, since
	// what was under way when the trouble began is all refused together;
	// manyCohorts of refusals mean it without that.
	quiet       = time.Second
	manyCohorts = 8
	// A server that is busy now and then is used as before. Only when about
	// one in ten answers says so does it count: each adds 1, each clean answer
	// takes busyRelief off, and at busyEnough the connections are cut.
	busyEnough = 3
	busyRelief = 0.1
	// slowest is the lowest rate learned: a message a minute.
	slowest = 1.0 / 60
	// rateSteps is how many steps lead from half a rate back to the whole.
	rateSteps = 10
)

// lesson is what a limiter learned. Guarded by Limiter.mu.
type lesson struct {
	conns, rate window

	phase     phase
	restUntil time.Time
	restSpan  time.Duration // the length of the last rest
	rests     int           // that followed one another without a recovery
	why       string        // the last cause, for people

	before         int       // connections allowed when the present trouble began
	misses         int       // refusals of us since the last clean answer
	cleanAt        time.Time // the last clean answer, while there is a lesson
	busy           float64   // see busyEnough
	dialAt, sendAt time.Time // probes without an answer yet
}

func newLesson() *lesson {
	free := window{bound: math.Inf(1)}
	return &lesson{conns: free, rate: free}
}

// blank: as good as nothing learned.
func (s *lesson) blank() bool {
	return s.phase == running && s.misses == 0 && s.busy == 0 && s.rests == 0 && !s.conns.learned() && !s.rate.learned()
}

// rest stops everything until then; used is the connections bound so far.
func (s *lesson) rest(now, until time.Time, why string) {
	if s.phase != resting {
		s.rests++
		s.restUntil = until
	} else if until.After(s.restUntil) {
		s.restUntil = until
	}
	s.phase, s.why, s.misses = resting, why, 0
	s.restSpan = s.restUntil.Sub(now)
	s.dialAt, s.sendAt = time.Time{}, time.Time{}
}

// probe ends the rest: from here on widening starts with one connection, and
// is quick up to half of what there was before; most is the static limit.
func (s *lesson) probe(now time.Time, most int) {
	if s.before > 0 {
		most = min(most, s.before)
	}
	s.phase, s.misses = probing, 0
	s.dialAt, s.sendAt = time.Time{}, time.Time{}
	s.conns.restart(now, float64(most), 1, 1)
}

// span is the next rest of this kind, at least the hint.
func (s *lesson) span(b backoff, hint time.Duration) time.Duration {
	if s.rests == 0 && hint > 0 {
		return min(hint, maxHint)
	}
	d := b.first
	for i := 0; i < s.rests && d < b.most; i++ {
		d *= 2
	}
	return max(min(d, b.most), min(hint, maxHint))
}

// Delivered tells that n messages got answers that do not concern us as a
// sender: accepted, or refused for a recipient's or a message's own sake.
func (l *Limiter) Delivered(now time.Time, n int) {
	l.mu.Lock()
	l.meter.add(now, n)
	if l.lesson == nil {
		l.mu.Unlock()
		return
	}
	changed := l.clean(now, n)
	l.mu.Unlock()
	if changed {
		l.throttle.noteChanged(l)
		l.throttle.room(l.key.Site)
	}
}

// clean lets what was learned recover. REQUIRES: mu.
func (l *Limiter) clean(now time.Time, n int) (changed bool) {
	s := l.lesson
	s.misses, s.cleanAt = 0, now
	s.busy = max(0, s.busy-busyRelief*float64(n))
	switch l.phaseAt(now) {
	case resting:
		// An answer that was under way when the rest began says nothing new.
		return false
	case probing:
		s.phase = running
		s.dialAt, s.sendAt = time.Time{}, time.Time{}
		changed = true
	case running:
	}
	if s.rests > 0 && now.Sub(s.restUntil) > s.restSpan {
		s.rests = 0
		changed = true
	}
	if s.conns.grow(now, float64(l.open), float64(l.limits.Connections)) {
		changed = true
	}
	s.rate.clean += float64(n)
	if s.rate.learned() && s.rate.grow(now, l.meter.perSecond(now), l.limits.MessageRate.PerSecond()) {
		changed = true
	}
	if s.blank() {
		l.lesson = nil
		changed = true
	}
	if changed {
		l.refresh(now)
	}
	return changed
}

// Deferred tells that a reply concerned us as a sender. It reports whether the
// limiter changed what it allows: worth a line in the log.
func (l *Limiter) Deferred(now time.Time, sig Signal) (changed bool) {
	if sig.Kind == KindNone || int(sig.Kind) >= len(backoffs) {
		return false
	}
	l.mu.Lock()
	changed = l.trouble(now, sig)
	if changed {
		l.refresh(now)
	}
	l.mu.Unlock()
	if changed {
		l.throttle.noteChanged(l)
	}
	return changed
}

// trouble narrows what is allowed. REQUIRES: mu.
func (l *Limiter) trouble(now time.Time, sig Signal) (changed bool) {
	s := l.learn()
	was := l.phaseAt(now)
	if was == running && s.misses == 0 {
		s.before = l.connections()
	}
	switch sig.Kind {
	case TooFast:
		// Nothing achieved yet tells nothing of what would be borne: one a
		// second is where the search begins.
		used := min(s.rate.bound, max(1, l.meter.perSecond(now)))
		changed = s.rate.cut(now, used, slowest, max(slowest, used/2/rateSteps))
		hold(&s.rate, now, sig.Hold)
	case Busy:
		if s.busy++; s.busy < busyEnough {
			break
		}
		s.busy = 0
		fallthrough
	case TooMany:
		changed = s.conns.cut(now, float64(max(1, min(l.open, l.connections()))), 1, 1)
		hold(&s.conns, now, sig.Hold)
	case Reputation, KindNone:
	}
	if changed {
		s.why = sig.Kind.String()
	}
	// In a rest only a longer hint says something new.
	if was == resting {
		until := now.Add(min(sig.RetryAfter, maxHint))
		if sig.RetryAfter > 0 && until.After(s.restUntil) {
			s.rest(now, until, sig.Kind.String())
			changed = true
		}
		return changed
	}
	cohort := max(fewMisses, l.open)
	if sig.Kind == TooMany {
		// Some being refused is what a limit looks like.
		cohort = max(cohort, l.limits.Connections)
	}
	told := sig.RetryAfter > 0 && sig.Kind != Busy
	if s.miss(now, cohort) || told || sig.Kind == Reputation || was == probing {
		span := s.span(backoffs[sig.Kind], sig.RetryAfter)
		s.rest(now, now.Add(span), sig.Kind.String())
		changed = true
	}
	return changed
}

// miss counts one refusal and reports whether everything is refused.
func (s *lesson) miss(now time.Time, cohort int) bool {
	s.misses++
	return s.misses >= cohort && (now.Sub(s.cleanAt) >= quiet || s.misses >= manyCohorts*cohort)
}

// hold keeps a bound that was just cut where it is for at least d.
func hold(w *window, now time.Time, d time.Duration) {
	if until := now.Add(min(d, maxHint)); w.cutAt.Equal(now) && until.After(w.next) {
		w.next = until
	}
}

// ConnectFailed tells that a connection came to nothing, without a reply that
// would say why. One host that is down is the pool's affair; when a whole
// cohort fails and nothing succeeds beside it, the site rests.
func (l *Limiter) ConnectFailed(now time.Time) (changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.learn()
	if l.phaseAt(now) == resting {
		return false
	}
	cohort := fewMisses
	if s.phase == running {
		cohort = max(cohort, l.open)
		if s.misses == 0 {
			s.before = l.connections()
		}
	}
	s.dialAt = time.Time{}
	if !s.miss(now, cohort) {
		return false
	}
	s.rest(now, now.Add(s.span(unreachable, 0)), "unreachable")
	l.refresh(now)
	l.throttle.noteChanged(l)
	return true
}

// Rest stops everything at the site for this source until then; at its end one
// probe goes first. A time that is not after now ends a rest.
func (l *Limiter) Rest(now, until time.Time, reason string) {
	l.mu.Lock()
	s := l.learn()
	ended := !until.After(now)
	if ended {
		if s.phase == resting {
			s.restUntil = now
			s.probe(now, l.limits.Connections)
		}
	} else {
		s.rest(now, until, reason)
		// Said by a person or a rule, not learned: it may also be shorter.
		s.restUntil, s.restSpan = until, until.Sub(now)
	}
	l.drop()
	l.refresh(now)
	l.mu.Unlock()
	l.throttle.noteChanged(l)
	if ended {
		l.throttle.room(l.key.Site)
	}
}

// Forget drops all that was learned.
func (l *Limiter) Forget(now time.Time) {
	l.mu.Lock()
	l.lesson = nil
	l.refresh(now)
	l.mu.Unlock()
	l.throttle.noteChanged(l)
	l.throttle.room(l.key.Site)
}

// learn gives the lesson to write into. REQUIRES: mu.
func (l *Limiter) learn() *lesson {
	if l.lesson == nil {
		l.lesson = newLesson()
		l.lesson.cleanAt = l.meter.at()
	}
	return l.lesson
}

// drop lets go of a lesson that says nothing. REQUIRES: mu.
func (l *Limiter) drop() {
	if l.lesson != nil && l.lesson.blank() {
		l.lesson = nil
	}
}
