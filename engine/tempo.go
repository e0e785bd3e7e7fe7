package engine

import (
	"sync"
	"time"
)

// tempo is how fast a site answers and how often it defers, over the last
// seconds. It compares its counters with what they were a while ago, so that the
// way of a message knows nothing of it: housekeeping takes the samples.
type tempo struct {
	mu sync.Mutex
	// brief and long are two samples each, the older first, briefSpan and
	// longSpan apart. Guarded by mu.
	brief, long [2]sample
}

// sample is a site's counters at a time.
type sample struct {
	at                time.Time
	answers, deferred uint64
}

// What is measured goes back by one to two of these.
const (
	briefSpan = 5 * time.Second
	longSpan  = 30 * time.Second
)

// take takes a sample when it is time for one.
func (t *tempo) take(s sample) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keep(&t.brief, s, briefSpan)
	keep(&t.long, s, longSpan)
}

// keep lets s move up behind a sample that is old enough.
func keep(pair *[2]sample, s sample, span time.Duration) {
	switch {
	case pair[1].at.IsZero():
		pair[0], pair[1] = s, s
	case s.at.Sub(pair[1].at) >= span:
		pair[0], pair[1] = pair[1], s
	}
}

// measure is the answers a second over the last 5 to 10 seconds, and the share
// of answers that deferred over the last 30 to 60.
func (t *tempo) measure(s sample) (rate, deferrals float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if from := t.brief[0]; !from.at.IsZero() {
		rate = float64(s.answers-from.answers) / max(1, s.at.Sub(from.at).Seconds())
	}
	if from := t.long[0]; s.answers > from.answers {
		deferrals = float64(s.deferred-from.deferred) / float64(s.answers-from.answers)
	}
	return rate, deferrals
}
