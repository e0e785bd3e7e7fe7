package pool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/penstock-mail/penstock/pool/smtp"
	"github.com/penstock-mail/penstock/pool/wire"
)

// ErrDraining is why what had not begun was not begun any more.
var ErrDraining = errors.New("pool is draining")

// Pool is all connections of the process. Its methods may be called from any
// goroutine.
//
// # Locks
//
// Site.mu guards a site with its lanes, hosts and connections' bookkeeping;
// Pool.mu the sites; dialer.mu the dial queue. Site.mu comes before Pool.mu; no
// others are held together, and none while a Queue, Gate, Observer or Memory is
// called.
type Pool struct {
	opts Options
	wire *wire.Wire
	tls  *wire.TLS
	dial dialer

	// ctx ends when dials under way must give up.
	ctx    context.Context
	cancel context.CancelFunc

	draining atomic.Bool
	frozen   freezer
	tap      atomic.Pointer[Tap] // nil: nobody listens
	dialled  atomic.Uint64       // the last number given to a connection
	// ipv6: some connection over IPv6 has worked.
	ipv6 atomic.Bool

	mu     sync.Mutex
	sites  map[*Site]struct{} // under mu
	closed bool               // under mu
}

// New checks the options, listing everything that is wrong with them, and
// starts the event loops.
func New(opts Options) (*Pool, error) {
	opts, err := opts.prepare()
	if err != nil {
		return nil, err
	}
	w, err := wire.New(wire.Options{Loops: opts.Loops, Log: opts.Log})
	if err != nil {
		return nil, fmt.Errorf("pool: %w", err)
	}
	p := &Pool{opts: opts, wire: w, tls: wire.NewTLS(0, opts.Roots), sites: map[*Site]struct{}{}, frozen: make(freezer, len(opts.Sources))}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.dial.init(p)
	return p, nil
}

// Site adds a site. gate is asked once for each source, in their order; gates
// belong to this site alone.
func (p *Pool) Site(name string, gate func(Source) Gate, opts SiteOptions) *Site {
	s := &Site{pool: p, name: name, opts: opts, lanes: map[*Lane]struct{}{}, hosts: map[string]*hostState{}}
	if s.line = opts.Line; s.line == nil {
		s.line = new(lineUp)
	}
	for _, src := range p.opts.Sources {
		s.gates = append(s.gates, gate(src))
	}
	p.mu.Lock()
	p.sites[s] = struct{}{}
	p.mu.Unlock()
	return s
}

// allSites is a snapshot.
func (p *Pool) allSites() []*Site {
	p.mu.Lock()
	defer p.mu.Unlock()
	sites := make([]*Site, 0, len(p.sites))
	for s := range p.sites {
		sites = append(sites, s)
	}
	return sites
}

// Drain stops pulling, lets what is in flight finish, says QUIT and closes;
// when ctx ends first it closes what is left at once, and what was in flight
// there is settled as uncertain or not attempted. It returns when every message
// pulled has been settled and all is closed: nil, or ctx's error if force was
// needed. The pool is of no use afterwards.
func (p *Pool) Drain(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()

	p.draining.Store(true)
	p.cancel()
	p.dial.stop()
	p.wire.Each(func(c *wire.Conn) {
		if _, dialling := c.Handler().(*approach); dialling {
			c.Fail(ErrDraining)
		}
	})
	for _, s := range p.allSites() {
		s.wakeAll()
	}
	var err error
	select {
	case <-p.dial.empty:
	case <-ctx.Done():
		err = ctx.Err()
	}
	// Closing the transport closes every connection, which settles what is
	// left. Handshakes see the context and end by themselves.
	err = errors.Join(err, p.wire.Close())
	p.dial.running.Wait()
	for _, s := range p.allSites() {
		s.stopTimers()
	}
	return err
}

// Close is Drain without patience.
func (p *Pool) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Drain(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Stats is the pool's state in numbers.
type Stats struct {
	// Connections is all places taken: open and being dialled.
	Connections int
	// Dialling is dials under way, Queued those that wait for their turn.
	Dialling, Queued int
	// Exhausted counts dials that were put back since this machine had no
	// descriptor or port left.
	Exhausted uint64
}

// Stats may be called at any time.
func (p *Pool) Stats() Stats { return p.dial.stats() }

// topGear is the highest gear that pool, site and memory allow.
func topGear(gears ...smtp.Gear) smtp.Gear {
	top := smtp.GearAuto
	for _, g := range gears {
		if g != smtp.GearAuto && (top == smtp.GearAuto || g < top) {
			top = g
		}
	}
	return top
}
