package engine

import (
	"cmp"
	"slices"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/pool"
)

// Progress is how sending stands at one moment, for a display.
type Progress struct {
	At    time.Time
	Runs  []RunProgress
	Sites []SiteProgress // busiest first
	Pool  pool.Stats
	// Ledger counts what was written since the start.
	Ledger ledger.Stats
}

// RunProgress is one campaign's.
type RunProgress struct {
	Campaign string
	Loaded   uint64
	// Loading: more recipients are to come.
	Loading bool
	Counts  ledger.Counts
	// Resting names the sites where the breaker tripped.
	Resting []string
}

// SiteProgress is one site's since the start of this process.
type SiteProgress struct {
	Site                               string
	Sent, Deferred, Bounced, Uncertain uint64
	Connections                        int
	// ConnectionLimit is the most connections now, over all sources;
	// MessageRate the messages a second allowed now, 0 for no limit.
	ConnectionLimit int
	MessageRate     float64
	// Backoff is why the limits are lower than configured, or empty.
	Backoff string
	// LastReply is the last answer that was no plain success.
	LastReply string
}

// Progress looks at the engine; at most so many sites, the busiest first.
// Any goroutine.
func (e *Engine) Progress(most int) Progress {
	now := e.now()
	p := Progress{At: now, Pool: e.pool.Stats(), Ledger: e.ledger.Stats()}
	e.routing.Lock()
	runs := slices.Clone(e.runs)
	sites := make([]*site, 0, len(e.sites))
	for _, s := range e.sites {
		sites = append(sites, s)
	}
	e.routing.Unlock()
	for _, r := range runs {
		totals := r.campaign.Totals()
		counts, err := r.campaign.Counts()
		if err != nil {
			continue // the ledger has failed, which is told elsewhere
		}
		p.Runs = append(p.Runs, RunProgress{
			Campaign: r.campaign.Name(),
			Loaded:   totals.Loaded,
			Loading:  totals.Streaming,
			Counts:   counts,
			Resting:  r.resting(now),
		})
	}
	handled := func(s *site) uint64 { return s.sent.Load() + s.deferred.Load() + s.bounced.Load() }
	slices.SortFunc(sites, func(a, b *site) int {
		return cmp.Or(
			cmp.Compare(b.connections.Load(), a.connections.Load()),
			cmp.Compare(handled(b), handled(a)),
			cmp.Compare(a.name, b.name),
		)
	})
	for _, s := range sites[:min(most, len(sites))] {
		p.Sites = append(p.Sites, s.progress(now))
	}
	return p
}

func (s *site) progress(now time.Time) SiteProgress {
	p := SiteProgress{
		Site: s.name, Sent: s.sent.Load(), Deferred: s.deferred.Load(), Bounced: s.bounced.Load(),
		Uncertain: s.uncertain.Load(), Connections: int(s.connections.Load()), LastReply: s.replies.newest(),
	}
	for _, l := range s.limiters {
		snap := l.Snapshot(now)
		p.ConnectionLimit += snap.Connections
		p.MessageRate += snap.MessageRate
		if snap.Reason != "" {
			p.Backoff = snap.Reason
		}
	}
	return p
}

// Resting names the sites that refuse the campaign and are left alone for a
// while.
func (r *Run) Resting() []string { return r.resting(r.engine.now()) }

// resting names the sites where the run's breaker has tripped.
func (r *Run) resting(now time.Time) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for s, b := range r.breakers {
		if now.Before(b.restUntil) {
			names = append(names, s)
		}
	}
	slices.Sort(names)
	return names
}
