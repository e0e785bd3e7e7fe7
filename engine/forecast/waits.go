package forecast

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Memory is how long a [Window] remembers: what was seen so long ago counts a
// third of what is seen now.
const Memory = 10 * time.Second

// Waits is how much of the time each cause had, or how many recipients wait for
// it: what matters is the proportion. All zero: nothing is known.
type Waits [NumCauses]float32

// Only is one cause alone.
func Only(c Cause) (w Waits) {
	w[c] = 1
	return w
}

// Add adds so much of another, whatever its sum is.
func (w *Waits) Add(o *Waits, weight float64) {
	sum := o.sum()
	if sum == 0 {
		return
	}
	for c, v := range o {
		w[c] += float32(float64(v) * weight / sum)
	}
}

func (w *Waits) sum() (sum float64) {
	for _, v := range w {
		sum += float64(v)
	}
	return sum
}

// Known reports whether anything was seen.
func (w *Waits) Known() bool { return w.sum() > 0 }

// Of is a cause's share, 0 to 1.
func (w *Waits) Of(c Cause) float64 {
	if sum := w.sum(); sum > 0 {
		return float64(w[c]) / sum
	}
	return 0
}

// Top is the cause with the largest share; ok is false when nothing is known.
func (w *Waits) Top() (c Cause, ok bool) {
	for i, v := range w {
		if v > w[c] {
			c = Cause(i)
		}
	}
	return c, w[c] > 0
}

// Share is one cause's part.
type Share struct {
	Cause Cause
	// Of is 0 to 1; those of all causes are 1 together.
	Of float64
}

// Shares are the causes that occurred, the largest first.
func (w *Waits) Shares() []Share {
	var all []Share
	for c := range NumCauses {
		if of := w.Of(c); of > 0 {
			all = append(all, Share{c, of})
		}
	}
	slices.SortStableFunc(all, func(a, b Share) int { return cmp.Compare(b.Of, a.Of) })
	return all
}

// Window makes shares of time of what is seen now and then.
type Window struct {
	seen Waits
	last int64 // Unix nanoseconds of the last look; 0: none yet
}

// firstSpan is what the first look stands for: there is none before it.
const firstSpan = 50 * time.Millisecond

// See takes in a look: since the last one it has been like that.
func (w *Window) See(now time.Time, look *Waits) {
	at := now.UnixNano()
	span := firstSpan
	if w.last != 0 {
		span = time.Duration(max(0, at-w.last))
	}
	w.last = at
	kept := math.Exp(-span.Seconds() / Memory.Seconds())
	for c := range w.seen {
		w.seen[c] *= float32(kept)
	}
	w.seen.Add(look, 1-kept)
}

// Waits are the shares of the time remembered.
func (w *Window) Waits() Waits { return w.seen }
