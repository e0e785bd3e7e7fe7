package forecast

import (
	"math"
	"time"
)

// Rate is what was done per second lately, measured over the time in which there
// was something to do. It looks back over a third of that time, so that the start
// is soon forgotten, but not over more than settledSpan, or than it takes to see
// enough of a slow one.
type Rate struct {
	done, span, life float64 // span and life in seconds
}

const (
	shortestSpan = 0.3  // s
	settledSpan  = 15.0 // s
	longestSpan  = 3600 // s
	enough       = 30   // messages
)

// Add takes in that n were done in a time.
func (r *Rate) Add(n uint64, took time.Duration) {
	s := took.Seconds()
	if s <= 0 {
		r.done += float64(n)
		return
	}
	r.life += s
	longest := settledSpan
	if slow := enough / max(r.PerSecond(), 1e-9); slow > longest {
		longest = min(slow, longestSpan)
	}
	kept := math.Exp(-s / max(shortestSpan, min(r.life/3, longest)))
	r.done = r.done*kept + float64(n)
	r.span = r.span*kept + s
}

// PerSecond is the rate; 0 when nothing was done, or measured.
func (r *Rate) PerSecond() float64 {
	if r.span == 0 {
		return 0
	}
	return r.done / r.span
}
