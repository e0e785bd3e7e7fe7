package mx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// udpSize is the answer we take by UDP: what passes every path unfragmented.
	udpSize = 1232
	// readSize is what is read of a packet all the same.
	readSize = 4096
	// downFor is how long a server that did not answer is asked last.
	downFor = 10 * time.Second
	// rounds is how often all servers are tried when none answers in time.
	rounds = 2
)

// server is one DNS resolver.
type server struct {
	addr string
	// downUntil, in Unix nanoseconds: did not answer lately.
	downUntil atomic.Int64

	mu     sync.Mutex
	line   *line // under mu: takes the next question by UDP
	closed bool  // under mu
}

// rcodeError is a server's answer that answers nothing.
type rcodeError struct {
	server string
	rcode  int
}

func (e *rcodeError) Error() string {
	return e.server + " answered " + dns.RcodeToString[e.rcode]
}

// exchange asks the servers in turn. It returns an answer with NOERROR or
// NXDOMAIN; everything else is an error, and temporary.
func (r *Resolver) exchange(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	var last error
	for range rounds {
		silent := false
		for _, s := range r.order() {
			msg, err := r.ask(ctx, s, name, qtype)
			switch {
			case err == nil && (msg.Rcode == dns.RcodeSuccess || msg.Rcode == dns.RcodeNameError):
				return msg, nil
			case err == nil:
				last = &rcodeError{s.addr, msg.Rcode}
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			default:
				s.downUntil.Store(r.now().Add(downFor).UnixNano())
				last, silent = fmt.Errorf("ask %s: %w", s.addr, err), true
			}
		}
		if !silent {
			break // they all spoke; asking again at once would change nothing
		}
	}
	return nil, last
}

// order is the servers as configured, those that are down last.
func (r *Resolver) order() []*server {
	now := r.now().UnixNano()
	order := make([]*server, 0, len(r.servers))
	for _, down := range [...]bool{false, true} {
		for _, s := range r.servers {
			if (s.downUntil.Load() > now) == down {
				order = append(order, s)
			}
		}
	}
	return order
}

// ask puts one question to one server: by UDP, by TCP when the answer was cut
// (RFC 7766 5), and without EDNS where a server does not know it (RFC 6891 7).
func (r *Resolver) ask(ctx context.Context, s *server, name string, qtype uint16) (*dns.Msg, error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	msg, err := r.askUDP(ctx, s, name, qtype, true)
	if err == nil && (msg.Rcode == dns.RcodeFormatError || msg.Rcode == dns.RcodeNotImplemented || msg.Rcode == dns.RcodeBadVers) {
		msg, err = r.askUDP(ctx, s, name, qtype, false)
	}
	if err == nil && msg.Truncated {
		msg, err = r.askTCP(ctx, s, name, qtype)
		if err == nil && msg.Truncated {
			return nil, errors.New("answer cut although by TCP")
		}
	}
	return msg, err
}

func (r *Resolver) askUDP(ctx context.Context, s *server, name string, qtype uint16, edns bool) (*dns.Msg, error) {
	q := questions.Get().(*question)
	defer questions.Put(q)
	if err := q.write(name, qtype, edns); err != nil {
		return nil, err
	}
	for {
		l, err := s.current(ctx, &r.lines)
		if err != nil {
			return nil, err
		}
		switch err := l.ask(ctx, q, r.timeout); {
		case errors.Is(err, errRetired):
			continue // others took its last places
		case err != nil:
			return nil, err
		}
		msg := new(dns.Msg)
		if err := msg.Unpack(q.answer); err != nil {
			return nil, fmt.Errorf("malformed answer: %w", err)
		}
		return msg, nil
	}
}

func (r *Resolver) askTCP(ctx context.Context, s *server, name string, qtype uint16) (*dns.Msg, error) {
	d := net.Dialer{Timeout: r.timeout}
	c, err := d.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), qtype)
	q.SetEdns0(udpSize, false)
	return talk(ctx, &dns.Conn{Conn: c}, q, r.timeout)
}

// close ends the line; no other is opened.
func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.line != nil {
		s.line.end(ErrClosed)
	}
}

// talk writes the question to a connection of its own and reads the answer.
func talk(ctx context.Context, c *dns.Conn, q *dns.Msg, timeout time.Duration) (*dns.Msg, error) {
	// Deadlines belong to the sockets, which know only real time.
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.WriteMsg(q); err != nil {
		return nil, err
	}
	msg, err := c.ReadMsg()
	if err != nil {
		return nil, err
	}
	if msg.Id != q.Id || !msg.Response || len(msg.Question) != 1 ||
		msg.Question[0].Qtype != q.Question[0].Qtype || !sameName(msg.Question[0].Name, q.Question[0].Name) {
		return nil, errStray
	}
	return msg, nil
}
