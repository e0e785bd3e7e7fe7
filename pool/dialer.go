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
	// running is the goroutines of handshakes and of Options.Dial.
	running sync.WaitGroup
	// empty is closed when, after stop, no place is taken any more.
	empty chan struct{}

	mu       sync.Mutex
	queue    []*approach // under mu; from head on
	head     int         // under mu
	slots    int         // under mu: taken
	places   int         // under mu: connections open and being dialled
	dialling int         // under mu: approaches under way
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
	for {
		a, relieve := d.next()
		if relieve {
			for _, s := range d.pool.allSites() {
				s.evictAll()
			}
		}
		if a == nil {
			return
		}
		a.start()
	}
}

// next takes the approach that may start now, if any, with a slot and a place for
// it; relieve: idle connections are to be sent away.
func (d *dialer) next() (a *approach, relieve bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting() > 0 && d.slots < d.pool.opts.DialConcurrency &&
		d.places < d.pool.opts.MaxConnections && !d.holding && !d.stopped {
		a = d.queue[d.head]
		d.queue[d.head] = nil
		d.head++
		if d.head > 64 && d.head*2 > len(d.queue) {
			n := copy(d.queue, d.queue[d.head:])
			clear(d.queue[n:])
			d.queue, d.head = d.queue[:n], 0
		}
		a.slot = true
		d.slots++
		d.places++
		d.dialling++
		return a, false
	}
	short := d.waiting() > 0 && (d.places >= d.pool.opts.MaxConnections || d.holding)
	d.pressed.Store(short)
	if short {
		if now := d.pool.opts.Now(); now.Sub(d.relieved) >= reliefEvery {
			d.relieved, relieve = now, true
		}
	}
	return nil, relieve
}

func (d *dialer) waiting() int { return len(d.queue) - d.head }

// spawn runs a part of an approach that must wait on a goroutine of its own.
func (d *dialer) spawn(a *approach, f func()) {
	d.running.Go(func() {
		patience := time.AfterFunc(a.patience(d.pool.opts.Now()), func() { d.release(a) })
		defer patience.Stop()
		f()
	})
}

// release gives a's slot back, if it still has one.
func (d *dialer) release(a *approach) {
	d.mu.Lock()
	held := d.unslot(a)
	d.mu.Unlock()
	if held {
		d.pump()
	}
}

// unslot takes a's slot; false: it had none. REQUIRES: d.mu is held.
func (d *dialer) unslot(a *approach) bool {
	held := a.slot
	if held {
		a.slot = false
		d.slots--
	}
	return held
}

// ended is told that a is done; vacated: and that its place is free.
func (d *dialer) ended(a *approach, vacated bool) {
	d.mu.Lock()
	d.holds = 0
	d.dialling--
	d.unslot(a)
	if vacated {
		d.places--
	}
	d.mu.Unlock()
	d.checkEmpty()
	d.pump()
}

// abandoned gives back what an approach that nobody wants any more had.
func (d *dialer) abandoned(a *approach) {
	a.abandon()
	d.ended(a, true)
}

// exhaust puts an approach back for which this machine has no means: nobody is
// told, and it is tried again.
func (d *dialer) exhaust(a *approach) {
	d.exhausted.Add(1)
	d.mu.Lock()
	if d.stopped {
		d.mu.Unlock()
		d.abandoned(a)
		return
	}
	d.dialling--
	d.places--
	d.unslot(a)
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
	d.mu.Unlock()
	d.pump()
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
