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
	// Those looked at: Hungry ones had nothing to send, Gated ones were refused
	// a grant. The others have no room: they wait for replies, RoundTrips of them
	// for as long as a round trip takes, Answers for longer, for the final answer.
	// Woken ones have room and something to send, and wait for their event loop.
	Hungry, Gated, RoundTrips, Answers, Woken int
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
// loop at the end of a round, when it has changed. The low bits are one of these,
// the others, for an answer, when it is late, in microseconds since 1970.
const (
	settled   int64 = iota // nothing in flight, or it is leaving
	gated                  // the gate refused a grant
	roundTrip              // a reply to a command before the content
	answer                 // the reply to the content

	stanceBits = 2
	stanceMask = 1<<stanceBits - 1
)

// stand publishes the stance. Loop only.
func (c *Connection) stand() {
	var s int64
	switch {
	case c.quitting || c.ended:
		s = settled
	case !c.grantAt.IsZero():
		s = gated
	case c.awaited == smtp.End:
		// Until a round trip is over the answer cannot be there, however fast the
		// server. With chunking the content left long before its turn came.
		since := c.awaitedAt
		if c.session.Gear() == smtp.Chunking && len(c.flights) > 0 {
			since = c.flights[0].at
		}
		late := since.Add(c.roundTrip + c.roundTrip/4 + time.Millisecond)
		s = late.UnixMicro()<<stanceBits | answer
	case c.awaited != smtp.CommandUnset:
		s = roundTrip
	}
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
		w.InFlight += int(c.flying.Load())
		if c.hungry.Load() {
			w.Hungry++
			continue
		}
		switch s := c.stance.Load(); s & stanceMask {
		case gated:
			w.Gated++
		case roundTrip:
			w.RoundTrips++
		case answer:
			if now.UnixMicro() > s>>stanceBits {
				w.Answers++
			} else {
				w.RoundTrips++
			}
		default:
			w.Woken++
		}
	}
	w.InFlight = w.InFlight * n / seen
	return w
}
