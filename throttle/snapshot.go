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
	}
	return s
}
