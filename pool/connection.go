package pool

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
	"github.com/penstock-mail/penstock/pool/wire"
)

// Connection is one SMTP connection that became ready. The pointer is the same
// in every call of Queue and Observer. Its accessors may be called from any
// goroutine.
type Connection struct {
	// Peer belongs to the Observer: set in Opened, read in Settle and Closed,
	// all of which run on the connection's event loop.
	Peer any

	id     uint64
	lane   *Lane
	to     *target
	source int
	gate   Gate
	addr   netip.AddrPort
	tls    string
	opened time.Time
	gear   atomic.Uint32
	flying atomic.Int32 // len(flights)
	stance atomic.Int64 // what it waits for; see stand
	// hungry mirrors hungryAt for the loop, which need not take the lock to know.
	hungry atomic.Bool
	// dismissed: the lane was closed, the host is no longer the lane's, or the
	// place is wanted by others.
	dismissed atomic.Bool

	// Loop only.
	session  *smtp.Session
	ear      *ear // nil: nobody listens
	wc       *wire.Conn
	flights  []flight
	begun    int    // messages sent
	limit    int    // the most messages; 0: none
	nextLook int    // begun when limit is asked for next
	replies  uint64 // session.Replies when last looked
	answered bool   // a message got an answer
	quitting bool
	ended    bool
	why      error
	deadline time.Time // of the awaited reply, of a stalled write, or of being idle
	unsent   int       // what the socket had not taken when deadline was set
	idling   bool      // deadline is about being idle
	restDue  bool      // became hungry, and rest was not called since
	// The command whose reply is awaited, since when, and session.Replies when
	// that was looked at last.
	awaited   smtp.Command
	awaitedAt time.Time
	measured  uint64
	grantAt   time.Time // when the gate may grant the next message; zero: no matter

	// Under Site.mu.
	hungryAt           int // index in Lane.hungry + 1; 0: not in it
	idle               bool
	idlePrev, idleNext *Connection
	evicted            bool // counted in Site.evicting
	leaving            bool // counted in Lane.leaving
}

// flight is a message that was sent and is not settled.
type flight struct {
	m  *smtp.Message
	at time.Time
}

// Host is the server's name.
func (c *Connection) Host() string { return c.to.Name }

// Addr is the address connected to.
func (c *Connection) Addr() netip.AddrPort { return c.addr }

// Source is the name of the source connected from.
func (c *Connection) Source() string { return c.lane.site.pool.opts.Sources[c.source].Name }

// TLS is the protocol version, such as "TLS1.3"; empty: plain.
func (c *Connection) TLS() string { return c.tls }

// Opened is when it became ready.
func (c *Connection) Opened() time.Time { return c.opened }

// Gear is the gear it drives in now.
func (c *Connection) Gear() smtp.Gear { return smtp.Gear(c.gear.Load()) }

// Answered reports whether a message got an answer on it, other than a 421.
// Event loop only.
func (c *Connection) Answered() bool { return c.answered }

// Capabilities is what its server offers. They do not change.
func (c *Connection) Capabilities() *smtp.Capabilities { return c.session.Capabilities() }

// Lane is the lane that it serves.
func (c *Connection) Lane() *Lane { return c.lane }

// bench is what one round of work needs and no connection keeps.
type bench struct {
	events   []smtp.Event
	messages []*smtp.Message
	pieces   [][]byte
}

var benches = sync.Pool{New: func() any { return new(bench) }}

// OnOpen makes the connection known; the approach that led it here calls it. It is
// wire.Handler's.
func (c *Connection) OnOpen(wc *wire.Conn) {
	c.wc = wc
	s := c.lane.site
	s.mu.Lock()
	c.lane.joined(c)
	c.to.state.ready()
	blocked := unblock(c.to.state)
	s.mu.Unlock()
	c.gear.Store(uint32(c.session.Gear()))
	c.replies = c.session.Replies()
	c.measured = c.replies
	s.pool.opts.Observer.Opened(s, c)
	c.work()
	// The host has proven itself: now the rest of the connections.
	c.lane.size(false)
	for _, b := range blocked {
		if b != c.lane {
			b.size(false)
		}
	}
}

// OnBytes is wire.Handler's.
func (c *Connection) OnBytes(_ *wire.Conn, b []byte) {
	c.listen()
	c.session.Feed(b)
	c.work()
}

// OnWake comes when the queue has something, or when something was decided
// about the connection. It is wire.Handler's.
func (c *Connection) OnWake(*wire.Conn) {
	c.listen()
	c.grantAt = time.Time{}
	c.work()
	if c.quitting || c.ended {
		c.lane.wakeOne() // it could not be used here
	}
}

// OnTimer is wire.Handler's.
func (c *Connection) OnTimer(*wire.Conn) {
	c.listen()
	now := c.now()
	if !c.grantAt.IsZero() && !now.Before(c.grantAt) {
		c.grantAt = time.Time{}
	}
	if !c.deadline.IsZero() && !now.Before(c.deadline) {
		c.deadline = time.Time{}
		switch {
		case c.idling:
			c.quit()
		case c.unsent > 0 && c.wc.Unsent() < c.unsent:
			// The write makes progress: the reply cannot be due.
		default:
			c.session.Lost(smtp.ErrTimeout)
		}
	}
	c.work()
}

