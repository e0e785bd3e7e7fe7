package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
	"github.com/penstock-mail/penstock/pool/wire"
)

// approach is one try to make a connection useful: dial, greeting, EHLO,
// STARTTLS, handshake, EHLO. It runs on a dial goroutine, with blocking reads
// and deadlines, and ends in an enrolled Connection or a Failure. While it lives
// it holds a place at the gate, in the lane and at the host.
type approach struct {
	lane   *Lane
	to     *target
	source int
}

// replyBuffers are for the dialogue up to Ready; from then on the event loop's
// buffer serves.
var replyBuffers = sync.Pool{New: func() any { b := make([]byte, 4<<10); return &b }}

// run makes the try. exhausted: this machine had no means for it, nobody was
// told, and it is to be tried again.
func (a *approach) run(ctx context.Context) (exhausted bool) {
	l := a.lane
	p := l.site.pool
	if ctx.Err() != nil || l.shut() {
		a.abandon()
		p.dial.leave()
		return false
	}
	c, f := a.connect(ctx)
	switch {
	case f == nil:
		if err := p.wire.Enroll(c.link, c); err == nil {
			return false // from OnOpen on, c has the place
		} else if !errors.Is(err, wire.ErrClosed) {
			return true // no descriptor left for the duplicate, or the like
		}
		a.abandon()
		p.dial.leave()
	case wire.Exhausted(f.Err):
		return true
	case ctx.Err() != nil:
		a.abandon()
		p.dial.leave()
	default:
		a.failed(*f)
		p.dial.leave()
	}
	return false
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
func (a *approach) failed(f Failure) {
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

// connect tries the host's addresses in order. A host that answers has spoken
// for all of them.
func (a *approach) connect(ctx context.Context) (*Connection, *Failure) {
	p := a.lane.site.pool
	o := &p.opts
	src := o.Sources[a.source]
	last := &Failure{Host: a.to.Name, Source: src.Name, Step: smtp.Connect, At: o.Now(), Err: errNoAddress}
	for _, addr := range a.to.Addrs {
		if src.Addr.IsValid() && src.Addr.Unmap().Is4() != addr.Addr().Unmap().Is4() {
			continue
		}
		began := o.Now()
		nc, err := o.Dial(ctx, src.Addr, addr, o.ConnectTimeout)
		if err == nil {
			o.Observer.Waited(StepDial, o.Now().Sub(began))
			if addr.Addr().Is6() {
				p.ipv6.Store(true)
			}
			return a.talk(ctx, nc, addr)
		}
		if errors.Is(err, syscall.EADDRNOTAVAIL) && addr.Addr().Is6() && !p.ipv6.Load() {
			// Linux says so, too, on a machine without any IPv6 address: no
			// matter of ports. The text stays, the number must not.
			err = errors.New(err.Error())
		}
		last = &Failure{Host: a.to.Name, Addr: addr, Source: src.Name, Step: smtp.Connect, At: o.Now(), Err: err}
		if ctx.Err() != nil || wire.Exhausted(err) {
			break
		}
	}
	return nil, last
}

// talk leads the dialogue to Ready.
func (a *approach) talk(ctx context.Context, nc net.Conn, addr netip.AddrPort) (*Connection, *Failure) {
	s := a.lane.site
	o := &s.pool.opts
	src := o.Sources[a.source]
	traits := o.Memory.Recall(a.to.Name, o.Now())
	window := o.Window
	if traits.Window > 0 {
		window = min(window, traits.Window)
	}
	session := smtp.New(smtp.Config{
		Hello:   src.Hello,
		TopGear: topGear(o.TopGear, s.opts.TopGear, traits.TopGear),
		Window:  window,
		TLS:     a.tlsMode(),
	})
	link := nc
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	buf := replyBuffers.Get().(*[]byte)
	defer replyBuffers.Put(buf)
	var (
		events  []smtp.Event
		pieces  [][]byte
		tlsVer  string
		replies uint64
		trip    time.Duration
	)
	for {
		pieces = session.Output(pieces[:0])
		events = session.Events(events[:0])
		// Both are acted upon when all events are read: the session may have
		// found fault with what came behind (RFC 3207 5: injected bytes).
		ready, handshake := false, false
		for i := range events {
			e := &events[i]
			switch e.Kind {
			case smtp.Ready:
				ready = true
			case smtp.Failed, smtp.Closed:
				a.write(link, pieces, o.Timeouts.Quit) // a last QUIT, unless it is too late
				_ = link.Close()
				return nil, a.failure(addr, &e.Outcome)
			case smtp.Handshake:
				handshake = true
			case smtp.EventUnset, smtp.Settled:
			case smtp.GearChanged:
				remember(o, a.to.Name, e)
			}
		}
		if ready {
			return &Connection{
				lane: a.lane, to: a.to, source: a.source, gate: s.gates[a.source],
				addr: addr, tls: tlsVer, session: session, link: link, opened: o.Now(), roundTrip: trip,
			}, nil
		}
		if handshake {
			began := o.Now()
			hctx, cancel := context.WithTimeout(ctx, o.HandshakeTimeout)
			sc, err := s.pool.tls.Client(hctx, nc, a.to.Name, a.lane.opts.Verify)
			cancel()
			if err != nil {
				_ = nc.Close()
				return nil, a.failure(addr, &smtp.Outcome{Command: smtp.StartTLS, Err: fmt.Errorf("%w: %w", errHandshake, err)})
			}
			o.Observer.Waited(StepHandshake, o.Now().Sub(began))
			link, tlsVer = sc, sc.Version()
			session.Secured()
			pieces = session.Output(pieces[:0])
		}
		cmd, _ := session.Waiting()
		wait := o.Timeouts.For(cmd)
		err := a.write(link, pieces, wait)
		session.Written()
		if err == nil {
			_ = link.SetReadDeadline(time.Now().Add(wait))
			// Behind the deadline, so that the one set when ctx ends comes last.
			if err = ctx.Err(); err != nil {
				session.Lost(err)
				continue
			}
			var n int
			began := o.Now()
			n, err = link.Read(*buf)
			if n > 0 {
				session.Feed((*buf)[:n])
				if session.Replies() != replies {
					replies = session.Replies()
					trip = o.Now().Sub(began)
					o.Observer.Waited(stepOf[cmd], trip)
				}
				continue
			}
		}
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			err = fmt.Errorf("%w: %w", smtp.ErrTimeout, err)
		}
		session.Lost(err)
	}
}

func (a *approach) write(link net.Conn, pieces [][]byte, wait time.Duration) error {
	for i, b := range pieces {
		if i == 0 {
			_ = link.SetWriteDeadline(time.Now().Add(wait))
		}
		if _, err := link.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func (a *approach) failure(addr netip.AddrPort, out *smtp.Outcome) *Failure {
	o := &a.lane.site.pool.opts
	f := &Failure{
		Host: a.to.Name, Addr: addr, Source: o.Sources[a.source].Name, At: o.Now(),
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
