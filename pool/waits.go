package pool

import (
	"math/rand/v2"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
)

// Waits is what a lane waits for at one moment. Of many connections only some are
// looked at: how many of those looked at stand where is a share of all.
type Waits struct {
	// Open is the connections that may carry messages, Looked those looked at.
	Open, Looked int
	// Those looked at, as sums of parts: the part of a connection's window that
	// is full counts by what its replies wait for, the part with room by what it
	// lacks.
	//
	// RoundTrips are replies that are not late yet, Answers final answers that
	// take longer than a round trip. Hungry is room for which the queue had
	// nothing, Woken room that the event loop has not come round to.
	RoundTrips, Answers, Hungry, Woken float32
	// Gated connections were refused a grant: whatever else they do, that is it.
	Gated int
	// InFlight is the messages unanswered on all open connections, or about so
	// many when not all were looked at.
	InFlight int
	// Connecting is places taken whose connection is not open yet.
	Connecting int
	// Queued: it waits for a place at the gates. Full: this process has all the
	// connections that it may have. Resting: no host can be used for a while.
	Queued, Full, Resting bool
}

// mostLooked bounds the connections looked at, and with that how long Site.mu is
// held.
const mostLooked = 64

// A connection's stance is what it waits for, for others to see: written by its
// loop at the end of a round, when it has changed. From the lowest bits: one of
// these, the room in its window, and, for an answer, when it is late, in
// microseconds since 1970.
const (
	leaves    int64 = iota // it takes nothing more
	gated                  // the gate refused a grant
	roundTrip              // nothing, or a reply to a command before the content
	answer                 // the reply to the content

	kindBits = 2
	roomBits = 8
	maxRoom  = 1<<roomBits - 1
)

// stand publishes the stance. Loop only.
func (c *Connection) stand() {
	s := roundTrip
	switch {
	case c.quitting || c.ended:
		s = leaves
	case !c.grantAt.IsZero():
		s = gated
	case c.awaited == smtp.End:
		// Until a round trip is over the answer cannot be there, however fast the
		// server. With chunking the content left long before its turn came.
		since := c.awaitedAt
		if c.session.Gear() == smtp.Chunking && len(c.flights) > 0 {
			since = c.flights[0].at
		}
		trip := time.Duration(c.to.state.trip.Load())
		late := since.Add(trip + trip/4 + time.Millisecond)
		s = late.UnixMicro()<<(kindBits+roomBits) | answer
	}
	s |= int64(min(c.session.Room(), maxRoom)) << kindBits
	if c.stance.Load() != s {
		c.stance.Store(s)
	}
}

// Waits looks at the lane. Any goroutine.
func (l *Lane) Waits() (w Waits) {
	p := l.site.pool
	now := p.opts.Now()
	w.Full = p.dial.pressed.Load()
	s := l.site
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Open = len(l.conns) - l.leaving
	w.Connecting = l.connecting
	w.Queued = l.queued
	w.Resting = !l.resting.IsZero() && now.Before(l.resting)
	n := len(l.conns)
	if n == 0 {
		return w
	}
	from := 0
	if n > mostLooked {
		from = rand.IntN(n)
	}
	seen := min(n, mostLooked)
	for i := range seen {
		c := l.conns[(from+i)%n]
		if c.leaving {
			continue
		}
		w.Looked++
		flying, s := c.flying.Load(), c.stance.Load()
		w.InFlight += int(flying)
		kind, room := s&(1<<kindBits-1), s>>kindBits&maxRoom
		full := float32(1)
		if room > 0 || flying == 0 {
			full = float32(flying) / float32(max(int64(flying)+room, 1))
		}
		switch kind {
		case leaves:
			w.Looked--
			continue
		case gated:
			w.Gated++
			continue
		case roundTrip:
			w.RoundTrips += full
		case answer:
			if now.UnixMicro() > s>>(kindBits+roomBits) {
				w.Answers += full
			} else {
				w.RoundTrips += full
			}
		}
		if c.hungry.Load() {
			w.Hungry += 1 - full
		} else {
			w.Woken += 1 - full
		}
	}
	w.InFlight = w.InFlight * n / seen
	return w
}
