package throttle

import (
	"math"
	"time"
)

// How a bound moves. The figures are choices, and the trace in doc.go shows
// what they lead to.
const (
	// cutEvery: all trouble within this time of a cut is the same trouble,
	// told again by messages that were already under way.
	cutEvery = 10 * time.Second
	// firstHold is how long a bound stays before it takes its next step up.
	firstHold = 10 * time.Second
	// fastHold is that time while the bound doubles.
	fastHold = 2 * time.Second
	// maxHold ends the doubling of the hold after steps that did not hold.
	maxHold = time.Hour
	// forgetAfter: what was learned so long ago says nothing any more.
	forgetAfter = 24 * time.Hour
)

// window is one quantity under control: connections, or messages a second. It
// falls by half and rises by steps (AIMD), with two additions. A step up is on
// trial until it has held for a while, and trouble during the trial takes back
// just the step and doubles the time to the next one: so a fixed limit at the
// other side is found once and then touched ever more rarely. Up to target the
// bound doubles, so that a rest does not cost hours. And where the share of
// refusals is known to be small, the fall is small.
//
// Not safe for concurrent use.
type window struct {
	bound  float64       // what is allowed; +Inf: nothing was learned
	proven float64       // what was allowed before the step on trial; 0: no trial
	target float64       // up to here it grows by doubling
	step   float64       // added at each step above target
	hold   time.Duration // between steps
	next   time.Time     // the next step, at the earliest
	cutAt  time.Time     // the last cut
	// Answers since the last cut, for a share of refusals; not kept on disk.
	clean, bad float64
}

// fewBad is the share of refusals up to which a bound is only a little too
// high, and falls by little.
const fewBad = 0.1

func (w *window) learned() bool { return !math.IsInf(w.bound, 1) }

// cut takes notice of trouble while used was in use; floor is the least that
// stays. It reports whether the bound changed.
func (w *window) cut(now time.Time, used, floor, step float64) bool {
	w.bad++
	if !w.cutAt.IsZero() && now.Before(w.cutAt.Add(cutEvery)) {
		return false
	}
	w.cutAt = now
	few := w.bad <= fewBad*w.clean
	w.clean, w.bad = 0, 0
	switch {
	case w.proven > 0:
		w.bound, w.proven = w.proven, 0
		w.hold = min(2*w.hold, maxHold)
	case few && w.learned():
		w.bound = max(floor, w.bound-2*w.step)
		w.hold = min(2*w.hold, maxHold)
	default:
		w.bound = max(floor, min(w.bound, used)/2)
		w.step = step
		w.hold = firstHold
	}
	w.target = 0
	w.next = now.Add(w.hold)
	return true
}

// restart begins at floor and doubles up to half of what was in use: after a
// rest everything has to be proven anew.
func (w *window) restart(now time.Time, used, floor, step float64) {
	w.bound, w.target, w.step = floor, max(floor, used/2), step
	w.proven, w.hold = 0, firstHold
	w.next, w.cutAt = now.Add(fastHold), now
	w.clean, w.bad = 0, 0
}

// grow takes notice of clean answers while used was in use; at top the window
// forgets itself. It reports whether the bound changed.
//
// It never grows beyond what is truly in use: a bound that does not bind would
// wander off, and the next trouble could not bring it down.
func (w *window) grow(now time.Time, used, top float64) bool {
	if !w.learned() || now.Before(w.next) {
		return false
	}
	if now.Sub(w.cutAt) >= forgetAfter {
		w.forget()
		return true
	}
	if used < w.bound*0.8 {
		return false
	}
	if w.bound >= top {
		// Even all that is allowed was borne.
		w.forget()
		return true
	}
	if w.proven > 0 {
		w.hold = firstHold
	}
	w.proven = w.bound
	if w.bound < w.target {
		w.bound = min(2*w.bound, w.target)
		w.next = now.Add(fastHold)
	} else {
		w.bound += w.step
		w.next = now.Add(w.hold)
	}
	w.bound = min(w.bound, top)
	return true
}

func (w *window) forget() { *w = window{bound: math.Inf(1)} }
