package mx

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Options configure a Resolver. The zero value is ready to use: the system's
// resolvers and sound bounds.
type Options struct {
	// Servers are the DNS resolvers asked, "address" or "address:port", in
	// this order; none: those of /etc/resolv.conf.
	Servers []string
	// Timeout bounds one question to one server: 10 ms to 1 minute; 0: 3
	// seconds.
	Timeout time.Duration
	// Concurrency bounds the questions under way at once: 1 to 10,000; 0: 100.
	Concurrency int

	// Prohibited are networks whose hosts are refused; nil: DefaultProhibited;
	// empty but not nil: none. Fixed routes are not checked.
	Prohibited []netip.Prefix
	// Routes send a domain ("*": all others) to a fixed "host:port" or
	// "host"; no MX is asked. A host name is looked up by address.
	Routes map[string]string
	// Port is the port of MX hosts, and of routes without one; 0: 25.
	Port uint16
	// Families says which addresses are used, and which first.
	Families Families

	// Sites are site rules that come before the built-in ones.
	Sites []SiteRule
	// Own are domains that are a site of their own, named after them, whatever
	// their hosts: those for which limits are set.
	Own []string

	// MinTTL and MaxTTL bound how long an answer is kept; 0: 1 minute, 6 hours.
	MinTTL, MaxTTL time.Duration
	// MaxNegativeTTL bounds it for "no such domain"; 0: 15 minutes.
	MaxNegativeTTL time.Duration
	// FailureTTL is how long a temporary failure is kept; 0: 20 seconds.
	FailureTTL time.Duration
	// MaxStale is how long past its end an answer still serves while DNS
	// fails (RFC 8767); 0: 24 hours; negative: never.
	MaxStale time.Duration
	// MaxEntries bounds the answers kept; 0: 100,000.
	MaxEntries int

	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Rand gives a number in [0, n), safe for concurrent use; nil: math/rand/v2.
	Rand func(n int) int
}

// Families says which IP versions are used. Closed set.
type Families uint8

const (
	// FamiliesAuto: IPv4 first, then IPv6 if the machine has a route for it.
	// IPv4 comes first since a source's reputation is tied to it more often.
	FamiliesAuto Families = iota
	IPv4First
	IPv6First
	IPv4Only
	IPv6Only
)

// Bounds on one answer: what a domain publishes beyond them is left out.
const (
	MaxHosts   = 16 // of a domain, the best by preference
	MaxAddrs   = 8  // of a host
	maxTargets = 50 // looked at for the site's name
)

// fill checks the options as a whole and sets what was left out.
func (o *Options) fill() error {
	var errs []error
	within := func(name string, d *time.Duration, def, lo, hi time.Duration) {
		if *d == 0 {
			*d = def
		}
		if *d < lo || *d > hi {
			errs = append(errs, fmt.Errorf("%s is %v, must be %v to %v", name, *d, lo, hi))
		}
	}
	within("timeout", &o.Timeout, 3*time.Second, 10*time.Millisecond, time.Minute)
	within("smallest TTL", &o.MinTTL, time.Minute, time.Second, 24*time.Hour)
	within("largest TTL", &o.MaxTTL, max(6*time.Hour, o.MinTTL), o.MinTTL, 7*24*time.Hour)
	within("largest negative TTL", &o.MaxNegativeTTL, max(15*time.Minute, o.MinTTL), o.MinTTL, 24*time.Hour)
	within("failure TTL", &o.FailureTTL, 20*time.Second, time.Second, time.Hour)
	if o.MaxStale >= 0 {
		within("largest staleness", &o.MaxStale, 24*time.Hour, time.Second, 7*24*time.Hour)
	}
	if o.Concurrency == 0 {
		o.Concurrency = 100
	}
	if o.Concurrency < 1 || o.Concurrency > 10_000 {
		errs = append(errs, fmt.Errorf("concurrency is %d, must be 1 to 10000", o.Concurrency))
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = 100_000
	}
	if o.MaxEntries < 1 {
		errs = append(errs, fmt.Errorf("entries kept is %d, must be at least 1", o.MaxEntries))
	}
	if o.Families > IPv6Only {
		errs = append(errs, fmt.Errorf("families is %d, no such choice", o.Families))
	}
	if o.Port == 0 {
		o.Port = 25
	}
	if o.Prohibited == nil {
		o.Prohibited = DefaultProhibited()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.IntN
	}
	if o.Families == FamiliesAuto {
		o.Families = IPv4Only
		if hasIPv6Route() {
			o.Families = IPv4First
		}
	}
	errs = append(errs, o.fillServers(), o.fillDomains())
	return errors.Join(errs...)
}

func (o *Options) fillServers() error {
	servers := o.Servers
	if len(servers) == 0 {
		if len(o.Routes) > 0 && o.Routes["*"] != "" {
			// Everything may have a fixed address; without a server, names fail
			// when they are asked for.
			servers = systemServers()
			if len(servers) == 0 {
				servers = []string{"127.0.0.1"}
			}
		} else if servers = systemServers(); len(servers) == 0 {
			return errors.New("no DNS server given and none in /etc/resolv.conf")
		}
	}
	var errs []error
	o.Servers = nil
	for _, s := range servers {
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			host, port = strings.Trim(s, "[]"), "53"
		}
		if _, err := netip.ParseAddr(host); err != nil {
			errs = append(errs, fmt.Errorf("DNS server %q: want an IP address, with or without a port", s))
			continue
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			errs = append(errs, fmt.Errorf("DNS server %q: port %q is not a number up to 65535", s, port))
			continue
		}
		o.Servers = append(o.Servers, net.JoinHostPort(host, port))
	}
	return errors.Join(errs...)
}

// fillDomains brings the domains of routes and sites into one form, on copies.
func (o *Options) fillDomains() error {
	var errs []error
	routes := make(map[string]string, len(o.Routes))
	for _, domain := range slices.Sorted(maps.Keys(o.Routes)) {
		name, ok := canonicalDomain(domain)
		if domain == "*" {
			name, ok = "*", true
		}
		if !ok {
			errs = append(errs, fmt.Errorf("route %q: not a domain", domain))
			continue
		}
		if _, err := parseFixed(o.Routes[domain], o.Port); err != nil {
			errs = append(errs, fmt.Errorf("route %s: %w", domain, err))
		}
		routes[name] = o.Routes[domain]
	}
	o.Routes = routes
	own := make([]string, 0, len(o.Own))
	for _, domain := range o.Own {
		name, ok := canonicalDomain(domain)
		if !ok {
			errs = append(errs, fmt.Errorf("site of its own %q: not a domain", domain))
			continue
		}
		own = append(own, name)
	}
	o.Own = own
	return errors.Join(errs...)
}

func systemServers() []string {
	c, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	var servers []string
	for _, s := range c.Servers {
		// A zone ("fe80::1%eth0") is part of the address for dialling.
		servers = append(servers, net.JoinHostPort(s, c.Port))
	}
	return servers
}

// hasIPv6Route asks the system where a packet to a public address would leave;
// connecting a UDP socket sends nothing.
func hasIPv6Route() bool {
	c, err := net.Dial("udp6", "[2001:500:200::b]:53")
	if err != nil {
		return false
	}
	defer c.Close()
	local, ok := c.LocalAddr().(*net.UDPAddr)
	return ok && local.IP.IsGlobalUnicast() && !local.IP.IsPrivate()
}

// canonicalDomain is a mail domain in canonical form; an address literal is one.
func canonicalDomain(domain string) (string, bool) {
	if _, ok := addressLiteral(domain); ok {
		return strings.ToLower(domain), true
	}
	return canonicalName(domain)
}
