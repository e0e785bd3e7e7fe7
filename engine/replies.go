package engine

import (
	"sync"
	"time"
)

// Reply is an answer of a site, or why there was none, as people are shown it.
type Reply struct {
	At time.Time
	// Code is the SMTP reply code; 0: nobody answered.
	Code int
	Text string
}

// keptReplies is how many of its last replies a site remembers.
const keptReplies = 10

// replies is the last answers of a site that were no plain success. The ring is
// made with the first: most sites never have one.
type replies struct {
	mu   sync.Mutex
	ring *[keptReplies]Reply // guarded by mu
	n    int                 // how many there ever were; guarded by mu
}

// note remembers one. It touches memory alone.
func (r *replies) note(reply Reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ring == nil {
		r.ring = new([keptReplies]Reply)
	}
	r.ring[r.n%keptReplies] = reply
	r.n++
}

// last are those remembered, the newest first.
func (r *replies) last() []Reply {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Reply, 0, min(r.n, keptReplies))
	for i := r.n - 1; i >= 0 && i >= r.n-keptReplies; i-- {
		list = append(list, r.ring[i%keptReplies])
	}
	return list
}

// newest is the text of the last one; empty: there was none.
func (r *replies) newest() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == 0 {
		return ""
	}
	return r.ring[(r.n-1)%keptReplies].Text
}