// OnClose settles what is left and makes room. It is wire.Handler's.
func (c *Connection) OnClose(_ *wire.Conn, err error) {
	if !c.ended {
		if errors.Is(err, io.EOF) {
			err = errClosedByPeer
		}
		c.session.Lost(err)
		b := benches.Get().(*bench)
		c.events(b, c.now())
		benches.Put(b)
	}
	if c.why != nil {
		c.ear.note("closed: " + c.why.Error())
	} else {
		c.ear.note("closed")
	}
	c.leave()
}

var errClosedByPeer = errors.New("server closed the connection")

func (c *Connection) now() time.Time { return c.lane.site.pool.opts.Now() }

// wake runs OnWake on the loop. Any goroutine.
func (c *Connection) wake() { c.wc.Wake() }

// work does one round: events, the next messages, what is to be written, the
// next deadline.
func (c *Connection) work() {
	b := benches.Get().(*bench)
	now := c.now()
	c.events(b, now)
	for !c.ended {
		c.pull(b, now)
		if c.drained() {
			c.quit()
		}
		b.pieces = c.session.Output(b.pieces[:0])
		if len(b.pieces) > 0 {
			c.wc.Write(b.pieces)
			c.session.Written()
		}
		clear(b.pieces)
		// Send settles at once what the server cannot take, and Quit may end it.
		if !c.events(b, now) {
			break
		}
	}
	benches.Put(b)
	c.measure(now)
	c.stand()
	if !c.ended {
		c.setTimer(now)
	}
}

// events takes the session's events; true if there were any.
func (c *Connection) events(b *bench, now time.Time) bool {
	b.events = c.session.Events(b.events[:0])
	for i := range b.events {
		e := &b.events[i]
		switch e.Kind {
		case smtp.Settled:
			c.settle(e, now)
		case smtp.GearChanged:
			c.gear.Store(uint32(e.Gear))
			remember(&c.lane.site.pool.opts, c.to.Name, e)
		case smtp.Failed, smtp.Closed:
			if e.Outcome.Reply.Code != 0 || e.Outcome.Err != nil {
				c.why = c.failure(&e.Outcome, now)
			}
			if e.Kind == smtp.Closed && !c.ended {
				c.ended = true
				c.wc.Close()
			}
		case smtp.EventUnset, smtp.Ready, smtp.Handshake:
			// The approach's.
		}
	}
	n := len(b.events)
	clear(b.events)
	return n > 0
}

func (c *Connection) failure(out *smtp.Outcome, now time.Time) *Failure {
	return &Failure{
		Host: c.to.Name, Addr: c.addr, Source: c.Source(), At: now,
		Step: out.Command, Reply: out.Reply, Err: out.Err,
	}
}

// settle hands a message's fate to the queue.
func (c *Connection) settle(e *smtp.Event, now time.Time) {
	i := slices.IndexFunc(c.flights, func(f flight) bool { return f.m == e.Message })
	if i < 0 {
		return // told already: the queue hears of each message once
	}
	took := now.Sub(c.flights[i].at)
	c.flights = slices.Delete(c.flights, i, i+1)
	c.flying.Store(int32(len(c.flights)))
	// A 421 is an answer to its message, but no sign of a host that works.
	if !c.answered && (e.Outcome.Fate == smtp.Delivered || e.Outcome.Fate == smtp.Refused && e.Outcome.Reply.Code != 421) {
		c.answered = true
		c.lane.site.mu.Lock()
		c.to.state.answered(c.source)
		c.lane.site.mu.Unlock()
	}
	c.lane.queue.Settle(c, e.Message, &e.Outcome, took)
}

// quit ends the connection in order, when all in flight is answered.
func (c *Connection) quit() {
	if c.quitting || c.ended {
		return
	}
	c.quitting = true
	l := c.lane
	l.site.mu.Lock()
	l.sated(c)
	l.site.unidle(c)
	c.leaving = true
	l.leaving++
	l.counted()
	l.site.mu.Unlock()
	c.session.Quit()
	// Its successor need not wait for the answer to QUIT.
	l.grow()
}

// leave gives everything back.
func (c *Connection) leave() {
	l, s := c.lane, c.lane.site
	p := s.pool
	now := p.opts.Now()
	// The session settles all; should it not, the queue still hears.
	for _, f := range c.flights {
		l.queue.Settle(c, f.m, &smtp.Outcome{Fate: smtp.Uncertain, Err: c.why}, now.Sub(f.at))
	}
	c.flights = nil
	c.flying.Store(0)

	fail, _ := c.why.(*Failure)
	s.mu.Lock()
	l.sated(c)
	s.unidle(c)
	if c.evicted {
		s.evicting--
	}
	// Ready is not yet useful: a host that hangs up before it has answered one
	// message must not be dialled again and again.
	if fail != nil && !c.answered && !c.quitting && (c.begun > 0 || now.Sub(c.opened) < shortLife) {
		c.to.state.fail(*fail, c.source, now, &p.opts)
	}
	l.left(c)
	s.mu.Unlock()
	c.gate.Disconnect(now)
	p.opts.Observer.Closed(s, c, c.why)
	p.dial.leave()
	s.moveOn(l, nil)
	if l.nHungry.Load() > 0 {
		l.wakeOne() // what it gave back, or was woken for, is there for another
	}
}

// shortLife: a connection that the server ends sooner, unused, was of no use.
const shortLife = 5 * time.Second
