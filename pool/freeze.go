package pool

import (
	"slices"
	"sync/atomic"
)

// freezer says which sources are frozen, in the order of Options.Sources.
type freezer []atomic.Bool

// Freeze keeps a source from being used: no connection is made from it, those
// that there are finish what is in flight and close, and other sources take its
// place. A connection that is just pulling may still begin what it is given:
// whoever needs that excluded answers its Pull with nothing. An unknown name
// changes nothing. Any goroutine.
func (p *Pool) Freeze(source string) {
	i := p.setFrozen(source, true)
	if i < 0 {
		return
	}
	var all []*Connection
	for _, s := range p.allSites() {
		s.mu.Lock()
		for l := range s.lanes {
			for _, c := range l.conns {
				if c.source == i {
					all = append(all, c)
				}
			}
		}
		s.mu.Unlock()
	}
	for _, c := range all {
		c.wake()
	}
}

// Thaw ends a Freeze: lanes with a backlog connect from the source again.
func (p *Pool) Thaw(source string) {
	if p.setFrozen(source, false) < 0 {
		return
	}
	for _, s := range p.allSites() {
		s.mu.Lock()
		lanes := make([]*Lane, 0, len(s.lanes))
		for l := range s.lanes {
			lanes = append(lanes, l)
		}
		s.mu.Unlock()
		for _, l := range lanes {
			l.size(false)
		}
	}
}

// setFrozen gives the source's index; -1: there is none of that name.
func (p *Pool) setFrozen(source string, frozen bool) int {
	i := slices.IndexFunc(p.opts.Sources, func(s Source) bool { return s.Name == source })
	if i >= 0 {
		p.frozen[i].Store(frozen)
	}
	return i
}

// SourceSnapshot is what one source does, over all sites.
type SourceSnapshot struct {
	// Connections are open, InFlight messages sent on them and not answered.
	Connections, InFlight int
}

// Sources looks at every connection, and sums up by source name.
func (p *Pool) Sources() map[string]SourceSnapshot {
	all := make(map[string]SourceSnapshot, len(p.opts.Sources))
	for _, s := range p.allSites() {
		s.mu.Lock()
		for l := range s.lanes {
			for _, c := range l.conns {
				sum := all[c.Source()]
				sum.Connections++
				sum.InFlight += int(c.flying.Load())
				all[c.Source()] = sum
			}
		}
		s.mu.Unlock()
	}
	return all
}
