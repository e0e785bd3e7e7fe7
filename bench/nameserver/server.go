package nameserver

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Server is a running name server.
type Server struct {
	addr     string
	udp, tcp *dns.Server
	table    atomic.Pointer[table]
	done     chan struct{}
	ended    sync.WaitGroup
	once     sync.Once
	err      error

	mu      sync.Mutex
	queries map[question]int // guarded by mu
	total   int              // guarded by mu
}

type question struct {
	name  string
	qtype uint16
}

// Start listens at addr on UDP and TCP; "" and port 0 take a free port of
// 127.0.0.1.
func Start(addr string, z *Zone) (*Server, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	t, err := compile(z)
	if err != nil {
		return nil, fmt.Errorf("nameserver: %w", err)
	}
	packets, stream, err := listen(addr)
	if err != nil {
		return nil, fmt.Errorf("nameserver: listen on %s: %w", addr, err)
	}
	s := &Server{addr: packets.LocalAddr().String(), done: make(chan struct{}), queries: map[question]int{}}
	s.table.Store(t)
	s.udp = &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(s.answer)}
	s.tcp = &dns.Server{Listener: stream, Handler: dns.HandlerFunc(s.answer)}
	var up sync.WaitGroup
	up.Add(2)
	for _, d := range []*dns.Server{s.udp, s.tcp} {
		d.NotifyStartedFunc = up.Done
		s.ended.Add(1)
		go func() {
			defer s.ended.Done()
			d.ActivateAndServe() // ends with Shutdown
		}()
	}
	up.Wait()
	return s, nil
}

// listen takes the same port for both protocols. A free one of UDP may be taken
// for TCP, so it tries a few.
func listen(addr string) (p net.PacketConn, l net.Listener, err error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, err
	}
	for range 20 {
		if p, err = net.ListenPacket("udp", addr); err != nil {
			return nil, nil, err
		}
		if l, err = net.Listen("tcp", p.LocalAddr().String()); err == nil {
			return p, l, nil
		}
		p.Close()
		if port != "0" {
			break
		}
	}
	return nil, nil, err
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.addr }

// Replace changes the zone from the next question on.
func (s *Server) Replace(z *Zone) error {
	t, err := compile(z)
	if err != nil {
		return fmt.Errorf("nameserver: %w", err)
	}
	s.table.Store(t)
	return nil
}

// Queries is how many questions came in all.
func (s *Server) Queries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Asked is how often a name was asked for a type such as dns.TypeMX.
func (s *Server) Asked(name string, qtype uint16) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries[question{dns.CanonicalName(name), qtype}]
}

// Close stops listening and waits until nothing is answered any more.
func (s *Server) Close() error {
	s.once.Do(func() {
		close(s.done)
		s.err = errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
		s.ended.Wait()
	})
	return s.err
}

func (s *Server) answer(w dns.ResponseWriter, q *dns.Msg) {
	if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery {
		m := new(dns.Msg).SetRcode(q, dns.RcodeNotImplemented)
		w.WriteMsg(m)
		return
	}
	asked := question{dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype}
	s.mu.Lock()
	s.total++
	s.queries[asked]++
	s.mu.Unlock()

	m, delay := s.table.Load().respond(q, asked)
	if delay > 0 {
		wait := time.NewTimer(delay)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-s.done:
			return
		}
	}
	if m == nil {
		return // dropped
	}
	if o := q.IsEdns0(); o != nil {
		m.SetEdns0(4096, o.Do())
	}
	if strings.HasPrefix(w.LocalAddr().Network(), "udp") {
		size := dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = max(size, int(o.UDPSize()))
		}
		m.Truncate(size)
	}
	w.WriteMsg(m) // an error is the asker's time-out
}

// maxChain bounds CNAMEs that follow one another.
const maxChain = 8

// respond works out the answer; nil: there is none.
func (t *table) respond(q *dns.Msg, asked question) (m *dns.Msg, delay time.Duration) {
	m = new(dns.Msg).SetReply(q)
	m.Authoritative, m.RecursionAvailable = true, true
	name := asked.name
	for range maxChain {
		e, exists := t.lookup(name)
		if e == nil {
			if !exists {
				m.Rcode = dns.RcodeNameError
			}
			break
		}
		delay += e.delay
		switch e.answer {
		case "drop":
			return nil, delay
		case "servfail":
			return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure), delay
		case "refused":
			return new(dns.Msg).SetRcode(q, dns.RcodeRefused), delay
		case "nxdomain":
			m.Rcode = dns.RcodeNameError
		}
		next := ""
		for _, rr := range e.records {
			if rr.Header().Rrtype == asked.qtype || asked.qtype == dns.TypeANY {
				m.Answer = append(m.Answer, rr)
			} else if c, ok := rr.(*dns.CNAME); ok {
				m.Answer = append(m.Answer, rr)
				next = c.Target
			}
		}
		if next == "" {
			break
		}
		name = next
	}
	if m.Rcode == dns.RcodeNameError || len(m.Answer) == 0 {
		m.Ns = []dns.RR{t.soa(name)} // RFC 2308 5
	}
	return m, delay
}

func (t *table) soa(name string) dns.RR {
	if up, ok := parent(name); ok {
		name = up
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: t.negative},
		Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: t.negative,
	}
}
