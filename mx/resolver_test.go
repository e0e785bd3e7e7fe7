package mx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const zone = `
plain.example.        300 IN MX 10 mx1.plain.example.
plain.example.        300 IN MX 20 mx2.plain.example.
mx1.plain.example.    300 IN A 192.0.2.1
mx1.plain.example.    300 IN AAAA 2001:db8::1
mx2.plain.example.    300 IN A 192.0.2.2
implicit.example.     300 IN A 192.0.2.3
alias.example.        300 IN CNAME plain.example.
aliashost.example.    300 IN MX 5 hostalias.example.
hostalias.example.    300 IN CNAME mx2.plain.example.
null.example.         300 IN MX 0 .
nullandmore.example.  300 IN MX 0 .
nullandmore.example.  300 IN MX 10 mx2.plain.example.
empty.example.        300 IN TXT "no mail here"
loop.example.         300 IN CNAME loop2.example.
loop2.example.        300 IN CNAME loop.example.
literal.example.      300 IN MX 10 192.0.2.9.
dangling.example.     300 IN MX 10 nowhere.example.
half.example.         300 IN MX 10 broken.example.
half.example.         300 IN MX 20 mx2.plain.example.
allbroken.example.    300 IN MX 10 broken.example.
gmail.example.        300 IN MX 10 aspmx.l.google.com.
gmail.example.        300 IN MX 20 backup.example.
aspmx.l.google.com.   300 IN A 192.0.2.4
backup.example.       300 IN A 192.0.2.5
loopback.example.     300 IN MX 10 inside.example.
inside.example.       300 IN A 127.0.0.1
inside.example.       300 IN AAAA ::ffff:10.0.0.1
mixed.example.        300 IN MX 10 inside.example.
mixed.example.        300 IN MX 20 mx2.plain.example.
v6only.example.       300 IN AAAA 2001:db8::6
self.example.         300 IN MX 10 SELF.example.
self.example.         300 IN A 192.0.2.7
twice.example.        300 IN MX 20 mx2.plain.example.
twice.example.        300 IN MX 10 MX2.plain.example.
`

func TestResolve(t *testing.T) {
	t.Parallel()
	s := serve(t, zone)
	s.set(func() { s.rcodes["broken.example."] = dns.RcodeServerFailure })
	s.set(func() { s.rcodes["servfail.example."] = dns.RcodeServerFailure })
	s.set(func() { s.rcodes["refused.example."] = dns.RcodeRefused })
	r, _ := resolver(t, func(o *Options) { o.Own = []string{"Self.Example"} }, s)
	for _, c := range []struct{ domain, want string }{
		{"plain.example", "found mx1.plain.example,mx2.plain.example: mx1.plain.example 192.0.2.1:25 [2001:db8::1]:25, mx2.plain.example 192.0.2.2:25"},
		{"PLAIN.example.", "found mx1.plain.example,mx2.plain.example: mx1.plain.example 192.0.2.1:25 [2001:db8::1]:25, mx2.plain.example 192.0.2.2:25"},
		{"implicit.example", "found implicit.example: implicit.example 192.0.2.3:25"},
		{"alias.example", "found mx1.plain.example,mx2.plain.example: mx1.plain.example 192.0.2.1:25 [2001:db8::1]:25, mx2.plain.example 192.0.2.2:25"},
		{"aliashost.example", "found hostalias.example: hostalias.example 192.0.2.2:25"},
		{"null.example", "null"},
		{"nullandmore.example", "found mx2.plain.example: mx2.plain.example 192.0.2.2:25"},
		{"empty.example", "none"},
		{"nxdomain.example", "none"},
		{"loop.example", "temporary"},
		{"literal.example", "none"},
		{"dangling.example", "none"},
		{"half.example", "found broken.example,mx2.plain.example: mx2.plain.example 192.0.2.2:25"},
		{"allbroken.example", "temporary"},
		{"servfail.example", "temporary"},
		{"refused.example", "temporary"},
		{"gmail.example", "found google: aspmx.l.google.com 192.0.2.4:25, backup.example 192.0.2.5:25"},
		{"self.example", "found self.example: self.example 192.0.2.7:25"},
		{"twice.example", "found mx2.plain.example: mx2.plain.example 192.0.2.2:25"},
		{"[192.0.2.1]", "found 192.0.2.1:25: 192.0.2.1 192.0.2.1:25"},
		{"[IPv6:2001:db8::1]", "found [2001:db8::1]:25: 2001:db8::1 [2001:db8::1]:25"},
		{"[nonsense]", "none"},
		{"", "none"},
		{"a..b", "none"},
		{"192.0.2.1", "none"},
		{strings.Repeat("a", 64) + ".example", "none"},
	} {
		a := resolve(t, r, c.domain)
		if got := show(a); got != c.want {
			t.Errorf("%s: %s (%s)\nwant %s", c.domain, got, a.Reason, c.want)
		}
		if a.Status != Found && a.Reason == "" {
			t.Errorf("%s: no reason", c.domain)
		}
		if a.Expires.IsZero() {
			t.Errorf("%s: never expires", c.domain)
		}
	}
}

func TestProhibitedNetworksAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, zone+`
nat64.example. 300 IN AAAA 64:ff9b::7f00:1
sixtofour.example. 300 IN AAAA 2002:0a00:0001::1
outside.example. 300 IN MX 10 outside.example.
outside.example. 300 IN A 8.8.8.8
partly.example. 300 IN MX 10 inside.example.
partly.example. 300 IN MX 10 outside.example.
`)
	r, _ := resolver(t, func(o *Options) { o.Prohibited = nil }, s)
	for _, c := range []struct{ domain, want string }{
		{"loopback.example", "prohibited"},
		{"nat64.example", "prohibited"},
		{"sixtofour.example", "prohibited"},
		{"[127.0.0.1]", "prohibited"},
		{"[IPv6:::1]", "prohibited"},
		{"[IPv6:::ffff:127.0.0.1]", "prohibited"},
		{"outside.example", "found outside.example: outside.example 8.8.8.8:25"},
		{"partly.example", "found inside.example,outside.example: outside.example 8.8.8.8:25"},
	} {
		if got := show(resolve(t, r, c.domain)); got != c.want {
			t.Errorf("%s: %s, want %s", c.domain, got, c.want)
		}
	}
}

func TestFixedRoutes(t *testing.T) {
	t.Parallel()
	s := serve(t, "relay.example. 300 IN A 127.0.0.9\nsmtp.google.com. 300 IN A 192.0.2.1")
	r, _ := resolver(t, func(o *Options) {
		o.Prohibited = nil
		o.Routes = map[string]string{
			"One.example": "127.0.0.2:2525", "two.example": "[::1]:26", "three.example": "relay.example",
			"four.example": "gone.example:25", "five.example": "smtp.google.com:587", "*": "relay.example:587",
		}
		o.Own = []string{"two.example"}
	}, s)
	for _, c := range []struct{ domain, want string }{
		{"one.example", "found 127.0.0.2:2525: 127.0.0.2 127.0.0.2:2525"},
		{"two.example", "found two.example: ::1 [::1]:26"},
		{"three.example", "found relay.example:25: relay.example 127.0.0.9:25"},
		{"four.example", "temporary"}, // our mistake is no reason to bounce
		{"five.example", "found google: smtp.google.com 192.0.2.1:587"},
		{"anything.example", "found relay.example:587: relay.example 127.0.0.9:587"},
	} {
		a := resolve(t, r, c.domain)
		if got := show(a); got != c.want {
			t.Errorf("%s: %s (%s), want %s", c.domain, got, a.Reason, c.want)
		}
		if a.Route != nil && !a.Route.Fixed {
			t.Errorf("%s: not marked as fixed", c.domain)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for q := range s.asked {
		if strings.HasPrefix(q, "MX") {
			t.Errorf("asked for %s", q)
		}
	}
}

func TestAnswersLiveAsLongAsTheirTTL(t *testing.T) {
	t.Parallel()
	s := serve(t, `
a.example. 600 IN MX 10 h.example.
h.example. 200 IN A 192.0.2.1
short.example. 1 IN A 192.0.2.1
long.example. 9999999 IN A 192.0.2.1
`)
	r, c := resolver(t, func(o *Options) { o.Families = IPv4Only; o.MinTTL = time.Minute; o.MaxTTL = time.Hour }, s)
	begin := c.Now()
	for _, q := range []struct {
		domain string
		ttl    time.Duration
	}{
		{"a.example", 200 * time.Second}, // the least of the chain
		{"short.example", time.Minute},
		{"long.example", 2 * time.Minute}, // its missing MX is known for 120 s
		{"nxdomain.example", 2 * time.Minute},
	} {
		if a := resolve(t, r, q.domain); !a.Expires.Equal(begin.Add(q.ttl)) {
			t.Errorf("%s expires after %v, want %v", q.domain, a.Expires.Sub(begin), q.ttl)
		}
	}
	c.advance(199 * time.Second)
	resolve(t, r, "a.example")
	if n := s.count("MX a.example"); n != 1 {
		t.Errorf("asked %d times within the TTL", n)
	}
	c.advance(2 * time.Second)
	resolve(t, r, "a.example")
	if n := s.count("MX a.example"); n != 2 {
		t.Errorf("asked %d times after the TTL", n)
	}
}

func TestStaleAnswerServesWhileDNSFails(t *testing.T) {
	t.Parallel()
	s := serve(t, zone)
	r, c := resolver(t, nil, s)
	fresh := show(resolve(t, r, "plain.example"))
	c.advance(10 * time.Minute)
	s.set(func() { s.rcodes["plain.example."] = dns.RcodeServerFailure })
	a := resolve(t, r, "plain.example")
	if show(a) != fresh || !strings.HasPrefix(a.Reason, "stale") || !a.Expires.Equal(c.Now().Add(20*time.Second)) {
		t.Errorf("%s, %q, expires in %v", show(a), a.Reason, a.Expires.Sub(c.Now()))
	}
	c.advance(25 * time.Hour)
	if a := resolve(t, r, "plain.example"); a.Status != TemporaryFailure {
		t.Errorf("still %s after a day", show(a))
	}
	s.set(func() { delete(s.rcodes, "plain.example.") })
	c.advance(30 * time.Second)
	if a := resolve(t, r, "plain.example"); show(a) != fresh || a.Reason != "" {
		t.Errorf("%s, %q", show(a), a.Reason)
	}
	// What is permanent by now is not covered up.
	c.advance(10 * time.Minute)
	s.set(func() { delete(s.records, "plain.example.") })
	if a := resolve(t, r, "plain.example"); a.Status != NoDomain {
		t.Errorf("gone, yet %s", show(a))
	}
}

func TestNextServerAnswersForADeadOne(t *testing.T) {
	t.Parallel()
	dead, refusing, good := serve(t, ""), serve(t, ""), serve(t, zone)
	dead.set(func() { dead.dead = true })
	refusing.set(func() { refusing.rcodes["plain.example."] = dns.RcodeRefused })
	refusing.set(func() { refusing.rcodes["mx1.plain.example."] = dns.RcodeServerFailure })
	refusing.set(func() { refusing.rcodes["mx2.plain.example."] = dns.RcodeServerFailure })
	refusing.set(func() { refusing.rcodes["implicit.example."] = dns.RcodeServerFailure })
	r, _ := resolver(t, func(o *Options) { o.Timeout = 100 * time.Millisecond }, dead, refusing, good)
	if a := resolve(t, r, "plain.example"); a.Status != Found {
		t.Fatalf("%s: %s", show(a), a.Reason)
	}
	dead.mu.Lock()
	before := dead.total
	dead.mu.Unlock()
	resolve(t, r, "implicit.example")
	dead.mu.Lock()
	defer dead.mu.Unlock()
	if dead.total != before {
		t.Error("a dead server is asked first again")
	}
}

func TestAllServersDeadIsTemporary(t *testing.T) {
	t.Parallel()
	s := serve(t, "")
	s.set(func() { s.dead = true })
	r, c := resolver(t, func(o *Options) { o.Timeout = 10 * time.Millisecond }, s)
	a := resolve(t, r, "plain.example")
	if a.Status != TemporaryFailure || !a.Expires.Equal(c.Now().Add(20*time.Second)) {
		t.Errorf("%s, %s", show(a), a.Reason)
	}
	if n := s.count("MX plain.example"); n != rounds {
		t.Errorf("asked %d times, want %d", n, rounds)
	}
	resolve(t, r, "plain.example")
	if n := s.count("MX plain.example"); n != rounds {
		t.Error("a failure must be remembered for a while")
	}
}

func TestCutAnswerIsAskedForByTCP(t *testing.T) {
	t.Parallel()
	s := serve(t, zone)
	s.set(func() { s.cut = true })
	r, _ := resolver(t, nil, s)
	if a := resolve(t, r, "plain.example"); a.Status != Found {
		t.Errorf("%s: %s", show(a), a.Reason)
	}
}

func TestServerWithoutEDNS(t *testing.T) {
	t.Parallel()
	s := serve(t, zone)
	s.set(func() { s.noEDNS = true })
	r, _ := resolver(t, nil, s)
	if a := resolve(t, r, "plain.example"); a.Status != Found {
		t.Errorf("%s: %s", show(a), a.Reason)
	}
}

func TestForgedAnswersAreSkipped(t *testing.T) {
	t.Parallel()
	s := serve(t, zone)
	s.set(func() { s.forged = true })
	r, _ := resolver(t, nil, s)
	for _, domain := range []string{"plain.example", "implicit.example", "gmail.example"} {
		if a := resolve(t, r, domain); a.Status != Found {
			t.Errorf("%s: %s: %s", domain, show(a), a.Reason)
		}
	}
}

func TestServerThatDoesNotFollowAliases(t *testing.T) {
	t.Parallel()
	s := serve(t, zone)
	s.set(func() { s.bare = true })
	r, _ := resolver(t, nil, s)
	for domain, want := range map[string]string{
		"alias.example": "found mx1.plain.example,mx2.plain.example: mx1.plain.example 192.0.2.1:25 [2001:db8::1]:25, mx2.plain.example 192.0.2.2:25",
		"loop.example":  "temporary",
		"empty.example": "none",
	} {
		if got := show(resolve(t, r, domain)); got != want {
			t.Errorf("%s: %s, want %s", domain, got, want)
		}
	}
}

func TestOtherFamilyAloneIsNotPermanent(t *testing.T) {
	t.Parallel()
	s := serve(t, zone)
	r, _ := resolver(t, func(o *Options) { o.Families = IPv4Only }, s)
	a := resolve(t, r, "v6only.example")
	if a.Status != TemporaryFailure || !strings.Contains(a.Reason, "IP version") {
		t.Errorf("%s: %s", show(a), a.Reason)
	}
	if got := show(resolve(t, r, "empty.example")); got != "none" {
		t.Errorf("empty.example: %s", got)
	}
	r6, _ := resolver(t, func(o *Options) { o.Families = IPv6First }, s)
	if got := show(resolve(t, r6, "plain.example")); !strings.Contains(got, "mx1.plain.example [2001:db8::1]:25 192.0.2.1:25") {
		t.Errorf("IPv6 first: %s", got)
	}
}

func TestEqualPreferencesAreShuffledAndOthersNot(t *testing.T) {
	t.Parallel()
	var zone strings.Builder
	for i := range 30 {
		fmt.Fprintf(&zone, "many.example. 300 IN MX %d h%02d.example.\n", 10*(1+i/4), i)
		for j := range 20 {
			fmt.Fprintf(&zone, "h%02d.example. 300 IN A 192.0.2.%d\n", i, j)
		}
	}
	s := serve(t, zone.String())
	turn := 0
	var mu sync.Mutex
	r, c := resolver(t, func(o *Options) {
		o.Rand = func(n int) int { mu.Lock(); defer mu.Unlock(); turn++; return turn * 7 % n }
	}, s)
	first := make(map[string]bool)
	var site, key string
	for range 20 {
		a := resolve(t, r, "many.example")
		if a.Status != Found || len(a.Route.Hosts) != MaxHosts || len(a.Route.Hosts[0].Addrs) != MaxAddrs {
			t.Fatalf("%s", show(a))
		}
		if !slices.IsSortedFunc(a.Route.Hosts, func(x, y Host) int { return int(x.Preference) - int(y.Preference) }) {
			t.Fatalf("not in order of preference: %s", show(a))
		}
		if site != "" && (a.Route.Site != site || a.Route.Key != key) {
			t.Fatalf("site or key changed: %q, %q", a.Route.Site, a.Route.Key)
		}
		site, key = a.Route.Site, a.Route.Key
		first[a.Route.Hosts[0].Name] = true
		c.advance(time.Hour)
	}
	if len(first) < 3 || len(first) > 4 {
		t.Errorf("first hosts were %v, want the four of preference 10", first)
	}
	if len(site) > maxSiteName {
		t.Errorf("site of %d octets", len(site))
	}
}

func TestOneLookupForAllWhoAsk(t *testing.T) {
	t.Parallel()
	s := serve(t, zone)
	gate := make(chan struct{})
	s.set(func() { s.gate = gate })
	r, _ := resolver(t, nil, s)
	gone, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("not interested any more"))
	if a := r.Resolve(gone, "plain.example"); a.Status != TemporaryFailure || !strings.Contains(a.Reason, "not interested") {
		t.Errorf("%s: %s", show(a), a.Reason)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if a := resolve(t, r, "plain.example"); a.Status != Found {
				t.Errorf("%s: %s", show(a), a.Reason)
			}
		})
	}
	close(gate)
	wg.Wait()
	if n := s.count("MX plain.example"); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestQuestionsAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	var zone strings.Builder
	for i := range 40 {
		fmt.Fprintf(&zone, "d%d.example. 300 IN MX 10 m%d.example.\nm%d.example. 300 IN A 192.0.2.1\n", i, i, i)
	}
	s := serve(t, zone.String())
	r, _ := resolver(t, func(o *Options) { o.Concurrency = 3; o.MaxEntries = 10 }, s)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if a := resolve(t, r, fmt.Sprintf("d%d.example", i)); a.Status != Found {
				t.Errorf("%s: %s", show(a), a.Reason)
			}
		})
	}
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.most > 3 {
		t.Errorf("%d questions at once", s.most)
	}
	if r.domains.len() > 10 || r.hosts.len() > 10 {
		t.Errorf("%d domains and %d hosts kept, want 10 at most", r.domains.len(), r.hosts.len())
	}
}

