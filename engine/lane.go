package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-mail/penstock/engine/share"
	"github.com/penstock-mail/penstock/pool"
)

// lane is the engine's end of one pool lane: what its connections pull from.
//
// Recipients go through it in three steps: reserved (a place under
// max_in_doubt), preparing (read; leased and composed side by side), ready
// (leased on disk and composed: may be pulled). The place is given back only
// when the outcome is on disk, so at a crash no more than the reserved ones
// are in doubt.
//
// Pull and Settle are called on event loops: they take mu, touch memory, and
// return. No call into another package is made under mu.
type lane struct {
	engine *Engine
	site   *site
	key    string
	pool   *pool.Lane

	// queued: stands in Engine.work; set by offer, cleared by a worker.
	queued atomic.Bool
	// stands is whom the lane stands in line for; nil: nobody.
	stands atomic.Pointer[share.Member]
	// connections that are open and ready.
	connections atomic.Int32

	mu sync.Mutex
	// All below is guarded by mu.

	byRun map[*Run]*flow
	flows []*flow // those with work take turns
	// among and theirs are turnOf's: those who may have the turn.
	among      []*flow
	theirs     []*share.Member
	preparing  fifo[*task] // in the order read, so that file order is kept
	ready      fifo[*envelope]
	readyBytes int
	// reserved is the places taken by all flows.
	reserved int
	// waiting is what all flows have waiting.
	waiting int
	// sevenBit: a host of this lane lacks 8BITMIME, so messages are composed
	// for that.
	sevenBit bool
	retired  bool
	// restUntil and restWhy are set while no host of the lane can be reached.
	restUntil time.Time
	restWhy   string
}

const (
	// batchSize is the most recipients read, leased and composed as one task:
	// enough to spread a ledger seek and a commit, small enough that the first
	// of them leaves soon.
	batchSize = 64
	// maxReadyBytes bounds a lane's composed messages.
	maxReadyBytes = 8 << 20
)

// flow is one campaign's recipients at one lane.
type flow struct {
	run  *Run
	lane *lane
	// turns is the run's part of the site.
	turns *share.Member

	// Guarded by lane.mu.

	destinations fifo[*destination] // those with something to read
	reading      int                // destinations taken out by reserve
	waiting      int                // about how many recipients the active destinations have
	held         bool               // paused or cancelled: nothing of it begins
	listed       bool               // stands in lane.flows
	reserved     int                // places taken under max_in_doubt
	tally        tally              // what was settled
	view         *view              // what the watch saw of it; nil: nothing yet
	// allowed is what max_rate lets begin and is not taken up yet; paced: stands in
	// line for more.
	allowed int
	paced   bool
}

// offer puts the lane before the workers, once, if there is something for them
// to do.
func (l *lane) offer() {
	if l.queued.Load() {
		return // whoever takes it sees what led to this call
	}
	l.mu.Lock()
	run := l.wants()
	l.mu.Unlock()
	if run != nil {
		l.engine.work.put(run, l)
	}
}

// flowOf is the run's flow in this lane; nil once the lane is retired.
func (l *lane) flowOf(r *Run) *flow {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retired {
		return nil
	}
	f := l.byRun[r]
	if f == nil {
		f = &flow{run: r, lane: l, held: r.held(l.site), turns: l.site.shares.Member(r, r.settings.Priority, r.settings.Weight)}
		if l.byRun == nil {
			l.byRun = make(map[*Run]*flow)
		}
		l.byRun[r] = f
	}
	return f
}

// activate lets d's recipients flow. ok is false when the lane is retired: d
// must be routed again.
func (l *lane) activate(f *flow, d *destination, now time.Time) (ok bool) {
	waiting := d.domain.Fresh() + d.domain.DueCount(now)
	l.mu.Lock()
	if d.run.cancelled.Load() {
		l.mu.Unlock()
		return true // it flows nowhere any more
	}
	if l.retired || !d.active.CompareAndSwap(false, true) {
		ok = !l.retired
		l.mu.Unlock()
		return ok
	}
	d.counted = waiting
	f.await(waiting)
	f.destinations.push(d)
	l.list(f)
	l.mu.Unlock()
	f.run.activity.Add(1)
	l.offer()
	l.wake() // so that the pool sees a backlog and connects
	return true
}

// retire takes a lane out of use that has neither work nor connections; ok is
// false when it has. What is deferred comes back by a new look-up.
func (l *lane) retire() (ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retired || len(l.flows) > 0 || l.preparing.len() > 0 || l.ready.len() > 0 || l.connections.Load() > 0 {
		return false
	}
	for _, f := range l.byRun {
		if f.reserved > 0 || f.reading > 0 {
			return false
		}
	}
	l.retired = true
	return true
}

