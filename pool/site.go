package pool

import (
	"sync"
	"time"
)

// Site is a destination that limits apply to. Its lanes share the gates' places
// in turn. Its methods may be called from any goroutine.
type Site struct {
	// Data belongs to whoever made the site, and is set before its first lane.
	Data any

	pool  *Pool
	name  string
	opts  SiteOptions
	gates []Gate // one per source, in the options' order

	mu    sync.Mutex
	lanes map[*Lane]struct{}    // under mu
	hosts map[string]*hostState // under mu; kept while a lane leads to them
	// line is the lanes that wait for a place: one place, then to the end of the
	// line again.
	line Line // under mu
	// idle is the list of connections with nothing to send or wait for, the
	// longest idle first.
	idleHead, idleTail *Connection // under mu
	// evicting is how many idle connections were told to go.
	evicting int         // under mu
	retry    *time.Timer // under mu: serves the line when no event does
	closed   bool        // under mu
}

// askAgain is how long the line waits when nothing says how long: a limit may
// have been raised meanwhile.
const askAgain = time.Second

// Name is the site's name.
func (s *Site) Name() string { return s.name }

// Close closes the site's lanes and forgets it; see Lane.Close.
func (s *Site) Close() {
	s.mu.Lock()
	s.closed = true
	lanes := make([]*Lane, 0, len(s.lanes))
	for l := range s.lanes {
		lanes = append(lanes, l)
	}
	s.forgetIfDone()
	s.mu.Unlock()
	for _, l := range lanes {
		l.Close()
	}
}

// AskAgain has every connection that waits for its gate ask it once more, and
// lanes that held back for it connect: the gate may grant more than it said.
func (s *Site) AskAgain() {
	s.mu.Lock()
	for l := range s.lanes {
		for i := range l.heldTo {
			l.heldTo[i].Store(0)
		}
	}
	s.mu.Unlock()
	s.wakeAll()
}

// EndRests forgets that hosts failed: each lane with something to send connects
// at once, as if nothing had been tried.
func (s *Site) EndRests() {
	s.mu.Lock()
	lanes := make([]*Lane, 0, len(s.lanes))
	for l := range s.lanes {
		l.endRest()
		l.told = false
		lanes = append(lanes, l)
	}
	s.mu.Unlock()
	for _, l := range lanes {
		l.size(false)
	}
}

// forgetIfDone lets go of a closed site without lanes. REQUIRES: s.mu is held.
func (s *Site) forgetIfDone() {
	if !s.closed || len(s.lanes) > 0 {
		return
	}
	if s.retry != nil {
		s.retry.Stop()
	}
	s.pool.mu.Lock()
	delete(s.pool.sites, s)
	s.pool.mu.Unlock()
}

// enqueue puts a lane to wait for a place, at the end, or in front if it has
// just been refused in its turn. REQUIRES: s.mu is held.
func (s *Site) enqueue(l *Lane, front bool) {
	if l.queued {
		return
	}
	l.queued = true
	l.restuck()
	s.line.Push(l, front)
}

// refused notes that the gates had no place: when to ask again, and whether an
// idle connection must make room. REQUIRES: s.mu is held. The connection to be
// woken, if any, is returned.
func (s *Site) refused(wait time.Duration) *Connection {
	if wait <= 0 || wait > askAgain {
		wait = askAgain
	}
	if s.retry == nil {
		s.retry = time.AfterFunc(wait, s.serve)
	} else {
		s.retry.Reset(wait)
	}
	if s.evicting >= s.line.Len() {
		return nil
	}
	if c := s.idleHead; c == nil || !s.othersWait(c.lane) {
		return nil
	}
	return s.evictOne()
}

// evictOne takes the connection that has been idle longest off the list, to be
// woken and sent away. REQUIRES: s.mu is held.
func (s *Site) evictOne() *Connection {
	c := s.idleHead
	if c == nil {
		return nil
	}
	s.unidle(c)
	c.lane.sated(c)
	c.evicted = true
	c.dismissed.Store(true)
	s.evicting++
	return c
}

// evictAll sends all idle connections away: places are short in the process.
func (s *Site) evictAll() {
	for {
		s.mu.Lock()
		c := s.evictOne()
		s.mu.Unlock()
		if c == nil {
			return
		}
		c.wake()
	}
}

// serve gives places to the lanes in line until the gates refuse.
func (s *Site) serve() {
	for {
		s.mu.Lock()
		if s.line.Len() == 0 {
			s.mu.Unlock()
			return
		}
		l := s.line.Pop()
		l.queued = false
		l.restuck()
		s.mu.Unlock()
		if !l.size(true) {
			return
		}
	}
}

// moveOn is called when a reservation or connection of l has ended.
func (s *Site) moveOn(l *Lane, blocked []*Lane) {
	s.serve()
	l.size(false)
	for _, b := range blocked {
		if b != l {
			b.size(false)
		}
	}
}

// waiting says whether lanes wait for a place. REQUIRES: s.mu is held.
func (s *Site) waiting() bool { return s.line.Len() > 0 }

// othersWait says whether lanes other than l wait for a place: l gains nothing by
// an idle connection of its own that is closed and dialled again. REQUIRES: s.mu
// is held.
func (s *Site) othersWait(l *Lane) bool {
	return s.line.Len() > 1 || s.line.Len() == 1 && s.line.First() != l
}

// host returns the state of a host, made if need be. REQUIRES: s.mu is held.
func (s *Site) host(name string) *hostState {
	h := s.hosts[name]
	if h == nil {
		h = &hostState{name: name, words: make([]health, len(s.gates))}
		s.hosts[name] = h
	}
	h.refs++
	return h
}

// letGo is the opposite of host. REQUIRES: s.mu is held.
func (s *Site) letGo(h *hostState) {
	h.refs--
	if h.refs == 0 && s.hosts[h.name] == h {
		delete(s.hosts, h.name)
	}
}

// idled appends c to the idle list. REQUIRES: s.mu is held.
func (s *Site) idled(c *Connection) {
	if c.idle {
		return
	}
	c.idle = true
	c.idlePrev, c.idleNext = s.idleTail, nil
	if s.idleTail != nil {
		s.idleTail.idleNext = c
	} else {
		s.idleHead = c
	}
	s.idleTail = c
}

// unidle takes c off the idle list. REQUIRES: s.mu is held.
func (s *Site) unidle(c *Connection) {
	if !c.idle {
		return
	}
	c.idle = false
	if c.idlePrev != nil {
		c.idlePrev.idleNext = c.idleNext
	} else {
		s.idleHead = c.idleNext
	}
	if c.idleNext != nil {
		c.idleNext.idlePrev = c.idlePrev
	} else {
		s.idleTail = c.idlePrev
	}
	c.idlePrev, c.idleNext = nil, nil
}

// wakeAll wakes every connection, to look at what has changed.
func (s *Site) wakeAll() {
	s.mu.Lock()
	var all []*Connection
	for l := range s.lanes {
		all = append(all, l.conns...)
	}
	s.mu.Unlock()
	for _, c := range all {
		c.wake()
	}
}

func (s *Site) stopTimers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retry != nil {
		s.retry.Stop()
	}
	for l := range s.lanes {
		if l.rested != nil {
			l.rested.Stop()
		}
	}
}
