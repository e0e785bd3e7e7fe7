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
// A message begins where a connection has room in its window. Where it has none,
// the reason is what the replies wait for that are to come. Where it has, it
// lacks something: a grant, or a message, and then it is what that waits for.
// Connections on the way are as much of the reason as open ones.

// verdict is what a lane waits for, whoever's its next message is.
type verdict struct {
	// waits is all but the room for which there is no message; that is short, in
	// connections, and supply is what it waits for.
	waits  forecast.Waits
	short  float64
	supply forecast.Waits
}

// judge reads a lane's verdict. REQUIRES: l.mu held.
func (l *lane) judge(w *pool.Waits, now time.Time) (v verdict) {
	only := func(c forecast.Cause) verdict { return verdict{waits: forecast.Only(c)} }
	switch {
	case w.Gated > 0:
		return only(l.site.gate(now, forecast.RateLimit))
	case w.Looked == 0 && (w.Resting || now.Before(l.restUntil)):
		return only(forecast.Resting)
	case w.Looked == 0 && w.Connecting == 0 && w.Queued:
		return only(l.site.gate(now, forecast.ConnectionLimit))
	case w.Looked == 0 && w.Full:
		return only(forecast.ConnectionLimit)
	case w.Looked == 0:
		return only(forecast.Connecting)
	}
	v.waits = l.replies(w, now)
	scale := float32(w.Open) / float32(w.Looked)
	if l.ready.len() > 0 {
		v.waits[forecast.Processor] += (w.Hungry + w.Woken) * scale
		return v
	}
	v.waits[forecast.Processor] += w.Woken * scale
	if w.Hungry > 0 {
		v.short, v.supply = float64(w.Hungry*scale), l.supply(w, now)
	}
	return v
}

// replies is what full windows wait for, and connections on the way.
func (l *lane) replies(w *pool.Waits, now time.Time) (waits forecast.Waits) {
	scale := float32(w.Open) / float32(max(w.Looked, 1))
	if l.site.crowded(now) {
		waits[forecast.ConnectionLimit] = (w.RoundTrips + w.Answers) * scale
	} else {
		waits[forecast.RoundTrips], waits[forecast.FinalAnswer] = w.RoundTrips*scale, w.Answers*scale
	}
	if !w.Full {
		waits[forecast.Connecting] = float32(w.Connecting)
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

// judge says what the flow's next message waits for. REQUIRES: lane.mu held, and
// f is not held.
func (f *flow) judge(v *verdict) forecast.Waits {
	more := f.destinations.len() > 0 || f.reading > 0
	switch {
	case !more && f.reserved == 0:
		return forecast.Only(forecast.Nothing)
	case f.paced && (v.short > 0 || f.reserved == 0):
		return forecast.Only(forecast.MaxRate)
	}
	waits, supply := v.waits, v.supply
	if !more {
		supply = forecast.Only(forecast.Nothing)
	}
	waits.Add(&supply, v.short)
	return waits
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
	case r.closed.Load() || r.StartsAt().After(now):
		return forecast.Schedule
	case e.lookups.len() == 0 && e.resolving.Load() == 0:
		return forecast.Nothing
	case e.pool.Stats().Queued > farAhead:
		return forecast.Connecting // look-ups wait for the dials that stand in line
	}
	return forecast.DNS
}
