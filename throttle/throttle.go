package throttle

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Throttle has the rules and every limiter made from them. Safe for concurrent
// use.
//
// Lock order: Throttle.mu before Limiter.mu before budget.mu. OnRoom's function is called with
// neither held.
type Throttle struct {
	mu       sync.Mutex
	rules    Rules              // guarded by mu
	limiters map[Key]*Limiter   // guarded by mu
	budgets  map[string]*budget // by source; guarded by mu

	// changed lists limiters whose learned state is not yet saved. It has a
	// lock of its own since limiters add themselves while they hold theirs.
	changedMu sync.Mutex
	changed   []*Limiter

	onRoom atomic.Pointer[func(site string)]
}

// New makes a throttle with these rules. REQUIRES: rules.Check() is nil.
func New(rules Rules) *Throttle {
	return &Throttle{rules: rules.clone(), limiters: make(map[Key]*Limiter), budgets: make(map[string]*budget)}
}

// OnRoom sets the function that hears of a site that may have room for more
// than its last answers said: a limit was raised, a rest ended early, a bound
// grew. It is called on whatever goroutine brought the change, event loops
// included, and must not block.
func (t *Throttle) OnRoom(f func(site string)) { t.onRoom.Store(&f) }

func (t *Throttle) room(site string) {
	if f := t.onRoom.Load(); f != nil && *f != nil {
		(*f)(site)
	}
}

// Limiter gives the limiter of one site and source, always the same one.
func (t *Throttle) Limiter(site, source string) *Limiter {
	key := Key{site, source}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.limiters[key]
	if l == nil {
		l = &Limiter{throttle: t, key: key, budget: t.budget(source)}
		l.setLimits(time.Time{}, t.rules.resolve(key))
		t.limiters[key] = l
	}
	return l
}

// Find gives the limiter of one site and source if there is one; nil: nothing
// was ever asked of it, nor learned.
func (t *Throttle) Find(site, source string) *Limiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.limiters[Key{site, source}]
}

// SetRules replaces all rules, those of SetLimits included; limiters follow at
// once. An invalid rule changes nothing.
func (t *Throttle) SetRules(now time.Time, rules Rules) error {
	if err := rules.Check(); err != nil {
		return err
	}
	t.mu.Lock()
	t.rules = rules.clone()
	t.mu.Unlock()
	t.apply(now, func(Key) bool { return true })
	return nil
}

// SetLimits replaces the rule of a site, or of one source at it when source is
// not empty. Zero Limits remove the rule. Invalid ones change nothing.
func (t *Throttle) SetLimits(now time.Time, site, source string, limits Limits) error {
	if err := limits.Check(); err != nil {
		return fmt.Errorf("set limits of site %s: %w", site, err)
	}
	t.mu.Lock()
	key := Key{site, source}
	switch {
	case source == "" && limits == Limits{}:
		delete(t.rules.Sites, site)
	case source == "":
		t.rules.Sites[site] = limits
	case limits == Limits{}:
		delete(t.rules.Sources, key)
	default:
		t.rules.Sources[key] = limits
	}
	t.mu.Unlock()
	t.apply(now, func(k Key) bool { return k.Site == site && (source == "" || k.Source == source) })
	return nil
}

// apply resolves the rules anew for the limiters chosen.
func (t *Throttle) apply(now time.Time, chosen func(Key) bool) {
	sites := make(map[string]bool)
	t.mu.Lock()
	for key, l := range t.limiters {
		if chosen(key) && l.setLimits(now, t.rules.resolve(key)) {
			sites[key.Site] = true
		}
	}
	t.mu.Unlock()
	for site := range sites {
		t.room(site)
	}
}

// Limiters lists every limiter, sorted by site and source.
func (t *Throttle) Limiters() []*Limiter {
	t.mu.Lock()
	all := slices.Collect(maps.Values(t.limiters))
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b *Limiter) int { return a.key.compare(b.key) })
	return all
}

// TakeChanged appends the limiters whose learned state changed since the last
// call: what the owner must save (Limiter.AppendState).
func (t *Throttle) TakeChanged(dst []*Limiter) []*Limiter {
	t.changedMu.Lock()
	taken := t.changed
	t.changed = nil
	t.changedMu.Unlock()
	for _, l := range taken {
		// Cleared before the state is read: a later change lists it again.
		l.listed.Store(false)
	}
	return append(dst, taken...)
}

func (t *Throttle) noteChanged(l *Limiter) {
	if l.listed.Swap(true) {
		return
	}
	t.changedMu.Lock()
	t.changed = append(t.changed, l)
	t.changedMu.Unlock()
}
