package engine

import (
	"sync"
	"time"

	"github.com/penstock-mail/penstock/throttle"
)

// paced holds a run to its max_rate over all lanes. Flows that want more than it
// allows stand in line; one timer, however many they are, gives to each in its
// turn what has become free, a part of it each, so that every site gets as much
// and none waits for another. What a flow cannot take up it gives back.
//
// Its lock is taken with a lane's held; flows are told with neither.
type paced struct {
	now func() time.Time

	mu    sync.Mutex
	pace  *throttle.Pace // guarded by mu
	spare int            // given back; guarded by mu
	line  fifo[*flow]    // guarded by mu
	timer *time.Timer    // serves the line; nil: none stands in it; guarded by mu
	soon  bool           // the timer was set anew for what was given back; guarded by mu
	over  bool           // nothing is given any more; guarded by mu
}

// paceEvery is how long what becomes free is gathered, so that a fast campaign
// wakes up for several messages at a time.
const paceEvery = 5 * time.Millisecond

func newPaced(r throttle.Rate, now func() time.Time) *paced {
	return &paced{now: now, pace: throttle.NewPace(r)}
}

// pace is how many of n the campaign's max_rate allows to begin now; when it is
// none, the lane is offered when some may. REQUIRES: lane.mu held.
func (f *flow) pace(n int) int {
	p := f.run.paced
	if p == nil {
		return n
	}
	if f.allowed > 0 {
		n = min(n, f.allowed)
		f.allowed -= n
		return n
	}
	if f.paced {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var wait time.Duration
	if p.line.len() == 0 { // else others were here first
		var granted int
		if granted, wait = p.take(n); granted > 0 {
			return granted
		}
	}
	f.paced = true
	p.line.push(f)
	if p.timer == nil && !p.over {
		p.timer = time.AfterFunc(max(wait, paceEvery), p.serve)
	}
	return 0
}

// unpaced gives back what max_rate allowed and is not taken up.
func (f *flow) unpaced(n int) {
	if p := f.run.paced; p != nil && n > 0 {
		p.mu.Lock()
		p.spare += n
		if p.timer != nil && !p.soon && !p.over {
			p.soon = true
			p.timer.Reset(paceEvery)
		}
		p.mu.Unlock()
	}
}

// take asks for n. REQUIRES: mu held.
func (p *paced) take(n int) (granted int, wait time.Duration) {
	spare := min(p.spare, n)
	p.spare -= spare
	granted, wait = p.pace.Take(p.now(), n-spare)
	return granted + spare, wait
}

// serve gives what is free to those who stand in line, the same to each.
func (p *paced) serve() {
	type part struct {
		flow *flow
		n    int
	}
	var parts []part
	p.mu.Lock()
	p.soon = false
	free, wait := p.take(min(p.line.len(), 1024) * batchSize)
	each := min(max(1, free/max(1, p.line.len())), batchSize)
	for free > 0 && p.line.len() > 0 {
		f, _ := p.line.pop()
		n := min(each, free)
		parts = append(parts, part{f, n})
		free -= n
	}
	p.spare += free
	switch {
	case p.line.len() == 0 || p.over:
		p.timer = nil
	default:
		p.timer.Reset(max(wait, paceEvery))
	}
	p.mu.Unlock()
	for _, t := range parts {
		t.flow.allow(t.n)
	}
}

// allow has n of the flow begin, unless it has nothing any more.
func (f *flow) allow(n int) {
	l := f.lane
	l.mu.Lock()
	f.paced = false
	if f.listed {
		f.allowed += n
		n = 0
	}
	l.mu.Unlock()
	f.unpaced(n)
	l.offer()
}

// stop ends the timer: the process is ending.
func (p *paced) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
	}
}
