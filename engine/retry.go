package engine

import (
	"math"
	"math/rand/v2"
	"time"
)

// retryAt is when a recipient is tried again after its n-th attempt: a server's
// own hint where it gave one, and never earlier than the schedule's first step.
func (e *Engine) retryAt(r *Run, attempts int, hint time.Duration, now time.Time) time.Time {
	return now.Add(max(e.backoff(r, attempts), hint))
}

// backoff is exponential with jitter: the n-th wait is first times factor to
// the power of n-1, at most max, and up to a tenth longer so that what was
// deferred together does not come back together.
func (e *Engine) backoff(r *Run, n int) time.Duration {
	s := r.settings.Retry
	wait := float64(s.First) * math.Pow(s.Factor, float64(n-1))
	wait = min(wait, float64(s.Max))
	return time.Duration(wait * (1 + rand.Float64()/10))
}
