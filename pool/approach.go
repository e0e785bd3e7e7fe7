package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
	"github.com/penstock-mail/penstock/pool/wire"
)

// approach is one try to make a connection useful: connect, greeting, EHLO,
// STARTTLS, handshake, EHLO. An event loop leads it, as the connection's handler,
// up to the Connection that takes its place, or a Failure; only a handshake has a
// goroutine for its time. While it lives it holds a place at the gate, in the
// lane and at the host.
type approach struct {
	lane   *Lane
	to     *target
	source int

	// slot: it holds one of the dialer's slots. Under dialer.mu.
	slot bool

	try
}

// try is an approach's state. It belongs to whoever leads it, one at a time: the
// event loop, or the goroutine of a handshake.
type try struct {
	id      uint64
	ear     *ear // nil: nobody listens
	started time.Time
	// next is the index in to.Addrs of the address after addr, which is tried now.
	next int
	addr netip.AddrPort
	// session is nil until a connection stands.
	session *smtp.Session
	link    *wire.SecureConn // not nil under TLS
	// began is when the step under way did; deadline is its end.
	began, deadline time.Time
	replies         uint64 // session.Replies when last looked
	why             *Failure
}

// start makes the try. Its end is told to the dialer.
func (a *approach) start() {
	p := a.lane.site.pool
	a.try = try{id: p.dialled.Add(1), started: p.opts.Now()}
	if p.ctx.Err() != nil || a.lane.shut() || p.frozen[a.source].Load() {
		p.dial.abandoned(a)
		return
	}
	a.connect()
}

// connect tries the host's next address. A host that answers has spoken for all
// of them.
func (a *approach) connect() {
	p := a.lane.site.pool
	o := &p.opts
	src := o.Sources[a.source]
	for ; a.next < len(a.to.Addrs); a.next++ {
		addr := a.to.Addrs[a.next]
		if src.Addr.IsValid() && src.Addr.Unmap().Is4() != addr.Addr().Unmap().Is4() {
			continue
		}
		a.next++
		a.addr, a.began = addr, o.Now()
		a.deadline = a.began.Add(o.ConnectTimeout)
		if o.Dial != nil {
			p.dial.spawn(a, func() { a.dial(src.Addr) })
			return
		}
		c, err := p.wire.Connect(src.Addr, addr, min(o.ConnectTimeout, a.patience(a.began)), a)
		if err != nil {
			p.dial.abandoned(a)
		} else if err := p.ctx.Err(); err != nil {
			c.Fail(err) // Drain may have looked before it was there
		}
		return
	}
	if a.why == nil {
		a.why = &Failure{Host: a.to.Name, Source: src.Name, Step: smtp.Connect, At: o.Now(), Err: errNoAddress}
	}
	a.failed()
}

// dial connects by Options.Dial.
func (a *approach) dial(from netip.Addr) {
	p := a.lane.site.pool
	nc, err := p.opts.Dial(p.ctx, from, a.addr, p.opts.ConnectTimeout)
	if err == nil {
		err = p.wire.Enroll(nc, a)
	}
	if err != nil {
		a.unconnected(err)
	}
}

// patience is how long from now until the slot is given back.
func (a *approach) patience(now time.Time) time.Duration {
	return max(a.started.Add(slotPatience).Sub(now), 1)
}

// unconnected takes the end of a connect that failed.
func (a *approach) unconnected(err error) {
	p := a.lane.site.pool
	o := &p.opts
	if errors.Is(err, syscall.EADDRNOTAVAIL) && a.addr.Addr().Is6() && !p.ipv6.Load() {
		// Linux says so, too, on a machine without any IPv6 address: no
		// matter of ports. The text stays, the number must not.
		err = errors.New(err.Error())
	}
	switch {
	case wire.Exhausted(err):
		p.dial.exhaust(a)
	case p.ctx.Err() != nil:
		p.dial.abandoned(a)
	default:
		a.why = &Failure{Host: a.to.Name, Addr: a.addr, Source: o.Sources[a.source].Name, Step: smtp.Connect, At: o.Now(), Err: err}
		a.connect()
	}
}

// abandon gives the reservation back, without fault.
func (a *approach) abandon() {
	s := a.lane.site
	now := s.pool.opts.Now()
	s.mu.Lock()
	a.lane.unreserve(a.to, a.source)
	blocked := unblock(a.to.state)
	s.mu.Unlock()
	s.gates[a.source].Disconnect(now)
	s.moveOn(a.lane, blocked)
}

