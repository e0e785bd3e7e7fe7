package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/pause"
	"github.com/penstock-mail/penstock/throttle"
)

// ErrNoSource is a source that is not configured.
var ErrNoSource = errors.New("no such source")

// SourceState is how one source stands at a moment.
type SourceState struct {
	config.Source
	// Connections are open, InFlight messages sent on them and not answered;
	// Reserved counts connections on the way, too, and is what the limit is held
	// against.
	Connections, InFlight, Reserved int
	// Rate is the messages a second that were answered over the last 5 to 10
	// seconds, but for refusals of us as sender.
	Rate float64
	// Limits are those of SetSourceLimits; the zero value: none.
	Limits SiteLimits
	Paused []pause.Hold
	// AtSites is how many sites it has connections to. Sites are the ones with
	// most of them, and BackingOff how many object to it.
	AtSites, BackingOff int
	Sites               []SourceAtSite
}

// SourceAtSite is a source's part in one site.
type SourceAtSite struct {
	Site string
	SiteSource
}

// Sources tells how the sources stand, in the order of the configuration, each
// with so many of its sites at most. It looks at every connection and every
// limiter. Any goroutine.
func (e *Engine) Sources(sites int) []SourceState {
	now := e.now()
	used := e.pool.Sources()
	all := make([]SourceState, len(e.config.Sources))
	at := make(map[string]*SourceState, len(all))
	busy := make(map[string][]throttle.Snapshot, len(all))
	for i, from := range e.config.Sources {
		s := &all[i]
		s.Source, s.Connections, s.InFlight = from, used[from.Name].Connections, used[from.Name].InFlight
		s.Limits, _ = e.SourceLimits(from.Name)
		_, s.Reserved = e.throttle.SourceLimits(from.Name)
		s.Paused = e.pauses.Holds(pause.Scope{Source: from.Name})
		at[from.Name] = s
	}
	for _, l := range e.throttle.Limiters() {
		s := at[l.Source()]
		if s == nil {
			continue
		}
		snap := l.Snapshot(now)
		s.Rate += snap.Achieved
		if snap.Open > 0 {
			s.AtSites++
		}
		if snap.Reason != "" {
			s.BackingOff++
		}
		if snap.Open > 0 || snap.Reason != "" {
			busy[l.Source()] = append(busy[l.Source()], snap)
		}
	}
	for name, snaps := range busy {
		slices.SortFunc(snaps, func(a, b throttle.Snapshot) int {
			return cmp.Or(cmp.Compare(b.Open, a.Open), cmp.Compare(b.Achieved, a.Achieved), cmp.Compare(a.Site, b.Site))
		})
		for _, snap := range snaps[:min(sites, len(snaps))] {
			at[name].Sites = append(at[name].Sites, SourceAtSite{Site: snap.Site, SiteSource: e.atSource(snap.Site, snap)})
		}
	}
	return all
}

func (e *Engine) hasSource(name string) bool {
	return slices.ContainsFunc(e.config.Sources, func(s config.Source) bool { return s.Name == name })
}

// openPauses reads what is paused, and keeps frozen what an earlier process froze.
func (e *Engine) openPauses() (err error) {
	if e.pauses, err = pause.Open(e.ledger); err != nil {
		return err
	}
	names := make([]string, len(e.config.Sources))
	for i, s := range e.config.Sources {
		names[i] = s.Name
	}
	return e.pauses.Cover(names, e.now())
}

// holdSources has the pool and the lanes know which sources are held. From when
// the lanes were looked at after this, no message is handed to a connection of
// one that is.
func (e *Engine) holdSources() {
	held := make(map[string]bool)
	for _, s := range e.config.Sources {
		if e.pauses.SourceHeld(s.Name) {
			held[s.Name] = true
			e.pool.Freeze(s.Name)
		}
	}
	if len(held) == 0 {
		e.heldSources.Store(nil)
	} else {
		e.heldSources.Store(&held)
	}
	for _, s := range e.config.Sources {
		if !held[s.Name] {
			e.pool.Thaw(s.Name)
		}
	}
}

// sourceHeld reports whether nothing may begin from a source. Event loop.
func (e *Engine) sourceHeld(name string) bool {
	held := e.heldSources.Load()
	return held != nil && (*held)[name]
}

// knowsScope: a pause of a source that is not there is a mistake; of a site or
// campaign it may be meant for later.
func (e *Engine) knowsScope(s pause.Scope) error {
	if s.Source != "" && !e.hasSource(s.Source) {
		return fmt.Errorf("pause %s: %w", s, ErrNoSource)
	}
	return nil
}

// FlushSource ends the rests that a source was sent to, at every site: it is tried
// again at once, one connection and one message first. What was learned stays.
func (e *Engine) FlushSource(source string) error {
	return e.eachLimiterOf(source, func(l *throttle.Limiter, now time.Time) {
		if !l.Snapshot(now).RestsUntil.IsZero() {
			l.Rest(now, now, "")
		}
	})
}

// ForgetSource drops what was learned of a source, at every site.
func (e *Engine) ForgetSource(source string) error {
	if err := e.eachLimiterOf(source, func(l *throttle.Limiter, now time.Time) { l.Forget(now) }); err != nil {
		return err
	}
	e.saveLearned()
	return nil
}

// eachLimiterOf changes a source's limiters, and has what rested go on.
func (e *Engine) eachLimiterOf(source string, change func(*throttle.Limiter, time.Time)) error {
	e.steering.Lock()
	defer e.steering.Unlock()
	switch {
	case !e.hasSource(source):
		return fmt.Errorf("source %s: %w", source, ErrNoSource)
	case e.ctx.Err() != nil:
		return fmt.Errorf("source %s: %w", source, ErrDraining)
	}
	now := e.now()
	for _, l := range e.throttle.Limiters() {
		if l.Source() != source {
			continue
		}
		rested := !l.Snapshot(now).RestsUntil.IsZero()
		change(l, now)
		if rested {
			if err := e.endRests(l.Site(), e.allRuns()); err != nil {
				return fmt.Errorf("source %s: %w", source, err)
			}
		}
	}
	return nil
}
