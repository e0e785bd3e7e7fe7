package sink

import (
	"net/netip"
	"sync"
	"time"
)

// host is one address that connections come in at: what limits count by.
type host struct {
	addr  netip.AddrPort
	key   []byte // addr as text
	prof  *profile
	count counters

	mu       sync.Mutex
	open     int    // guarded by mu
	connects bucket // guarded by mu
	messages bucket // guarded by mu
}

// enter counts a connection in; refused answers why there is no place for it.
// Each one that is let in is paired with a leave.
func (h *host) enter(now time.Duration) (refused answer, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.prof.connections > 0 && h.open >= h.prof.connections {
		return ansBusy, false
	}
	if !h.connects.take(now, h.prof.connRate) {
		return ansRate, false
	}
	h.open++
	return 0, true
}

func (h *host) leave() {
	h.mu.Lock()
	h.open--
	h.mu.Unlock()
}

// message asks whether one more message is within the rate.
func (h *host) message(now time.Duration) bool {
	if h.prof.msgRate.Count == 0 {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.messages.take(now, h.prof.msgRate)
}

// bucket is a rate limiter that holds one second's worth, at least one.
type bucket struct {
	tokens float64
	filled time.Duration
	begun  bool
}

func (b *bucket) take(now time.Duration, r Rate) bool {
	if r.Count == 0 {
		return true
	}
	perSecond := r.Count / r.Per.Seconds()
	room := max(1, perSecond)
	if !b.begun {
		b.begun, b.tokens, b.filled = true, room, now
	}
	b.tokens = min(room, b.tokens+perSecond*(now-b.filled).Seconds())
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// greylist remembers when a pair of sender and recipient first came.
type greylist struct {
	after time.Duration
	reply reply

	mu   sync.Mutex
	seen map[string]time.Duration // guarded by mu
}

// passes reports whether the pair came before and has waited.
func (g *greylist) passes(from, to []byte, now time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	pair := make([]byte, 0, 256)
	pair = append(append(append(pair, from...), '>'), to...)
	first, ok := g.seen[string(pair)]
	if !ok {
		g.seen[string(pair)] = now
		return false
	}
	return now-first >= g.after
}
