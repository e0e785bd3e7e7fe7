package engine

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/penstock-mail/penstock/pool"
)

// What was learned goes into the ledger under these kinds.
const (
	learnedLimits = "limits" // key: site, NUL, source
	learnedTraits = "traits" // key: host
)

// housekeep saves what was learned every few seconds, so that a kill loses
// little of it, tells of breakers' rests that are over, and samples how fast the
// sites answer. It trims the event log.
func (e *Engine) housekeep(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	trim := time.NewTicker(time.Minute)
	defer trim.Stop()
	e.trimEvents(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			e.saveLearned()
			e.tellRestsOver(e.now())
			e.takeSamples(e.now())
		case <-trim.C:
			e.trimEvents(ctx)
		}
	}
}

// learn stores one thing that was learned. Losing it costs nothing but
// learning it again, so an error is logged and no more.
func (e *Engine) learn(kind, key string, value []byte) {
	if err := e.ledger.Learn(kind, key, value); err != nil {
		e.log.Warn("cannot save what was learned", "kind", kind, "error", err)
	}
}

func (e *Engine) saveLearned() {
	for _, l := range e.throttle.TakeChanged(nil) {
		e.saveLimits(l, e.now())
	}
	for host, t := range e.traits.takeChanged() {
		if t == (pool.Traits{}) {
			e.learn(learnedTraits, host, nil)
			continue
		}
		text, err := json.Marshal(t)
		if err == nil {
			e.learn(learnedTraits, host, text)
		}
	}
}

// restoreLearned takes up what an earlier process learned.
func (e *Engine) restoreLearned() error {
	now := e.now()
	err := e.ledger.ForEachLearned(learnedLimits, func(key string, value []byte) error {
		site, source, _ := strings.Cut(key, "\x00")
		l := e.throttle.Limiter(site, source)
		if err := l.Restore(now, value); err != nil {
			e.log.Warn("cannot restore what was learned of a site", "site", site, "error", err)
		}
		if lowered(l.Snapshot(now)) {
			e.backoffs.began(l)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.ledger.ForEachLearned(learnedTraits, func(host string, value []byte) error {
		var known pool.Traits
		if err := json.Unmarshal(value, &known); err != nil {
			e.log.Warn("cannot restore what was learned of a host", "host", host, "error", err)
			return nil
		}
		e.traits.put(host, known)
		return nil
	})
}

// traits implements pool.Memory: what hosts turned out not to bear.
type traits struct {
	mu      sync.RWMutex
	known   map[string]pool.Traits // guarded by mu
	changed map[string]struct{}    // guarded by mu
}

// Recall implements pool.Memory.
func (t *traits) Recall(host string, now time.Time) pool.Traits {
	t.mu.RLock()
	defer t.mu.RUnlock()
	known := t.known[host]
	if now.After(known.Until) {
		return pool.Traits{}
	}
	return known
}

// Remember implements pool.Memory.
func (t *traits) Remember(host string, known pool.Traits) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known, t.changed = make(map[string]pool.Traits), make(map[string]struct{})
	}
	t.known[host] = known
	t.changed[host] = struct{}{}
}

// forget drops what is known of some hosts; it is saved as nothing.
func (t *traits) forget(hosts []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, host := range hosts {
		if _, ok := t.known[host]; ok {
			delete(t.known, host)
			t.changed[host] = struct{}{}
		}
	}
}

func (t *traits) put(host string, known pool.Traits) {
	t.Remember(host, known)
	t.mu.Lock()
	delete(t.changed, host)
	t.mu.Unlock()
}

// takeChanged gives what is not saved yet.
func (t *traits) takeChanged() map[string]pool.Traits {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := make(map[string]pool.Traits, len(t.changed))
	for host := range t.changed {
		taken[host] = t.known[host]
	}
	clear(t.changed)
	return taken
}
