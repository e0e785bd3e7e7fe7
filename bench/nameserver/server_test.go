package nameserver

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func start(t *testing.T, z *Zone) *Server {
	t.Helper()
	s, err := Start("", z)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func ask(t *testing.T, s *Server, network, name string, qtype uint16) (*dns.Msg, error) {
	t.Helper()
	c := &dns.Client{Net: network, Timeout: 5 * time.Second}
	m, _, err := c.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype), s.Addr())
	return m, err
}

var zone = Zone{
	Names: map[string]Name{
		"a.test":          {MX: []string{"10 mx1.a.test", "20 MX2.a.test"}},
		"mx1.a.test":      {A: []string{"127.0.0.2", "127.0.0.3"}, AAAA: []string{"::1"}},
		"null.test":       {MX: []string{"0 ."}},
		"alias.test":      {CNAME: "a.test"},
		"loop.test":       {CNAME: "loop.test"},
		"bad.test":        {Answer: "servfail"},
		"no.test":         {Answer: "nxdomain"},
		"closed.test":     {Answer: "refused"},
		"*.wild.test":     {MX: []string{"5 mx1.a.test"}},
		"one.wild.test":   {TXT: []string{strings.Repeat("x", 300)}},
		"deep.in.it.test": {A: []string{"127.0.0.9"}},
		"big.test":        {TXT: []string{strings.Repeat("y", 2000)}},
	},
	Generate: []Generator{{Suffix: "bulk.test", Domains: 100_000, Hosts: 5000, Network: "127.1.0.0/16"}},
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	s := start(t, &zone)
	for _, c := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string // the answers' data, sorted as they come
	}{
		{"a.test", dns.TypeMX, 0, "10 mx1.a.test.|20 mx2.a.test."},
		{"A.Test", dns.TypeMX, 0, "10 mx1.a.test.|20 mx2.a.test."},
		{"a.test", dns.TypeA, 0, ""},
		{"mx1.a.test", dns.TypeA, 0, "127.0.0.2|127.0.0.3"},
		{"mx1.a.test", dns.TypeAAAA, 0, "::1"},
		{"mx2.a.test", dns.TypeA, dns.RcodeNameError, ""},
		{"null.test", dns.TypeMX, 0, "0 ."},
		{"alias.test", dns.TypeMX, 0, "a.test.|10 mx1.a.test.|20 mx2.a.test."},
		{"bad.test", dns.TypeMX, dns.RcodeServerFailure, ""},
		{"no.test", dns.TypeMX, dns.RcodeNameError, ""},
		{"closed.test", dns.TypeMX, dns.RcodeRefused, ""},
		{"x.y.wild.test", dns.TypeMX, 0, "5 mx1.a.test."},
		{"one.wild.test", dns.TypeMX, 0, ""},
		{"in.it.test", dns.TypeMX, 0, ""},
		{"other.test", dns.TypeMX, dns.RcodeNameError, ""},
		{"d0.bulk.test", dns.TypeMX, 0, "10 mx0.bulk.test."},
		{"d99999.bulk.test", dns.TypeMX, 0, "10 mx4999.bulk.test."},
		{"d100000.bulk.test", dns.TypeMX, dns.RcodeNameError, ""},
		{"d01.bulk.test", dns.TypeMX, dns.RcodeNameError, ""},
		{"mx0.bulk.test", dns.TypeA, 0, "127.1.0.1"},
		{"mx4999.bulk.test", dns.TypeA, 0, "127.1.19.136"},
		{"mx0.bulk.test", dns.TypeAAAA, 0, ""},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m, err := ask(t, s, network, c.name, c.qtype)
			if err != nil {
				t.Fatalf("%s %s: %v", network, c.name, err)
			}
			var got []string
			for _, rr := range m.Answer {
				got = append(got, strings.TrimPrefix(rr.String(), rr.Header().String()))
			}
			if m.Rcode != c.rcode || strings.Join(got, "|") != c.want {
				t.Errorf("%s %s %s: %s %q, want %q", network, c.name, dns.TypeToString[c.qtype], dns.RcodeToString[m.Rcode], got, c.want)
			}
			if (len(m.Answer) == 0) != (len(m.Ns) == 1) && m.Rcode != dns.RcodeServerFailure && m.Rcode != dns.RcodeRefused {
				t.Errorf("%s: negative answers carry a SOA, others do not: %v", c.name, m)
			}
		}
	}
	if n := s.Asked("a.test", dns.TypeMX); n != 4 {
		t.Errorf("a.test was asked %d times, want 4", n)
	}
}

