package pool

import (
	"slices"
	"sync/atomic"
	"time"
)

// Lane is one route's queue within a site: the connections to a set of hosts
// that serve the same domains under the same TLS policy. Its methods may be
// called from any goroutine.
type Lane struct {
	// Data belongs to whoever made the lane, and is set before its first Wake.
	Data any

	site  *Site
	queue Queue
	opts  LaneOptions

	// These are read before Site.mu is taken: Wake is called far more often
	// than there is something to do.
	nHungry atomic.Int32 // len(hungry)
	nPlaces atomic.Int32 // places()
	stuck   atomic.Bool  // closed, queued, halted or resting: not to be sized
	sized   atomic.Int64 // when a busy connection last looked at the size
	// heldTo is, by source, until when (Unix nanoseconds) the gate's rate is
	// known to be what limits the lane.
	heldTo []atomic.Int64

	// Below: under Site.mu.
	targets    []*target // by preference
	conns      []*Connection
	connecting int
	leaving    int   // of conns: those that only wait to be closed
	bySource   []int // places taken, by source
	// hungry is the connections with room whose last pull came back short.
	hungry []*Connection
	queued bool // in Site.line
	// blocked: it is to be sized when some host's probe ends; halted: there is
	// nothing to size before that.
	blocked, halted bool
	// resting until: every host failed, lately with restWhy; told: the queue
	// knows, since no connection was left.
	resting time.Time
	restWhy Failure
	told    bool
	rested  *time.Timer
	turn    int // rotates hosts of equal load
	closed  bool
	dead    bool // closed, and the last connection is gone
}

// target is a host as a lane sees it.
type target struct {
	Host
	state *hostState
	load  int  // under Site.mu: the lane's places there
	gone  bool // under Site.mu: no longer among the lane's hosts
}

// Lane adds a lane; it connects when its queue has something.
func (s *Site) Lane(hosts []Host, q Queue, opts LaneOptions) *Lane {
	l := &Lane{site: s, queue: q, opts: opts, bySource: make([]int, len(s.gates)), heldTo: make([]atomic.Int64, len(s.gates))}
	s.mu.Lock()
	s.lanes[l] = struct{}{}
	l.aim(hosts)
	s.mu.Unlock()
	l.Wake()
	return l
}

// Site is the lane's site.
func (l *Lane) Site() *Site { return l.site }

// Wake tells that the queue has messages ready. It is cheap, and may be called
// for every message: it wakes at most one connection, and that one the next if
// it found the queue fuller than its window.
func (l *Lane) Wake() {
	if l.nHungry.Load() > 0 && l.wakeOne() {
		return
	}
	l.grow()
}

// grow connects if the backlog justifies more than there is.
func (l *Lane) grow() {
	if !l.stuck.Load() && int(l.nPlaces.Load()) < l.wanted(l.queue.Backlog()) {
		l.size(false)
	}
}

// wakeOne wakes the connection that became hungry last, so that those there is
// nothing for stay idle, and are closed; false: none is hungry.
func (l *Lane) wakeOne() bool {
	l.site.mu.Lock()
	n := len(l.hungry)
	if n == 0 {
		l.site.mu.Unlock()
		return false
	}
	c := l.hungry[n-1]
	l.sated(c)
	l.site.unidle(c)
	l.site.mu.Unlock()
	c.wake()
	return true
}

// Retarget gives the lane its hosts anew. Connections to hosts that are no
// longer among them finish what is in flight and close. A rest ends where
// something is new: each of a thousand domains with the same hosts says them
// again, and a dead one would never rest.
func (l *Lane) Retarget(hosts []Host) {
	s := l.site
	s.mu.Lock()
	if l.closed {
		s.mu.Unlock()
		return
	}
	if !l.aim(hosts) {
		s.mu.Unlock()
		return
	}
	l.endRest()
	var retired []*Connection
	for _, c := range l.conns {
		if c.to.gone {
			c.dismissed.Store(true)
			retired = append(retired, c)
		}
	}
	s.mu.Unlock()
	for _, c := range retired {
		c.wake()
	}
	l.size(false)
}

// aim sets the targets, keeping what is known, and reports whether they are
// others than before. REQUIRES: Site.mu is held.
func (l *Lane) aim(hosts []Host) (changed bool) {
	old := l.targets
	l.targets = make([]*target, 0, len(hosts))
	for _, h := range hosts {
		h.Addrs = slices.Clone(h.Addrs)
		i := slices.IndexFunc(old, func(o *target) bool {
			return o.Name == h.Name && o.Preference == h.Preference && slices.Equal(o.Addrs, h.Addrs)
		})
		if i >= 0 {
			l.targets = append(l.targets, old[i])
			old = slices.Delete(slices.Clone(old), i, i+1)
			continue
		}
		l.targets = append(l.targets, &target{Host: h, state: l.site.host(h.Name)})
		changed = true
	}
	changed = changed || len(old) > 0
	for _, o := range old {
		o.gone = true
		if o.load == 0 {
			l.site.letGo(o.state)
		}
	}
	slices.SortStableFunc(l.targets, func(a, b *target) int { return int(a.Preference) - int(b.Preference) })
	return changed
}

