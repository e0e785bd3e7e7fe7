package engine

import (
	"sync"

	"github.com/penstock-mail/penstock/engine/ledger"
)

// turned counts how often a connection ended while a recipient's commands were
// on it. That costs a recipient nothing, as a rule; but a message that always
// makes its server hang up would go round for ever, and take a connection with
// it each time.
type turned struct {
	mu    sync.Mutex
	times map[turnedKey]int // guarded by mu
}

type turnedKey struct {
	domain *ledger.Domain
	seq    ledger.Seq
}

const (
	// maxTurns is how often it may happen before it counts as an attempt.
	maxTurns = 3
	// maxTurned bounds what is remembered: beyond it all is forgotten, and
	// those concerned get a few turns more.
	maxTurned = 1 << 16
)

// turnedAway notes one more time, and reports whether it is one too many.
func (r *Run) turnedAway(env *envelope) bool {
	key := turnedKey{env.destination.domain, env.seq}
	t := &r.turned
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.times[key]+1 >= maxTurns {
		delete(t.times, key)
		return true
	}
	if t.times == nil || len(t.times) >= maxTurned {
		t.times = make(map[turnedKey]int)
	}
	t.times[key]++
	return false
}
