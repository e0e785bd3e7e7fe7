package mx

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Resolver finds routes and remembers them. Safe for concurrent use.
//
// Lock order: cache.mu, then Resolver.mu; a domain's look-up waits for hosts'
// look-ups, never the reverse.
type Resolver struct {
	opts    Options
	servers []*server
	sites   siteNames
	own     map[string]bool
	timeout time.Duration
	now     func() time.Time
	slots   chan struct{} // one for each question under way

	domains *cache[known]
	hosts   *cache[addresses]

	// ctx ends with Close; look-ups live under it and not under their callers'.
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	lines  sync.WaitGroup // the goroutines of UDP sockets
	// work is taken by goroutines that have done theirs: a look-up goes deep, and
	// a new stack would grow as deep each time.
	work   chan func()
	idle   atomic.Int32
	mu     sync.Mutex
	closed bool // guarded by mu
}

// known is a remembered answer; good is the end of its TTL.
type known struct {
	Answer
	good time.Time
}

// ErrClosed is behind the answers of a resolver that was closed.
var ErrClosed = errors.New("resolver is closed")

// NewResolver makes a resolver. The error lists everything that is wrong with
// the options.
func NewResolver(o Options) (*Resolver, error) {
	if err := o.fill(); err != nil {
		return nil, fmt.Errorf("mx resolver: %w", err)
	}
	sites, err := newSiteNames(append(append([]SiteRule(nil), o.Sites...), BuiltinSites()...))
	if err != nil {
		return nil, fmt.Errorf("mx resolver: %w", err)
	}
	r := &Resolver{
		opts: o, sites: sites, own: make(map[string]bool), timeout: o.Timeout, now: o.Now,
		slots:   make(chan struct{}, o.Concurrency),
		work:    make(chan func()),
		domains: newCache[known](o.MaxEntries),
		hosts:   newCache[addresses](o.MaxEntries),
	}
	for _, domain := range o.Own {
		r.own[domain] = true
	}
	for _, addr := range o.Servers {
		r.servers = append(r.servers, &server{addr: addr})
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	return r, nil
}

// Resolve says where a domain's mail goes. It blocks until that is known, or
// until ctx ends, which is a TemporaryFailure that is not remembered. The
// domain may be in any case, in A-label form, with or without its last dot; an
// address literal ("[192.0.2.1]") is one too.
func (r *Resolver) Resolve(ctx context.Context, domain string) Answer {
	name, ok := canonicalDomain(domain)
	if !ok {
		return Answer{Domain: domain, Status: NoDomain, Reason: "not a domain name", Expires: r.now().Add(r.opts.MaxTTL)}
	}
	k, err := r.domains.get(ctx, name, r.now(), r.spawn, func(old known, had bool) (known, time.Time) {
		return r.refresh(name, old, had)
	})
	if err != nil {
		return Answer{Domain: name, Status: TemporaryFailure, Reason: err.Error(), Expires: r.now()}
	}
	return k.Answer
}

// refresh looks a domain up; old is what was known.
func (r *Resolver) refresh(domain string, old known, had bool) (known, time.Time) {
	a, ttl := r.find(r.ctx, domain)
	now := r.now()
	k := known{Answer: a}
	k.Domain = domain
	switch {
	case a.Status != TemporaryFailure:
		k.good = now.Add(ttl)
		k.Expires = k.good
	case had && old.Status == Found && now.Before(old.good.Add(r.opts.MaxStale)):
		// RFC 8767: what was right until now is better than nothing.
		k = old
		k.Reason = "stale, since DNS fails: " + a.Reason
		k.Expires = now.Add(r.opts.FailureTTL)
	default:
		k.Expires = now.Add(r.opts.FailureTTL)
	}
	return k, k.Expires
}

// Close ends all look-ups and waits for them; their callers get a
// TemporaryFailure.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel(ErrClosed)
	r.wg.Wait()
	for _, s := range r.servers {
		s.close()
	}
	r.lines.Wait()
}

// spawn runs f on a goroutine that Close waits for.
func (r *Resolver) spawn(f func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	select {
	case r.work <- f:
	default:
		r.wg.Go(func() { r.run(f) })
	}
	return nil
}

// idleGoroutines is how many wait for work.
const idleGoroutines = 64

// run does f, and what comes then.
func (r *Resolver) run(f func()) {
	for {
		f()
		if r.idle.Add(1) > idleGoroutines {
			r.idle.Add(-1)
			return
		}
		select {
		case f = <-r.work:
			r.idle.Add(-1)
		case <-r.ctx.Done():
			return
		}
	}
}

// bounded keeps a TTL within the options' bounds.
func (r *Resolver) bounded(ttl time.Duration) time.Duration {
	return min(max(ttl, r.opts.MinTTL), r.opts.MaxTTL)
}

func (r *Resolver) shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, r.opts.Rand(i+1))
	}
}