// failed tells of the failure and lets the lane go on, to the next host.
func (a *approach) failed() {
	a.noteEnd()
	f := *a.why
	s := a.lane.site
	p := s.pool
	// Under an opportunistic policy a host whose TLS does not work is not a
	// host that does not work: the next connection goes plain.
	plainNext := f.Step == smtp.StartTLS && f.Reply.Code == 0 && errors.Is(f.Err, errHandshake) && a.tlsMode() == smtp.TLSOpportunistic
	if plainNext {
		t := p.opts.Memory.Recall(f.Host, f.At)
		t.Plain = true
		t.Reason = f.Err.Error()
		t.Until = f.At.Add(p.opts.TraitsAge)
		p.opts.Memory.Remember(f.Host, t)
	}
	s.mu.Lock()
	a.lane.unreserve(a.to, a.source)
	if plainNext {
		a.to.state.last = f
	} else {
		a.to.state.fail(f, a.source, f.At, &p.opts)
	}
	blocked := unblock(a.to.state)
	s.mu.Unlock()
	s.gates[a.source].Disconnect(f.At)
	p.opts.Observer.ConnectFailed(s, f)
	s.moveOn(a.lane, blocked)
	p.dial.ended(a, true)
}

// errHandshake marks that the server agreed to TLS and the handshake failed.
var errHandshake = errors.New("tls does not work")

// errNoAddress is for a host that the source cannot reach by its address family.
var errNoAddress = errors.New("host has no address of the source's family")

// tlsMode is what policy and memory say together.
func (a *approach) tlsMode() smtp.TLSMode {
	o := &a.lane.site.pool.opts
	if a.lane.opts.RequireTLS || a.lane.opts.Verify {
		return smtp.TLSRequire
	}
	if o.TLS == smtp.TLSOpportunistic && o.Memory.Recall(a.to.Name, o.Now()).Plain {
		return smtp.TLSNone
	}
	return o.TLS
}

// OnOpen is wire.Handler's: the connection stands, or has come back secured.
func (a *approach) OnOpen(wc *wire.Conn) {
	s := a.lane.site
	o := &s.pool.opts
	if a.link != nil {
		a.session.SetTap(nil) // it is another dialogue from here on
		a.ear = nil
		a.listen()
		a.ear.note("secured: " + a.link.Version())
		a.session.Secured()
		a.proceed(wc)
		return
	}
	if a.addr.Addr().Is6() {
		s.pool.ipv6.Store(true)
	}
	a.why = nil // an address before this one
	now := o.Now()
	o.Observer.Waited(StepDial, now.Sub(a.began))
	traits := o.Memory.Recall(a.to.Name, now)
	window := o.Window
	if traits.Window > 0 {
		window = min(window, traits.Window)
	}
	a.session = smtp.New(smtp.Config{
		Hello:   o.Sources[a.source].Hello,
		TopGear: topGear(o.TopGear, s.opts.TopGear, traits.TopGear),
		Window:  window,
		TLS:     a.tlsMode(),
	})
	a.listen()
	a.ear.note("connected")
	a.proceed(wc)
}

// OnBytes is wire.Handler's.
func (a *approach) OnBytes(wc *wire.Conn, b []byte) {
	a.listen()
	cmd, _ := a.session.Waiting()
	a.session.Feed(b)
	if n := a.session.Replies(); n != a.replies {
		o := &a.lane.site.pool.opts
		a.replies = n
		took := o.Now().Sub(a.began)
		o.Observer.Waited(stepOf[cmd], took)
		if cmd == smtp.Ehlo || cmd == smtp.Helo {
			a.to.state.tripped(took)
		}
	}
	a.proceed(wc)
}

// OnTimer is wire.Handler's: for the slot, or for what did not come in time.
func (a *approach) OnTimer(wc *wire.Conn) {
	p := a.lane.site.pool
	now := p.opts.Now()
	if now.Before(a.deadline) {
		if !now.Before(a.started.Add(slotPatience)) {
			p.dial.release(a)
		}
		a.setTimer(wc, now)
		return
	}
	if a.session == nil {
		wc.Fail(&net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(a.addr), Err: syscall.ETIMEDOUT})
		return
	}
	a.session.Lost(smtp.ErrTimeout)
	a.proceed(wc)
}

// OnWake is wire.Handler's. Nobody wakes an approach.
func (a *approach) OnWake(*wire.Conn) {}

// OnClose is wire.Handler's.
func (a *approach) OnClose(_ *wire.Conn, err error) {
	p := a.lane.site.pool
	switch {
	case a.why != nil && a.session != nil: // it was told before the close
	case p.ctx.Err() != nil || errors.Is(err, wire.ErrClosed):
		p.dial.abandoned(a)
		return
	case a.session == nil || wire.Exhausted(err): // the latter when it came back secured
		a.unconnected(err)
		return
	default:
		if errors.Is(err, io.EOF) {
			err = errClosedByPeer
		}
		a.session.Lost(err)
		b := benches.Get().(*bench)
		a.events(b)
		benches.Put(b)
	}
	if a.why == nil {
		a.why = a.failure(&smtp.Outcome{Command: smtp.Connect, Err: errClosedByPeer})
	}
	a.failed()
}