// Close ends the lane: nothing more is pulled, what is in flight finishes and is
// settled, and the connections close.
func (l *Lane) Close() {
	s := l.site
	s.mu.Lock()
	l.closed = true
	l.restuck()
	if l.rested != nil {
		l.rested.Stop()
	}
	conns := slices.Clone(l.conns)
	for _, c := range conns {
		c.dismissed.Store(true)
	}
	l.buryIfDone()
	s.mu.Unlock()
	for _, c := range conns {
		c.wake()
	}
}

// buryIfDone lets go of a closed lane without connections. REQUIRES: Site.mu is held.
func (l *Lane) buryIfDone() {
	if !l.closed || l.dead || len(l.conns)+l.connecting > 0 {
		return
	}
	l.dead = true
	for _, t := range l.targets {
		l.site.letGo(t.state)
	}
	l.targets = nil
	delete(l.site.lanes, l)
	l.site.forgetIfDone()
}

// shut says whether the lane was closed.
func (l *Lane) shut() bool {
	l.site.mu.Lock()
	defer l.site.mu.Unlock()
	return l.closed
}

// restuck sets stuck by what it stands for. REQUIRES: Site.mu is held.
func (l *Lane) restuck() {
	l.stuck.Store(l.closed || l.queued || l.halted || !l.resting.IsZero())
}

// unblock takes the lanes that wait for a probe of h. REQUIRES: Site.mu is held.
func unblock(h *hostState) []*Lane {
	lanes := h.blocked
	h.blocked = nil
	for _, l := range lanes {
		l.blocked, l.halted = false, false
		l.restuck()
	}
	return lanes
}

// awaitProbe has the lane sized when a probe of one of these ends. REQUIRES:
// Site.mu is held.
func (l *Lane) awaitProbe(hosts ...*hostState) {
	if l.blocked {
		return
	}
	l.blocked = true
	for _, h := range hosts {
		h.blocked = append(h.blocked, l)
	}
}

// endRest forgets that every host failed. REQUIRES: Site.mu is held.
func (l *Lane) endRest() {
	if !l.resting.IsZero() {
		l.resting = time.Time{}
		l.rested.Stop()
		l.restuck()
	}
	for _, t := range l.targets {
		t.state.silent.until = time.Time{}
		for i := range t.state.words {
			t.state.words[i].until = time.Time{}
		}
	}
}

// starved notes that c has room and the queue had nothing. REQUIRES: Site.mu is held.
func (l *Lane) starved(c *Connection) {
	if c.hungryAt == 0 {
		l.hungry = append(l.hungry, c)
		c.hungryAt = len(l.hungry)
		c.hungry.Store(true)
		l.nHungry.Store(int32(len(l.hungry)))
	}
}

// sated is the opposite of starved. REQUIRES: Site.mu is held.
func (l *Lane) sated(c *Connection) {
	if c.hungryAt == 0 {
		return
	}
	i, last := c.hungryAt-1, len(l.hungry)-1
	l.hungry[i] = l.hungry[last]
	l.hungry[i].hungryAt = i + 1
	l.hungry[last] = nil
	l.hungry = l.hungry[:last]
	c.hungryAt = 0
	c.hungry.Store(false)
	l.nHungry.Store(int32(last))
}

// places is how many connections there are to send with, now or soon. REQUIRES:
// Site.mu is held.
func (l *Lane) places() int { return len(l.conns) - l.leaving + l.connecting }

// counted publishes places. REQUIRES: Site.mu is held.
func (l *Lane) counted() { l.nPlaces.Store(int32(l.places())) }

// reserve takes a place. REQUIRES: Site.mu is held.
func (l *Lane) reserve(t *target, source int, now time.Time) {
	l.connecting++
	l.counted()
	l.bySource[source]++
	t.load++
	if t.state.connecting++; t.state.connecting == 1 {
		t.state.since = now
	}
}

// unreserve gives it back. REQUIRES: Site.mu is held.
func (l *Lane) unreserve(t *target, source int) {
	l.connecting--
	t.state.connecting--
	l.vacate(t, source)
}

// joined turns a reservation into an open connection. REQUIRES: Site.mu is held.
func (l *Lane) joined(c *Connection) {
	l.connecting--
	c.to.state.connecting--
	c.to.state.open++
	l.conns = append(l.conns, c)
}

// left takes a closed connection out. REQUIRES: Site.mu is held.
func (l *Lane) left(c *Connection) {
	i := slices.Index(l.conns, c)
	last := len(l.conns) - 1
	l.conns[i] = l.conns[last]
	l.conns[last] = nil
	l.conns = l.conns[:last]
	if c.leaving {
		l.leaving--
	}
	c.to.state.open--
	l.vacate(c.to, c.source)
}

// vacate gives back what open and reserved places share. REQUIRES: Site.mu is held.
func (l *Lane) vacate(t *target, source int) {
	l.counted()
	l.bySource[source]--
	t.load--
	if t.gone && t.load == 0 {
		l.site.letGo(t.state)
	}
	l.buryIfDone()
}
