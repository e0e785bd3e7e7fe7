package forecast

import (
	"math"
	"time"
)

// Rate is what was done per second lately, measured over the time in which there
// was something to do. It begins with the first that is done, so that connecting
// does not count, and looks back over half of the time since; not over more
// than settledSpan, or than it takes to see enough of a slow one.
//
// What is done comes in bursts: twenty connections to a distant server answer all
// at once, and then for a round trip nobody does. So time counts when it has ended
// in something done, and before that only what is more than the usual gap.
//
// It is done by so many hands, a lane's connections: where the second one came a
// moment ago, what one did says that both do twice as much.
type Rate struct {
	// done in span seconds and so many bursts; older ones count less.
	done, span, bursts float64
	// open is the seconds since something was done, life those since the first.
	open, life float64
	begun      bool
	// hands work now, and worked for work hand-seconds of span.
	hands, work float64
}

const (
	shortestSpan = 0.3  // s
	settledSpan  = 15.0 // s
	longestSpan  = 3600 // s
	enough       = 30   // messages
	// mostGrowth bounds what new hands are trusted with.
	mostGrowth = 4
)

// Hands says how many work side by side from now on. Who never says it has one.
func (r *Rate) Hands(n int) { r.hands = float64(max(n, 1)) }

// Add takes in that n more were done, the last of them so long after the last one
// before.
func (r *Rate) Add(n uint64, took time.Duration) {
	r.open = 0
	if !r.begun {
		r.begun = n > 0
		return
	}
	s := max(0, took.Seconds())
	r.life += s
	longest := settledSpan
	if slow := enough / max(r.PerSecond(), 1e-9); slow > longest && r.span > 0 {
		longest = min(slow, longestSpan)
	}
	kept := math.Exp(-s / max(shortestSpan, min(r.life/2, longest)))
	r.done = r.done*kept + float64(n)
	r.span = r.span*kept + s
	r.work = r.work*kept + s*max(r.hands, 1)
	r.bursts = r.bursts*kept + 1
}

// Wait takes in that nothing was done for so long since the last.
func (r *Rate) Wait(since time.Duration) { r.open = max(0, since.Seconds()) }

// PerSecond is the rate; 0 when nothing was done, or measured.
func (r *Rate) PerSecond() float64 {
	if r.span == 0 {
		return 0
	}
	growth := 1.0
	if r.work > 0 {
		growth = min(max(r.hands*r.span/r.work, 1), mostGrowth)
	}
	return growth * r.done / (r.span + max(0, r.open-r.span/r.bursts))
}