// proceed does what follows from what was heard: the next command, the handshake,
// or an end.
func (a *approach) proceed(wc *wire.Conn) {
	b := benches.Get().(*bench)
	defer benches.Put(b)
	b.pieces = a.session.Output(b.pieces[:0])
	ready, handshake := a.events(b)
	switch {
	case a.why != nil:
		wc.Write(b.pieces) // a last QUIT, unless it is too late
		wc.Close()
	case ready:
		a.become(wc)
	case handshake:
		a.secure(wc)
	default:
		wc.Write(b.pieces)
		a.session.Written()
		now := a.lane.site.pool.opts.Now()
		cmd, _ := a.session.Waiting()
		a.began = now
		a.deadline = now.Add(a.lane.site.pool.opts.Timeouts.For(cmd))
		a.setTimer(wc, now)
	}
	clear(b.pieces)
}

// events reads the session's. They are acted upon when all are read: the session
// may have found fault with what came behind (RFC 3207 5: injected bytes).
func (a *approach) events(b *bench) (ready, handshake bool) {
	b.events = a.session.Events(b.events[:0])
	for i := range b.events {
		e := &b.events[i]
		switch e.Kind {
		case smtp.Ready:
			ready = true
		case smtp.Handshake:
			handshake = true
		case smtp.Failed, smtp.Closed:
			if a.why == nil {
				a.why = a.failure(&e.Outcome)
			}
		case smtp.GearChanged:
			remember(&a.lane.site.pool.opts, a.to.Name, e)
		case smtp.EventUnset, smtp.Settled:
		}
	}
	clear(b.events)
	return ready, handshake
}

// setTimer waits for the deadline, and before that for the slot's.
func (a *approach) setTimer(wc *wire.Conn, now time.Time) {
	wait := a.deadline.Sub(now)
	if p := a.started.Add(slotPatience).Sub(now); p > 0 {
		wait = min(wait, p)
	}
	wc.SetTimer(max(wait, 1))
}

// become hands the connection over.
func (a *approach) become(wc *wire.Conn) {
	s := a.lane.site
	c := &Connection{
		id: a.id, ear: a.ear, lane: a.lane, to: a.to, source: a.source, gate: s.gates[a.source],
		addr: a.addr, session: a.session, opened: s.pool.opts.Now(),
	}
	if a.link != nil {
		c.tls = a.link.Version()
	}
	wc.Handle(c)
	s.pool.dial.ended(a, false) // from here on, c has the place
	c.OnOpen(wc)
}

// secure leads the handshake, on a goroutine of its own.
func (a *approach) secure(wc *wire.Conn) {
	p := a.lane.site.pool
	nc, err := wc.Detach()
	if err != nil {
		a.unconnected(err) // no descriptor left for the duplicate, or the like
		return
	}
	p.dial.spawn(a, func() { a.handshake(nc) })
}

func (a *approach) handshake(nc net.Conn) {
	p := a.lane.site.pool
	o := &p.opts
	began := o.Now()
	ctx, cancel := context.WithTimeout(p.ctx, o.HandshakeTimeout)
	sc, err := p.tls.Client(ctx, nc, a.to.Name, a.lane.opts.Verify)
	cancel()
	switch {
	case err == nil:
		o.Observer.Waited(StepHandshake, o.Now().Sub(began))
		a.link = sc
		if err := p.wire.Enroll(sc, a); err == nil {
			return
		} else if !errors.Is(err, wire.ErrClosed) {
			p.dial.exhaust(a)
			return
		}
		p.dial.abandoned(a)
	case p.ctx.Err() != nil:
		_ = nc.Close()
		p.dial.abandoned(a)
	default:
		_ = nc.Close()
		a.why = a.failure(&smtp.Outcome{Command: smtp.StartTLS, Err: fmt.Errorf("%w: %w", errHandshake, err)})
		a.failed()
	}
}

func (a *approach) failure(out *smtp.Outcome) *Failure {
	o := &a.lane.site.pool.opts
	f := &Failure{
		Host: a.to.Name, Addr: a.addr, Source: o.Sources[a.source].Name, At: o.Now(),
		Step: out.Command, Reply: out.Reply, Err: out.Err,
	}
	if f.Step == smtp.CommandUnset {
		f.Step = smtp.Connect
	}
	return f
}

// remember keeps what a host turned out not to bear.
func remember(o *Options, host string, e *smtp.Event) {
	now := o.Now()
	t := o.Memory.Recall(host, now)
	t.TopGear, t.Window, t.Reason = e.Gear, e.Window, e.Reason
	t.Until = now.Add(o.TraitsAge)
	o.Memory.Remember(host, t)
}
