package engine

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// paced is the lanes that wait for their campaign's max_rate: however many they
// are, one timer wakes them.
type paced struct {
	mu    sync.Mutex
	lanes map[*lane]struct{} // guarded by mu; nil: no timer runs
}

// put has l offered again after wait, or when those that wait already are.
func (p *paced) put(l *lane, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lanes == nil {
		p.lanes = make(map[*lane]struct{})
		time.AfterFunc(wait, p.offer)
	}
	p.lanes[l] = struct{}{}
}

func (p *paced) offer() {
	p.mu.Lock()
	lanes := slices.Collect(maps.Keys(p.lanes))
	p.lanes = nil
	p.mu.Unlock()
	for _, l := range lanes {
		l.offer()
	}
}
