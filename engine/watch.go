package engine

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/penstock-mail/penstock/engine/forecast"
)

// watch looks at lanes now and then and keeps what it saw with their flows: what
// they waited for, and how fast they were. The busiest lanes are looked at 20
// times a second, the others in turn, so that it costs the same however many
// there are: what is seen rarely weighs as much, since each look stands for the
// time since the last.
//
// One goroutine owns a watch.
type watch struct {
	engine *Engine
	// lanes as of the last listing, the busiest first.
	lanes  []*lane
	listed time.Time
	turn   int // among those behind the busiest
}

const (
	// lookEvery is the time from look to look, up to a half more or less, so that
	// what happens in step with it is not always seen at the same point.
	lookEvery = 50 * time.Millisecond
	// restEvery is the same while nothing moves.
	restEvery = 500 * time.Millisecond
	// busiest lanes are looked at each time, and so many of the others.
	busiest, others = 24, 16
	// listEvery is how often lanes are listed anew, at least: the more there are,
	// the more rarely.
	listEvery = 100 * time.Millisecond
	listCost  = 50 * time.Microsecond // a lane
)

// view is what the watch saw of a flow. Guarded by lane.mu.
type view struct {
	window  forecast.Window
	rate    forecast.Rate
	settled uint64
	last    time.Time // when the last was settled
	// idle is since when there has been nothing to do; zero: there is.
	idle time.Time
}

// watch runs until ctx ends.
func (e *Engine) watch(ctx context.Context) {
	w := &watch{engine: e}
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		every := restEvery
		if w.look(e.now()) {
			every = lookEvery
		}
		timer.Reset(every/2 + rand.N(every))
	}
}

// look looks around once; moves is false when all was at rest.
func (w *watch) look(now time.Time) (moves bool) {
	if now.Sub(w.listed) >= max(listEvery, listCost*time.Duration(len(w.lanes))) {
		w.list(now)
	}
	for _, l := range w.lanes[:min(busiest, len(w.lanes))] {
		moves = l.look(now) || moves
	}
	if rest := w.lanes[min(busiest, len(w.lanes)):]; len(rest) > 0 {
		for range min(others, len(rest)) {
			w.turn++
			moves = rest[w.turn%len(rest)].look(now) || moves
		}
	}
	for _, r := range w.engine.allRuns() {
		moves = r.look(now) || moves
	}
	return moves
}

// list finds the lanes, the busiest first.
func (w *watch) list(now time.Time) {
	type weighed struct {
		lane    *lane
		waiting int
	}
	all := w.engine.allLanes()
	heavy := make([]weighed, 0, len(all))
	for _, l := range all {
		if l.pool == nil {
			continue // that of refusals
		}
		l.mu.Lock()
		heavy = append(heavy, weighed{l, l.waiting + l.reserved})
		l.mu.Unlock()
	}
	if len(heavy) > busiest {
		slices.SortFunc(heavy, func(a, b weighed) int { return cmp.Compare(b.waiting, a.waiting) })
	}
	w.lanes = w.lanes[:0]
	for _, h := range heavy {
		w.lanes = append(w.lanes, h.lane)
	}
	w.listed = now
}

// look keeps what is seen of a lane with its flows; moves is false when nothing of
// it could be sent or is on its way.
func (l *lane) look(now time.Time) (moves bool) {
	seen := l.pool.Waits()
	l.mu.Lock()
	defer l.mu.Unlock()
	var v verdict
	judged := false
	for _, f := range l.byRun {
		if f.held || f.destinations.len() == 0 && f.reading == 0 && f.reserved == 0 {
			f.unseen(now)
			continue
		}
		if !judged {
			v, judged = l.judge(&seen, now), true
		}
		own := f.judge(&v)
		f.seen(&own, now)
		moves = true
	}
	return moves
}

// seen keeps what a flow waits for, and what it did. REQUIRES: lane.mu held.
func (f *flow) seen(waits *forecast.Waits, now time.Time) {
	v := f.view
	if v == nil {
		v = &view{last: now}
		f.view = v
	}
	if !v.idle.IsZero() {
		v.last, v.idle = now, time.Time{}
	}
	v.window.See(now, waits)
	v.progress(f, now)
}

// unseen is a look at a flow that has nothing to do, or is paused: that time does
// not count for its rate, and its view goes when it is long. REQUIRES: lane.mu
// held.
func (f *flow) unseen(now time.Time) {
	v := f.view
	if v == nil {
		return
	}
	if v.idle.IsZero() {
		v.idle = now
	}
	if now.Sub(v.idle) > 6*forecast.Memory {
		f.view = nil
		return
	}
	if !f.held {
		none := forecast.Only(forecast.Nothing)
		v.window.See(now, &none)
	}
	v.progress(f, v.last)
}

// progress takes in what was settled since the last look.
func (v *view) progress(f *flow, now time.Time) {
	hands := int(f.lane.connections.Load())
	n := f.tally.settled - v.settled
	if n == 0 {
		v.rate.Hands(hands)
		v.rate.Wait(now.Sub(v.last))
		return
	}
	// Those who came since have done nothing of it yet.
	v.rate.Add(n, f.tally.last.Sub(v.last))
	v.rate.Hands(hands)
	v.settled, v.last = f.tally.settled, f.tally.last
}

// look keeps what is seen of a run as a whole.
func (r *Run) look(now time.Time) (moves bool) {
	untried := r.campaign.Untried()
	unplaced := forecast.Only(r.unplaced(now))
	tried := r.campaign.Totals().Loaded - untried
	o := &r.outside
	o.mu.Lock()
	defer o.mu.Unlock()
	o.window.See(now, &unplaced)
	switch {
	case o.last.IsZero() || r.activity.Load() == 0:
		o.tried, o.last = tried, now // idle time does not count
	case tried > o.tried:
		o.rate.Add(tried-o.tried, now.Sub(o.last))
		o.tried, o.last = tried, now
	default:
		o.rate.Wait(now.Sub(o.last))
	}
	return r.activity.Load() > 0 && untried > 0 && unplaced.Of(forecast.Paused) == 0
}

// outside is what the watch saw of a run as a whole.
type outside struct {
	mu sync.Mutex
	// window is what those wait for who are in no lane, rate how many are tried
	// for the first time; guarded by mu, as is what follows.
	window forecast.Window
	rate   forecast.Rate
	tried  uint64
	last   time.Time // when tried was more than before
}
