package mx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// target is one MX record that can be used.
type target struct {
	name       string
	preference uint16
}

// find looks a domain up as RFC 5321 5.1 says, without looking at what is
// remembered of the domain. The TTL holds for every status but
// TemporaryFailure and is within bounds.
func (r *Resolver) find(ctx context.Context, domain string) (Answer, time.Duration) {
	if f, ok := r.fixedRoute(domain); ok {
		return r.findFixed(ctx, domain, f)
	}
	if addr, ok := addressLiteral(domain); ok {
		return r.findLiteral(domain, addr)
	}
	f, err := r.lookup(ctx, domain, dns.TypeMX)
	switch {
	case err != nil:
		return Answer{Status: TemporaryFailure, Reason: err.Error()}, 0
	case !f.exists:
		return Answer{Status: NoDomain, Reason: "the domain does not exist"}, r.bounded(f.ttl)
	case len(f.records) == 0:
		// RFC 5321 5.1: the domain itself, as if it were an MX of preference 0.
		a, ttl := r.findHosts(ctx, domain, []target{{name: domain}})
		if a.Status == NoDomain {
			a.Reason = "the domain has neither MX nor address records"
		}
		return a, r.bounded(min(ttl, f.ttl))
	}
	targets, null := mailTargets(f.records)
	if len(targets) == 0 {
		if null {
			return Answer{Status: NullMX, Reason: "the domain accepts no mail (null MX)"}, r.bounded(f.ttl)
		}
		return Answer{Status: NoDomain, Reason: "its MX records name no host"}, r.bounded(f.ttl)
	}
	a, ttl := r.findHosts(ctx, domain, targets)
	return a, r.bounded(min(ttl, f.ttl))
}

// mailTargets takes the usable targets, each once with its best preference.
// null: there was a null MX (RFC 7505 3); beside others it has no meaning.
func mailTargets(records []dns.RR) (targets []target, null bool) {
	for _, rr := range records {
		mx, ok := rr.(*dns.MX)
		if !ok {
			continue
		}
		if mx.Mx == "." {
			null = true
			continue
		}
		name, ok := canonicalName(mx.Mx)
		if !ok {
			continue
		}
		i := slices.IndexFunc(targets, func(t target) bool { return t.name == name })
		switch {
		case i >= 0:
			targets[i].preference = min(targets[i].preference, mx.Preference)
		case len(targets) < maxTargets:
			targets = append(targets, target{name, mx.Preference})
		}
	}
	return targets, null
}

// findHosts makes a route of targets: in order, with addresses, without
// prohibited ones.
func (r *Resolver) findHosts(ctx context.Context, domain string, targets []target) (Answer, time.Duration) {
	// Shuffled, then sorted stably: equal preferences share the load. Before
	// that in order of name, so that a seeded Rand gives what it gave before.
	slices.SortFunc(targets, func(a, b target) int { return strings.Compare(a.name, b.name) })
	r.shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
	slices.SortStableFunc(targets, func(a, b target) int { return cmp.Compare(a.preference, b.preference) })

	route := &Route{Site: domain, Key: routeKey(targets)}
	if !r.own[domain] {
		route.Site = r.sites.name(targets)
	}
	targets = targets[:min(len(targets), MaxHosts)]
	known := make([]addresses, len(targets))
	var wg sync.WaitGroup
	for i := 1; i < len(targets); i++ {
		wg.Go(func() { known[i] = r.hostAddrs(ctx, targets[i].name) })
	}
	known[0] = r.hostAddrs(ctx, targets[0].name)
	wg.Wait()

	ttl := r.opts.MaxTTL
	var failed error
	var prohibited []string
	for i, a := range known {
		h := Host{Name: targets[i].name, Preference: targets[i].preference}
		for _, addr := range a.addrs {
			if prohibits(r.opts.Prohibited, addr) {
				prohibited = append(prohibited, h.Name+" ("+addr.String()+")")
				continue
			}
			h.Addrs = append(h.Addrs, netip.AddrPortFrom(addr, r.opts.Port))
		}
		if len(h.Addrs) > 0 {
			route.Hosts = append(route.Hosts, h)
		}
		if a.err != nil {
			failed = errors.Join(failed, a.err)
			ttl = min(ttl, r.opts.MinTTL)
		} else {
			ttl = min(ttl, a.ttl)
		}
	}
	switch {
	case len(route.Hosts) > 0:
		a := Answer{Status: Found, Route: route}
		if failed != nil {
			a.Reason = "hosts left out: " + oneLine(failed)
		}
		return a, ttl
	case failed != nil:
		return Answer{Status: TemporaryFailure, Reason: oneLine(failed)}, 0
	case len(prohibited) > 0:
		return Answer{Status: Prohibited, Reason: "in a prohibited network: " + strings.Join(prohibited, ", ")}, ttl
	}
	return Answer{Status: NoDomain, Reason: fmt.Sprintf("none of its %d MX hosts has an address", len(targets))}, min(ttl, r.opts.MaxNegativeTTL)
}

// fixedRoute is the configured target for a domain.
func (r *Resolver) fixedRoute(domain string) (fixed, bool) {
	s, ok := r.opts.Routes[domain]
	if !ok {
		s, ok = r.opts.Routes["*"]
	}
	if !ok {
		return fixed{}, false
	}
	f, err := parseFixed(s, r.opts.Port)
	return f, err == nil // Options.fill has refused those with an error
}

// findFixed needs at most addresses. A target that cannot be found is our own
// mistake or DNS's: never a reason to bounce.
func (r *Resolver) findFixed(ctx context.Context, domain string, f fixed) (Answer, time.Duration) {
	host := Host{Name: f.name()}
	ttl := r.opts.MaxTTL
	if f.host == "" {
		host.Addrs = []netip.AddrPort{netip.AddrPortFrom(f.addr, f.port)}
	} else {
		a := r.hostAddrs(ctx, f.host)
		if len(a.addrs) == 0 {
			reason := "route's host " + f.host + " has no address"
			if a.err != nil {
				reason = "route: " + oneLine(a.err)
			}
			return Answer{Status: TemporaryFailure, Reason: reason}, 0
		}
		for _, addr := range a.addrs {
			host.Addrs = append(host.Addrs, netip.AddrPortFrom(addr, f.port))
		}
		ttl = r.bounded(a.ttl)
	}
	return r.single(domain, f, host, true), ttl
}

// findLiteral is the route of user@[192.0.2.1].
func (r *Resolver) findLiteral(domain string, addr netip.Addr) (Answer, time.Duration) {
	if prohibits(r.opts.Prohibited, addr) {
		return Answer{Status: Prohibited, Reason: "in a prohibited network: " + addr.String()}, r.opts.MaxTTL
	}
	f := fixed{addr: addr.Unmap(), port: r.opts.Port}
	host := Host{Name: f.name(), Addrs: []netip.AddrPort{netip.AddrPortFrom(f.addr, f.port)}}
	return r.single(domain, f, host, false), r.opts.MaxTTL
}

// single is the answer for one host that no MX named.
func (r *Resolver) single(domain string, f fixed, host Host, isFixed bool) Answer {
	site := domain
	if !r.own[domain] {
		var ok bool
		if site, ok = r.sites.byRule([]string{f.name()}); !ok {
			site = f.String()
		}
	}
	return Answer{Status: Found, Route: &Route{Site: site, Key: f.String(), Hosts: []Host{host}, Fixed: isFixed}}
}

// oneLine joins what errors.Join put on several.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
