package throttle

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// SourceLimits are what one source is held to over all sites, on top of the
// limits at each. Zero fields set no bound.
type SourceLimits struct {
	// Connections is the most open at once.
	Connections int
	// MessageRate bounds messages begun.
	MessageRate Rate
}

// budget is what a source may use over all sites. It counts connections always,
// so that a bound that is set later knows how many there are. Safe for concurrent
// use.
type budget struct {
	most atomic.Int64 // connections; 0: no bound
	open atomic.Int64
	// has: there is a rate. What has none is asked without a lock.
	has atomic.Bool

	mu    sync.Mutex
	sends *rate.Limiter // guarded by mu; nil: no bound
	spare int           // grants handed back; guarded by mu
}

// connect takes a place; false: there is none.
func (b *budget) connect() bool {
	for {
		n, most := b.open.Load(), b.most.Load()
		if most > 0 && n >= most {
			return false
		}
		if b.open.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (b *budget) disconnect() { b.open.Add(-1) }

// rated reports whether messages are bounded.
func (b *budget) rated() bool { return b.has.Load() }

// grant is Limiter.Grant.
func (b *budget) grant(now time.Time, n int) (granted int, wait time.Duration) {
	if !b.has.Load() {
		return n, 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	spare := min(b.spare, n)
	b.spare -= spare
	granted, wait = take(b.sends, now, n-spare)
	return granted + spare, wait
}

// refund gives back grants that were not used.
func (b *budget) refund(n int) {
	if n <= 0 || !b.has.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sends != nil {
		b.spare = min(b.spare+n, b.sends.Burst())
	}
}

func (b *budget) set(now time.Time, l SourceLimits) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.most.Store(int64(l.Connections))
	b.sends = retune(b.sends, now, l.MessageRate.PerSecond())
	if b.sends == nil {
		b.spare = 0
	}
	b.has.Store(b.sends != nil)
}

// SetSourceLimits holds a source to limits over all sites from now on; zero ones
// lift them. What is open stays open. Sites share the rate first come, first
// served. Invalid limits change nothing.
func (t *Throttle) SetSourceLimits(now time.Time, source string, l SourceLimits) error {
	if err := (Limits{Connections: l.Connections, MessageRate: l.MessageRate}).Check(); err != nil {
		return fmt.Errorf("set limits of source %s: %w", source, err)
	}
	t.mu.Lock()
	t.budget(source).set(now, l)
	var sites []string
	for key, limiter := range t.limiters {
		if key.Source != source {
			continue
		}
		limiter.mu.Lock()
		limiter.refresh(now)
		limiter.mu.Unlock()
		sites = append(sites, key.Site)
	}
	t.mu.Unlock()
	for _, site := range sites {
		t.room(site)
	}
	return nil
}

// SourceLimits is what SetSourceLimits set, and the connections open now.
func (t *Throttle) SourceLimits(source string) (l SourceLimits, open int) {
	t.mu.Lock()
	b := t.budget(source)
	t.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	l.Connections = int(b.most.Load())
	if b.sends != nil {
		l.MessageRate = Rate{Count: float64(b.sends.Limit()), Per: time.Second}
	}
	return l, int(b.open.Load())
}

// budget is the one of a source, made if need be. REQUIRES: mu held.
func (t *Throttle) budget(source string) *budget {
	b := t.budgets[source]
	if b == nil {
		b = new(budget)
		t.budgets[source] = b
	}
	return b
}
