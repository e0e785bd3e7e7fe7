package engine

import (
	"time"

	"github.com/penstock-mail/penstock/engine/forecast"
	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/throttle"
)

// Why a lane's next message does not begin now, read from what is there anyway:
// nothing on a message's way counts or measures for it.
//
// A message begins where a connection has room. When one has, and does not use
// it, what it lacks is the reason: a grant, or a message, and then what the
// message waits for. When none has room, the reason is what the connections
// wait for, and those on the way.

// judge says what the lane's next message waits for, whoever's it is. dry: a
// connection has room and nothing to send. REQUIRES: l.mu held.
func (l *lane) judge(w *pool.Waits, now time.Time) (waits forecast.Waits, dry bool) {
	room := w.Hungry + w.Woken
	switch {
	case w.Gated > 0:
		return forecast.Only(l.site.gate(now, forecast.RateLimit)), false
	case w.Looked == 0 && (w.Resting || now.Before(l.restUntil)):
		return forecast.Only(forecast.Resting), false
	case w.Looked == 0 && w.Queued:
		return forecast.Only(l.site.gate(now, forecast.ConnectionLimit)), false
	case w.Looked == 0 && w.Full:
		return forecast.Only(forecast.ConnectionLimit), false
	case w.Looked == 0:
		return forecast.Only(forecast.Connecting), false
	case room > 0 && l.ready.len() > 0:
		return forecast.Only(forecast.Processor), false
	case room > 0:
		return l.supply(w, now), true
	}
	return l.replies(w, now), false
}

// replies is what connections without room wait for, and those on the way.
func (l *lane) replies(w *pool.Waits, now time.Time) (waits forecast.Waits) {
	if l.site.crowded(now) {
		return forecast.Only(forecast.ConnectionLimit)
	}
	share := float64(w.Open) / float64(max(w.Looked, 1))
	waits[forecast.RoundTrips] = float32(float64(w.RoundTrips) * share)
	waits[forecast.FinalAnswer] = float32(float64(w.Answers) * share)
	if !w.Full {
		waits[forecast.Connecting] = float32(w.Connecting)
	}
	if !waits.Known() {
		return forecast.Only(forecast.Processor)
	}
	return waits
}

// supply is what a lane waits for that has nothing ready: messages that are being
// prepared, or places under max_in_doubt. REQUIRES: l.mu held.
func (l *lane) supply(w *pool.Waits, now time.Time) (waits forecast.Waits) {
	if l.engine.held() {
		return forecast.Only(forecast.Disk)
	}
	if l.preparing.len() > 0 {
		// Both are under way from the start: that which takes longer is left.
		if l.preparing.front().waits.Load()&composing != 0 {
			return forecast.Only(forecast.Composing)
		}
		return forecast.Only(forecast.Disk)
	}
	if l.queued.Load() {
		return forecast.Only(forecast.Composing) // every worker is busy
	}
	if l.reserved > 0 && l.reserved >= l.limit() {
		// Places are free again when an outcome is on disk: part of them are on
		// the wire, the others on their way to the disk.
		flying := float64(min(w.InFlight, l.reserved)) / float64(l.reserved)
		replies := l.replies(w, now)
		waits.Add(&replies, flying)
		waits[forecast.Disk] += float32(1 - flying)
		return waits
	}
	return forecast.Only(forecast.Processor)
}

// judge says what the flow's next message waits for, given what its lane's does.
// REQUIRES: lane.mu held, and f is not held.
func (f *flow) judge(lane *forecast.Waits, dry bool) forecast.Waits {
	more := f.destinations.len() > 0 || f.reading > 0
	switch {
	case !more && (f.reserved == 0 || dry):
		return forecast.Only(forecast.Nothing)
	case f.paced && (dry || f.reserved == 0):
		return forecast.Only(forecast.MaxRate)
	}
	return *lane
}

// gate says why the site's limiters refuse: limit, or a rest.
func (s *site) gate(now time.Time, limit forecast.Cause) forecast.Cause {
	for _, l := range s.limiters {
		if snap := l.Snapshot(now); snap.RestsUntil.IsZero() && !snap.Probing {
			return limit
		}
	}
	return forecast.Resting
}

// crowded reports whether the site has all the connections that it may have, and
// that is fewer than usual: somebody, or the site itself, has seen to it.
func (s *site) crowded(now time.Time) bool {
	open, most := 0, 0
	for _, l := range s.limiters {
		snap := l.Snapshot(now)
		open += snap.Open
		most += snap.Connections
	}
	return open >= most && most < throttle.DefaultConnections*len(s.limiters)
}

// unplaced says what those of a run's recipients wait for who have not got to a
// lane: the run's begin, or a look-up.
func (r *Run) unplaced(now time.Time) forecast.Cause {
	e := r.engine
	switch {
	case e.pauses.Held(r.campaign.Name(), ""):
		return forecast.Paused
	case r.settings.StartAt.After(now):
		return forecast.Schedule
	case e.lookups.len() == 0 && e.resolving.Load() == 0:
		return forecast.Nothing
	case e.pool.Stats().Queued > farAhead:
		return forecast.Connecting // look-ups wait for the dials that stand in line
	}
	return forecast.DNS
}
