package pool

import (
	"sync"
	"sync/atomic"
	"time"
)

// dialer is the process-wide queue of dials: first in, first out over all
// sites, a bounded number at once, and no more connections than descriptors.
//
// A dial holds one of DialConcurrency slots, but no longer than slotPatience:
// the slots are there so that thousands of connects and handshakes do not fight
// for the processors, and a dial that waits for a dead host does not use any.
// Else a few hundred dead hosts would hold up all the others for a connect
// time-out. Those that wait are bounded by MaxConnections.
type dialer struct {
	pool *Pool

	// pressed: places are short and idle connections should go at once.
	pressed atomic.Bool
	// exhausted counts dials put back for lack of means.
	exhausted atomic.Uint64
	// running is the dial goroutines.
	running sync.WaitGroup
	// empty is closed when, after stop, no place is taken any more.
	empty chan struct{}

	mu       sync.Mutex
	queue    []*approach // under mu; from head on
	head     int         // under mu
	slots    int         // under mu: taken
	places   int         // under mu: connections open and being dialled
	dialling int         // under mu: goroutines
	holding  bool        // under mu: all dials wait for means
	holds    int         // under mu: holds in a row
	stopped  bool        // under mu
	over     bool        // under mu: empty is closed
	relieved time.Time   // under mu: when idle connections were last sent away
	unhold   *time.Timer // under mu
}

const (
	slotPatience = time.Second
	holdFirst    = 50 * time.Millisecond
	holdMax      = 2 * time.Second
	reliefEvery  = 100 * time.Millisecond
)

func (d *dialer) init(p *Pool) {
	d.pool = p
	d.empty = make(chan struct{})
}

// submit queues an approach; its place at the gate is already taken.
func (d *dialer) submit(a *approach) {
	d.mu.Lock()
	if d.stopped {
		d.mu.Unlock()
		a.abandon()
		return
	}
	d.queue = append(d.queue, a)
	d.mu.Unlock()
	d.pump()
}

// pump starts what may start.
func (d *dialer) pump() {
	d.mu.Lock()
	for d.waiting() > 0 && d.slots < d.pool.opts.DialConcurrency &&
		d.places < d.pool.opts.MaxConnections && !d.holding && !d.stopped {
		a := d.queue[d.head]
		d.queue[d.head] = nil
		d.head++
		if d.head > 64 && d.head*2 > len(d.queue) {
			n := copy(d.queue, d.queue[d.head:])
			clear(d.queue[n:])
			d.queue, d.head = d.queue[:n], 0
		}
		d.slots++
		d.places++
		d.dialling++
		d.running.Add(1)
		go d.run(a)
	}
	short := d.waiting() > 0 && (d.places >= d.pool.opts.MaxConnections || d.holding)
	d.pressed.Store(short)
	relieve := false
	if now := d.pool.opts.Now(); short && now.Sub(d.relieved) >= reliefEvery {
		d.relieved, relieve = now, true
	}
	d.mu.Unlock()
	if relieve {
		for _, s := range d.pool.allSites() {
			s.evictAll()
		}
	}
}

func (d *dialer) waiting() int { return len(d.queue) - d.head }

// run is the dial goroutine.
func (d *dialer) run(a *approach) {
	defer d.running.Done()
	var once sync.Once
	release := func() {
		once.Do(func() {
			d.mu.Lock()
			d.slots--
			d.mu.Unlock()
			d.pump()
		})
	}
	patience := time.AfterFunc(slotPatience, release)
	exhausted := a.run(d.pool.ctx)
	patience.Stop()

	d.mu.Lock()
	d.dialling--
	switch {
	case !exhausted:
		d.holds = 0
	case d.stopped:
		d.places--
	default:
		d.places--
		// To the end: should it be the only one that cannot be dialled (its
		// source's address was taken from this machine), others go on.
		d.queue = append(d.queue, a)
		if !d.holding {
			d.holding = true
			wait := min(holdFirst<<min(d.holds, 10), holdMax)
			d.holds++
			d.unhold = time.AfterFunc(wait, func() {
				d.mu.Lock()
				d.holding = false
				d.mu.Unlock()
				d.pump()
			})
		}
	}
	stopped := d.stopped
	d.mu.Unlock()
	if exhausted {
		d.exhausted.Add(1)
		if stopped {
			a.abandon()
		}
	}
	release()
	d.checkEmpty()
}

// leave gives a place back.
func (d *dialer) leave() {
	d.mu.Lock()
	d.places--
	d.mu.Unlock()
	d.checkEmpty()
	d.pump()
}

// stop abandons what waits. empty is closed when all places are given back.
func (d *dialer) stop() {
	d.mu.Lock()
	d.stopped = true
	left := d.queue[d.head:]
	d.queue, d.head = nil, 0
	if d.unhold != nil {
		d.unhold.Stop()
	}
	d.mu.Unlock()
	for _, a := range left {
		a.abandon()
	}
	d.checkEmpty()
}

func (d *dialer) checkEmpty() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped && d.places == 0 && d.dialling == 0 && !d.over {
		d.over = true
		close(d.empty)
	}
}

func (d *dialer) stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{Connections: d.places, Dialling: d.dialling, Queued: d.waiting(), Exhausted: d.exhausted.Load()}
}
