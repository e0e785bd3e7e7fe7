package throttle

import (
	"math"
	"time"
)

// Snapshot is how a limiter stands, for display.
type Snapshot struct {
	Site, Source string
	// Limits are the static ones that apply.
	Limits Limits
	// Open is connections now, Connections the most allowed now.
	Open, Connections int
	// MessageRate is the messages a second allowed now; 0: no limit.
	MessageRate float64
	// Achieved is the messages a second of the last seconds.
	Achieved float64
	// Learned: what is allowed now is less than the limits say, because the
	// site objected.
	Learned bool
	// RestsUntil is set while nothing goes out at all.
	RestsUntil time.Time
	// Probing: after a rest, one at a time until something went well.
	Probing bool
	// Reason is the last cause of Learned, RestsUntil or Probing: a Kind's
	// name, "unreachable", or what was given to Rest.
	Reason string
	// Since is when what Reason speaks of began, or grew worse. NextTry is when
	// the rest ends, or a lowered bound takes its next step up at the earliest;
	// zero: that time has come.
	Since, NextTry time.Time
}

// Snapshot is how the limiter stands at this moment.
func (l *Limiter) Snapshot(now time.Time) Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	phase := l.phaseAt(now)
	s := Snapshot{
		Site: l.key.Site, Source: l.key.Source, Limits: l.limits,
		Open: l.open, Connections: l.connections(),
		MessageRate: l.messageRate(), Achieved: l.meter.perSecond(now),
	}
	if math.IsInf(s.MessageRate, 1) {
		s.MessageRate = 0
	}
	if l.lesson == nil {
		return s
	}
	s.Learned = l.lesson.conns.learned() || l.lesson.rate.learned()
	s.Probing = phase == probing
	if phase == resting {
		s.RestsUntil = l.lesson.restUntil
	}
	if s.Learned || phase != running {
		s.Reason = l.lesson.why
		s.Since, s.NextTry = l.lesson.begun(), l.lesson.nextTry(now)
	}
	return s
}

// begun is when what holds the limiter back now began.
func (s *lesson) begun() (at time.Time) {
	if s.phase == resting {
		return s.restUntil.Add(-s.restSpan)
	}
	for _, w := range []*window{&s.conns, &s.rate} {
		if w.learned() && (at.IsZero() || w.cutAt.Before(at)) {
			at = w.cutAt
		}
	}
	return at
}

// nextTry is when more will be tried next, zero when it is now.
func (s *lesson) nextTry(now time.Time) (at time.Time) {
	if s.phase == resting {
		return s.restUntil
	}
	for _, w := range []*window{&s.conns, &s.rate} {
		if w.learned() && w.next.After(now) && (at.IsZero() || w.next.Before(at)) {
			at = w.next
		}
	}
	return at
}
