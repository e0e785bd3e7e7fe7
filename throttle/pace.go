package throttle

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Pace holds something that is not a site, such as a campaign, to a rate. It
// learns nothing. Safe for concurrent use.
type Pace struct {
	mu      sync.Mutex
	limiter *rate.Limiter // guarded by mu
}

// NewPace makes a pace of this rate: over any time it allows that much, and
// never more than a quarter of a second's worth at once.
func NewPace(r Rate) *Pace {
	return &Pace{limiter: retune(nil, time.Time{}, r.PerSecond())}
}

// Take asks to begin n; granted is 0 to n. When it is less than n, wait is how
// long until one more may begin.
func (p *Pace) Take(now time.Time, n int) (granted int, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limiter == nil {
		return n, 0
	}
	return take(p.limiter, now, n)
}
