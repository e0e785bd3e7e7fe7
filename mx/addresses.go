package mx

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// addresses is what is known of one host.
type addresses struct {
	// addrs in the order to try them; at most MaxAddrs.
	addrs []netip.Addr
	// err is set when something could not be found out; addrs may still hold
	// what was.
	err error
	ttl time.Duration
	// good is the end of the TTL, for serving stale.
	good time.Time
}

// errOtherFamily: nothing here can be reached, but somebody could.
var errOtherFamily = errors.New("has addresses only of the IP version that is not in use here")

// hostAddrs finds a host's addresses, from memory where they are known: large
// providers' hosts serve very many domains. It is part of a domain's look-up, which
// nobody gives up before Close: so it needs no goroutine of its own.
func (r *Resolver) hostAddrs(ctx context.Context, host string) addresses {
	a, err := r.hosts.get(ctx, host, r.now(), nil, func(old addresses, had bool) (addresses, time.Time) {
		a := r.lookupAddrs(r.ctx, host)
		now := r.now()
		if len(a.addrs) == 0 && a.err != nil {
			if had && len(old.addrs) > 0 && now.Before(old.good.Add(r.opts.MaxStale)) {
				return old, now.Add(r.opts.FailureTTL)
			}
			return a, now.Add(r.opts.FailureTTL)
		}
		a.ttl = r.bounded(a.ttl)
		if a.err != nil {
			a.ttl = r.opts.MinTTL
		}
		a.good = now.Add(a.ttl)
		return a, a.good
	})
	if err != nil {
		return addresses{err: err}
	}
	return a
}

// lookupAddrs asks for A and AAAA, side by side.
func (r *Resolver) lookupAddrs(ctx context.Context, host string) addresses {
	var v4, v6 addresses
	use4, use6 := r.opts.Families != IPv6Only, r.opts.Families != IPv4Only
	switch {
	case use4 && use6:
		done := make(chan struct{})
		if err := r.spawn(func() { v6 = r.lookupFamily(ctx, host, dns.TypeAAAA); close(done) }); err != nil {
			return addresses{err: err}
		}
		v4 = r.lookupFamily(ctx, host, dns.TypeA)
		<-done
	case use4:
		v4, v6.ttl = r.lookupFamily(ctx, host, dns.TypeA), r.opts.MaxTTL
	default:
		v6, v4.ttl = r.lookupFamily(ctx, host, dns.TypeAAAA), r.opts.MaxTTL
	}
	a := addresses{err: errors.Join(v4.err, v6.err), ttl: min(v4.ttl, v6.ttl)}
	// Half of the room each where there are both, so that neither crowds the
	// other out.
	if n := len(v4.addrs) + len(v6.addrs); n > MaxAddrs {
		keep4 := max(MaxAddrs/2, MaxAddrs-len(v6.addrs))
		v4.addrs = v4.addrs[:min(len(v4.addrs), keep4)]
		v6.addrs = v6.addrs[:min(len(v6.addrs), MaxAddrs-len(v4.addrs))]
	}
	if r.opts.Families == IPv6First {
		a.addrs = append(v6.addrs, v4.addrs...)
	} else {
		a.addrs = append(v4.addrs, v6.addrs...)
	}
	// "No address" would be permanent: say so only when that is so for everybody.
	if len(a.addrs) == 0 && a.err == nil && use4 != use6 {
		other := dns.TypeAAAA
		if use6 {
			other = dns.TypeA
		}
		switch o := r.lookupFamily(ctx, host, other); {
		case o.err != nil:
			a.err = o.err
		case len(o.addrs) > 0:
			a.err = errors.New(host + " " + errOtherFamily.Error())
		default:
			a.ttl = min(a.ttl, o.ttl)
		}
	}
	return a
}

func (r *Resolver) lookupFamily(ctx context.Context, host string, qtype uint16) addresses {
	f, err := r.lookup(ctx, host, qtype)
	if err != nil {
		return addresses{err: err, ttl: r.opts.FailureTTL}
	}
	a := addresses{ttl: f.ttl}
	for _, rr := range f.records {
		var addr netip.Addr
		var ok bool
		switch rr := rr.(type) {
		case *dns.A:
			addr, ok = netip.AddrFromSlice(rr.A.To4())
		case *dns.AAAA:
			addr, ok = netip.AddrFromSlice(rr.AAAA.To16())
		}
		if ok && !slices.Contains(a.addrs, addr) {
			a.addrs = append(a.addrs, addr)
		}
	}
	r.shuffle(len(a.addrs), func(i, j int) { a.addrs[i], a.addrs[j] = a.addrs[j], a.addrs[i] })
	a.addrs = a.addrs[:min(len(a.addrs), MaxAddrs)]
	return a
}