// wake tells the pool that there is something to pull, or soon will be. The
// lane of refused domains has no pool.
func (l *lane) wake() {
	if l.pool != nil {
		l.pool.Wake()
	}
}

// composeSevenBit makes what is composed from now on fit hosts without
// 8BITMIME.
func (l *lane) composeSevenBit() {
	l.mu.Lock()
	l.sevenBit = true
	l.mu.Unlock()
}

func (l *lane) composesSevenBit() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sevenBit
}

// list gives f its turns. REQUIRES: mu held.
func (l *lane) list(f *flow) {
	if !f.listed {
		f.listed = true
		l.flows = append(l.flows, f)
		l.foremost()
	}
}

// await counts n more recipients that wait, or fewer. REQUIRES: mu held.
func (f *flow) await(n int) {
	f.waiting += n
	f.lane.waiting += n
}

// unlist takes f out of the turn when nothing of it is left. REQUIRES: mu held.
func (l *lane) unlist(f *flow) {
	if !f.listed || f.destinations.len() > 0 || f.reading > 0 {
		return
	}
	f.listed = false
	f.unpaced(f.allowed)
	f.allowed = 0
	i := slices.Index(l.flows, f)
	l.flows = slices.Delete(l.flows, i, i+1)
	l.foremost()
}

// rest notes that no host can be reached before until.
func (l *lane) rest(why string, until time.Time) {
	l.mu.Lock()
	l.restUntil, l.restWhy = until, why
	l.mu.Unlock()
}

func (l *lane) restingUntil() (time.Time, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.restUntil, l.restWhy
}

// release follows reserve and a read: t's recipients (fewer than reserved,
// perhaps none) stand in line, and d does again when it has more.
func (l *lane) release(t *task, reserved int, more bool) {
	f, d, read := t.flow, t.destination, len(t.batch.Recipients)
	left := 0
	if f.run.stream != nil {
		left = d.domain.Fresh() // more than before, perhaps
	}
	l.mu.Lock()
	f.reading--
	f.reserved -= reserved - read
	l.reserved -= reserved - read
	f.unpaced(reserved - read)
	if !t.batch.Empty() {
		l.preparing.push(t)
	}
	more = more && !f.run.cancelled.Load()
	// A new look-up gave another route: from here on it flows there.
	moved := more && d.currentFlow() != f
	more = more && !moved
	counted := min(d.counted, read)
	if more {
		f.destinations.push(d)
		counted = min(counted, d.counted-left) // below 0: it has grown
	} else {
		counted = d.counted
	}
	d.counted -= counted
	f.await(-counted)
	if !more {
		d.active.Store(false) // from here on another lane may have it
	}
	l.unlist(f)
	l.mu.Unlock()
	gone := int64(reserved - read)
	switch {
	case moved:
		gone++
		f.run.engine.fire(d)
	case !more:
		gone++
		f.run.schedule(d)
	case !f.run.engine.now().Before(d.routeExpires()):
		f.run.engine.route(d) // it flows on until the answer is there
	}
	f.run.left(gone)
}

// prepared makes the tasks that are through, in the order they were read,
// ready to be pulled, or hands them back when a pause came in between.
func (l *lane) prepared() {
	var unsent []*envelope
	l.mu.Lock()
	n := 0
	for l.preparing.len() > 0 && l.preparing.front().waits.Load() == 0 {
		t, _ := l.preparing.pop()
		for _, e := range t.envelopes {
			if t.flow.held {
				unsent = append(unsent, e)
				continue
			}
			l.ready.push(e)
			l.readyBytes += e.Size
			n++
		}
		t.free()
	}
	l.mu.Unlock()
	for _, u := range unsent {
		l.engine.handBack(u)
	}
	if n > 0 {
		l.wake()
	}
}

// empty takes everything out of the lane that waits in it, or only what belongs
// to one run: the destinations that had work, and the envelopes that were ready.
// What is just being read or prepared comes along a moment later and finds its
// way to the connections or, through Pull's caller, back.
func (l *lane) empty(only *Run) (idle []*destination, unsent []*envelope) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range slices.Clone(l.flows) {
		if only != nil && f.run != only {
			continue
		}
		for {
			d, ok := f.destinations.pop()
			if !ok {
				break
			}
			f.await(-d.counted)
			d.counted = 0
			d.active.Store(false)
			idle = append(idle, d)
		}
		l.unlist(f)
	}
	for range l.ready.len() {
		e, _ := l.ready.pop()
		if only != nil && e.flow.run != only {
			l.ready.push(e)
			continue
		}
		l.readyBytes -= e.Size
		unsent = append(unsent, e)
	}
	return idle, unsent
}