func TestCloseEndsLookups(t *testing.T) {
	t.Parallel()
	s := serve(t, zone)
	gate := make(chan struct{})
	t.Cleanup(func() { close(gate) })
	arrived := make(chan struct{}, 1)
	s.set(func() { s.gate, s.arrived = gate, arrived })
	r, _ := resolver(t, nil, s)
	answer := make(chan Answer)
	go func() { answer <- resolve(t, r, "plain.example") }()
	<-arrived
	r.Close()
	if a := <-answer; a.Status != TemporaryFailure {
		t.Errorf("%s", show(a))
	}
	if a := resolve(t, r, "implicit.example"); a.Status != TemporaryFailure || !strings.Contains(a.Reason, ErrClosed.Error()) {
		t.Errorf("%s: %s", show(a), a.Reason)
	}
}

func TestNonsenseOptionsAreRefusedAllAtOnce(t *testing.T) {
	t.Parallel()
	_, err := NewResolver(Options{
		Servers: []string{"localhost", "127.0.0.1:x"}, Timeout: time.Hour, Concurrency: -1, MaxEntries: -1,
		Routes: map[string]string{"a b": "x", "ok.example": "host:0"}, Own: []string{".."},
		Families: 9, MinTTL: time.Hour, MaxTTL: time.Minute,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"localhost", "127.0.0.1:x", "timeout is 1h", "concurrency is -1", "entries kept is -1",
		`route "a b"`, "ok.example", `".."`, "families is 9", "largest TTL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if _, err := NewResolver(Options{Servers: []string{"::1", "[::1]:53", "127.0.0.1"}, Sites: []SiteRule{{"x y", "z"}}}); err == nil {
		t.Error("a site rule with a space was accepted")
	}
}

func TestDefaultProhibitedCoversItsNames(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"127.0.0.1": true, "10.1.2.3": true, "172.31.255.255": true, "172.32.0.1": false, "192.168.0.1": true,
		"169.254.169.254": true, "100.64.0.1": true, "0.0.0.0": true, "224.0.0.1": true, "255.255.255.255": true,
		"::": true, "::1": true, "fe80::1": true, "fd00::1": true, "ff02::1": true, "::ffff:127.0.0.1": true,
		"64:ff9b::a00:1": true, "64:ff9b::808:808": false, "2002:7f00:1::": true, "8.8.8.8": false, "2606:4700::1": false,
	} {
		if got := prohibits(DefaultProhibited(), netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

func BenchmarkResolveCached(b *testing.B) {
	s := serve(b, zone)
	r, _ := resolver(b, nil, s)
	resolve(b, r, "plain.example")
	for b.Loop() {
		resolve(b, r, "plain.example")
	}
}

// BenchmarkResolveFresh is three questions each (MX, A, AAAA), the server's
// cost in the same process included.
func BenchmarkResolveFresh(b *testing.B) {
	s := serve(b, zone)
	r, c := resolver(b, nil, s)
	for b.Loop() {
		c.advance(time.Hour)
		resolve(b, r, "gmail.example")
	}
}