func TestLoopEnds(t *testing.T) {
	t.Parallel()
	m, err := ask(t, start(t, &zone), "udp", "loop.test", dns.TypeMX)
	if err != nil || len(m.Answer) > maxChain {
		t.Fatal(m, err)
	}
}

func TestLongAnswerIsTruncatedOnUDP(t *testing.T) {
	t.Parallel()
	s := start(t, &zone)
	m, err := ask(t, s, "udp", "big.test", dns.TypeTXT)
	if err != nil || !m.Truncated {
		t.Fatal("not truncated", err)
	}
	m, err = ask(t, s, "tcp", "big.test", dns.TypeTXT)
	if err != nil || m.Truncated || len(m.Answer) != 1 {
		t.Fatal("not whole over TCP", err)
	}
}

// TestDroppedAndDelayed needs no waiting: the delayed answers outlive the test,
// and Close does not wait for them.
func TestDroppedAndDelayed(t *testing.T) {
	t.Parallel()
	s := start(t, &Zone{Names: map[string]Name{"drop.test": {Answer: "drop"}, "slow.test": {A: []string{"127.0.0.1"}, Delay: time.Hour}}})
	for _, name := range []string{"drop.test", "slow.test"} {
		c := &dns.Client{Timeout: 50 * time.Millisecond}
		if m, _, err := c.Exchange(new(dns.Msg).SetQuestion(name+".", dns.TypeA), s.Addr()); err == nil {
			t.Errorf("%s answered %v", name, m)
		}
	}
	if err := s.Replace(&Zone{Names: map[string]Name{"drop.test": {A: []string{"127.0.0.7"}}}}); err != nil {
		t.Fatal(err)
	}
	if m, err := ask(t, s, "udp", "drop.test", dns.TypeA); err != nil || len(m.Answer) != 1 {
		t.Fatal("the replaced zone does not answer", m, err)
	}
	if s.Queries() != 3 {
		t.Errorf("%d queries, want 3", s.Queries())
	}
}

func TestZoneMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"names: {a.test: {mx: [\"host\"]}}", "preference host"},
		{"names: {a.test: {a: [\"::1\"]}}", "no IPv4"},
		{"names: {a.test: {aaaa: [\"127.0.0.1\"]}}", "no IPv6"},
		{"names: {a.test: {answer: maybe}}", "none of"},
		{"names: {a.test: {cname: b.test, a: [\"127.0.0.1\"]}}", "alone"},
		{"names: {a.test: {mxx: []}}", "unknown field"},
		{"generate: [{suffix: x.test, domains: 70000, network: 127.1.0.0/16}]", "no room"},
		{"generate: [{domains: 7, network: 127.1.0.0/16}]", "no suffix"},
		{"generate: [{suffix: x.test, network: 127.1.0.0/16}]", "at least 1"},
		{"generate: [{suffix: x.test, domains: 1, network: x}]", "no IPv4 network"},
	} {
		f := filepath.Join(t.TempDir(), "zone.yaml")
		if err := os.WriteFile(f, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadZone(f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}

func Example() {
	s, err := Start("", &Zone{Names: map[string]Name{"example.test": {MX: []string{"10 mx.example.test"}}}})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	m, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion("example.test.", dns.TypeMX), s.Addr())
	if err != nil {
		panic(err)
	}
	fmt.Println(m.Answer[0].(*dns.MX).Mx)
	// Output: mx.example.test.
}
