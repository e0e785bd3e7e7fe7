package mx

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// nameServer is a DNS server in this process, with records in zone-file form
// and misbehaviour by name.
type nameServer struct {
	addr string

	mu      sync.Mutex
	records map[string][]dns.RR // by lower-case name
	rcodes  map[string]int      // names that get this and nothing else
	silent  map[string]bool     // names that get no answer
	dead    bool                // no answers at all
	noEDNS  bool                // FORMERR to EDNS
	cut     bool                // TC by UDP
	forged  bool                // a wrong answer before the right one
	bare    bool                // does not follow CNAMEs, no SOA
	asked   map[string]int      // "MX example.org" and how often
	total   int
	atOnce  int // questions being answered now, and the most so far
	most    int
	gate    chan struct{} // when set, answers wait for it
	arrived chan struct{} // when set, hears of questions
}

// serve starts a server with these records, one a line.
func serve(t testing.TB, zone string) *nameServer {
	t.Helper()
	s := &nameServer{
		records: make(map[string][]dns.RR), rcodes: make(map[string]int),
		silent: make(map[string]bool), asked: make(map[string]int),
	}
	s.add(t, zone)
	pc, l := listen(t)
	s.addr = pc.LocalAddr().String()
	var wg sync.WaitGroup
	var servers []*dns.Server
	for _, d := range []*dns.Server{{PacketConn: pc, Handler: s}, {Listener: l, Handler: s}} {
		started := make(chan struct{})
		d.NotifyStartedFunc = func() { close(started) }
		wg.Go(func() {
			if err := d.ActivateAndServe(); err != nil {
				t.Error(err)
			}
		})
		<-started
		servers = append(servers, d)
	}
	t.Cleanup(func() {
		for _, d := range servers {
			if err := d.Shutdown(); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
	})
	return s
}

// listen takes a port that is free for UDP and TCP alike.
func listen(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if pc, err := net.ListenPacket("udp", l.Addr().String()); err == nil {
			return pc, l
		}
		l.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

func (s *nameServer) add(t testing.TB, zone string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(zone) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		rr, err := dns.NewRR(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		name := strings.ToLower(rr.Header().Name)
		s.records[name] = append(s.records[name], rr)
	}
}

// set changes the server under its lock.
func (s *nameServer) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *nameServer) count(question string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[question]
}

func (s *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	s.mu.Lock()
	s.total++
	s.atOnce++
	s.most = max(s.most, s.atOnce)
	question := q.Question[0]
	name := strings.ToLower(question.Name)
	s.asked[dns.TypeToString[question.Qtype]+" "+strings.TrimSuffix(name, ".")]++
	gate, arrived := s.gate, s.arrived
	s.mu.Unlock()
	if arrived != nil {
		select {
		case arrived <- struct{}{}:
		default:
		}
	}
	if gate != nil {
		<-gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atOnce--
	if s.dead || s.silent[name] {
		return
	}
	m := new(dns.Msg)
	m.SetReply(q)
	_, isUDP := w.RemoteAddr().(*net.UDPAddr)
	switch rcode, bad := s.rcodes[name]; {
	case s.noEDNS && q.IsEdns0() != nil:
		m.Rcode = dns.RcodeFormatError
	case bad:
		m.Rcode = rcode
	case s.cut && isUDP:
		m.Truncated = true
	default:
		s.answer(m, name, question.Qtype)
		if isUDP {
			m.Truncate(udpSize)
		}
	}
	if s.forged && isUDP {
		lie := m.Copy()
		lie.Id++
		lie.Rcode = dns.RcodeNameError
		w.WriteMsg(lie)
		other := m.Copy()
		other.Question[0].Name = "forged.example."
		w.WriteMsg(other)
		w.Write([]byte{1, 2, 3})
	}
	w.WriteMsg(m)
}

func (s *nameServer) answer(m *dns.Msg, name string, qtype uint16) {
	soa, err := dns.NewRR(". 300 IN SOA ns. host. 1 2 3 4 120")
	if err != nil {
		panic(err)
	}
	for range 8 {
		all, exists := s.records[name]
		if !exists {
			m.Rcode = dns.RcodeNameError
			break
		}
		alias := ""
		for _, rr := range all {
			if rr.Header().Rrtype == qtype {
				m.Answer = append(m.Answer, rr)
			} else if c, ok := rr.(*dns.CNAME); ok {
				m.Answer = append(m.Answer, rr)
				alias = strings.ToLower(c.Target)
			}
		}
		if alias == "" || s.bare {
			break
		}
		name = alias
	}
	if s.bare {
		return
	}
	m.Ns = append(m.Ns, soa)
}

// clock is the resolver's time.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// resolver is one over these servers, with a clock of its own, no prohibited
// networks, and no shuffling, unless change says otherwise.
func resolver(t testing.TB, change func(*Options), servers ...*nameServer) (*Resolver, *clock) {
	t.Helper()
	c := &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	o := Options{
		Timeout: 5 * time.Second, Prohibited: []netip.Prefix{}, Families: IPv4First,
		Now: c.Now, Rand: func(n int) int { return n - 1 },
	}
	for _, s := range servers {
		o.Servers = append(o.Servers, s.addr)
	}
	if change != nil {
		change(&o)
	}
	r, err := NewResolver(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, c
}

// show is an answer in one line: "found site: host 10 addr addr, host ...".
func show(a Answer) string {
	var b strings.Builder
	b.WriteString(shortStatus[a.Status])
	if a.Route == nil {
		return b.String()
	}
	b.WriteString(" " + a.Route.Site + ":")
	for i, h := range a.Route.Hosts {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(" " + h.Name)
		for _, addr := range h.Addrs {
			b.WriteString(" " + addr.String())
		}
	}
	return b.String()
}

var shortStatus = map[Status]string{
	StatusUnset: "unset", Found: "found", NullMX: "null", NoDomain: "none",
	TemporaryFailure: "temporary", Prohibited: "prohibited",
}

func resolve(t testing.TB, r *Resolver, domain string) Answer {
	t.Helper()
	return r.Resolve(context.Background(), domain)
}
