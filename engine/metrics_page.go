package engine

import (
	"io"
	"slices"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-mail/penstock/engine/forecast"
	"github.com/penstock-mail/penstock/engine/ledger"
)

const (
	// namedSites bounds the sites with labels of their own.
	namedSites = 50
	// namedCampaigns bounds the campaigns shown: those begun last.
	namedCampaigns = 200
	// namedSources bounds the sources: the first of the configuration.
	namedSources = 50
	// theRest is the label of all others together.
	theRest = "(rest)"
)

// sourceLabel is what the configuration's source number i is called here.
func sourceLabel(i int, name string) string {
	if i < namedSources {
		return name
	}
	return theRest
}

// page is what /metrics shows, as it is written. A family's lines stand
// together, as the format wants it.
type page struct{ io.Writer }

func (p page) gauge(name string, n int) { metrics.WriteGaugeUint64(p, name, uint64(max(n, 0))) }

func (p page) size(name string, octets uint64) { metrics.WriteGaugeUint64(p, name, octets) }

func (p page) counter(name string, n uint64) { metrics.WriteCounterUint64(p, name, n) }

// WriteMetrics writes everything measured since the engine was opened, in the
// Prometheus text format, with the process's and Go's own. Campaigns are those
// being sent, at most 200; sites the 50 first seen as the busiest, and the rest
// together. Any goroutine.
func (e *Engine) WriteMetrics(w io.Writer) {
	e.meters.set.WritePrometheus(w)
	out := page{w}
	p := e.Progress(int(^uint(0) >> 1))

	out.gauge("penstock_connections", p.Pool.Connections)
	out.gauge("penstock_connections_dialling", p.Pool.Dialling)
	out.gauge("penstock_connections_queued", p.Pool.Queued)
	out.counter("penstock_connections_exhausted_total", p.Pool.Exhausted)
	out.gauge("penstock_lookups_queued", e.lookups.len())
	out.gauge("penstock_sites", len(p.Sites))
	out.gauge("penstock_pauses", len(e.pauses.All()))
	holding := 0
	if e.held() {
		holding = 1
	}
	out.gauge("penstock_holding", holding)
	out.ledger(&p.Ledger)
	out.campaigns(p.Runs)
	e.meters.writeSites(out, p.Sites)
	out.sources(e.Sources(0))
	waits := e.Outlook().All.Waits
	for c := range forecast.NumCauses {
		metrics.WriteGaugeFloat64(w, labels("penstock_waiting_share", "cause", c.String()), waits.Of(c))
	}
	metrics.WriteProcessMetrics(w)
	metrics.WriteFDMetrics(w)
}

func (p page) ledger(s *ledger.Stats) {
	p.counter("penstock_ledger_commits_total", s.Commits)
	p.counter("penstock_ledger_leased_total", s.Leased)
	p.counter("penstock_ledger_settled_total", s.Settled)
	p.counter("penstock_ledger_returned_total", s.Returned)
	p.counter("penstock_ledger_strays_total", s.Strays)
	p.counter("penstock_ledger_written_bytes_total", s.WrittenBytes)
	p.size("penstock_ledger_disk_bytes", s.DiskBytes)

	store := &s.Store
	p.counter("penstock_store_compactions_total", store.Compactions)
	p.counter("penstock_store_flushes_total", store.Flushes)
	p.counter("penstock_store_ingests_total", store.Ingests)
	p.size("penstock_store_compaction_debt_bytes", store.DebtBytes)
	p.gauge("penstock_store_read_amplification", store.ReadAmplification)
	p.size("penstock_store_tables", store.Tables)
	p.size("penstock_store_memtable_bytes", store.MemtableBytes)
	p.size("penstock_store_log_bytes", store.LogBytes)
	p.size("penstock_store_cache_bytes", store.CacheBytes)
	p.counter("penstock_store_cache_hits_total", store.CacheHits)
	p.counter("penstock_store_cache_misses_total", store.CacheMisses)
}

func (p page) campaigns(runs []RunProgress) {
	p.gauge("penstock_campaigns", len(runs))
	for _, r := range runs[max(0, len(runs)-namedCampaigns):] {
		for state, n := range r.Counts {
			p.size(labels("penstock_campaign_recipients", "campaign", r.Campaign, "state", ledger.State(state).String()), n)
		}
	}
}

// sources shows each on its own, and what is beyond the bound together.
func (p page) sources(all []SourceState) {
	shown := all
	if len(all) > namedSources {
		rest := SourceState{}
		rest.Name = theRest
		for i := range all[namedSources:] {
			s := &all[namedSources+i]
			rest.Connections += s.Connections
			rest.InFlight += s.InFlight
			rest.BackingOff += s.BackingOff
			rest.Paused = append(rest.Paused, s.Paused...)
		}
		shown = append(slices.Clone(all[:namedSources]), rest)
	}
	each := func(name string, value func(*SourceState) int) {
		for i := range shown {
			p.gauge(labels(name, "source", shown[i].Name), value(&shown[i]))
		}
	}
	each("penstock_source_connections", func(s *SourceState) int { return s.Connections })
	each("penstock_source_in_flight", func(s *SourceState) int { return s.InFlight })
	each("penstock_source_sites_backing_off", func(s *SourceState) int { return s.BackingOff })
	each("penstock_source_pauses", func(s *SourceState) int { return len(s.Paused) })
}

// writeSites writes the named sites, and the rest together.
func (m *meters) writeSites(out page, busiest []SiteProgress) {
	shown := m.name(busiest)
	for _, s := range shown {
		write := func(state ledger.State, n uint64) {
			out.counter(labels("penstock_site_outcomes_total", "site", s.Site, "state", state.String()), n)
		}
		write(ledger.Delivered, s.Sent)
		write(ledger.Deferred, s.Deferred)
		write(ledger.Bounced, s.Bounced)
		write(ledger.Uncertain, s.Uncertain)
	}
	for _, s := range shown {
		out.gauge(labels("penstock_site_connections", "site", s.Site), s.Connections)
	}
	for _, s := range shown {
		out.gauge(labels("penstock_site_connection_limit", "site", s.Site), s.ConnectionLimit)
	}
	for _, s := range shown {
		backoff := 0
		if s.Backoff != "" {
			backoff = 1
		}
		out.gauge(labels("penstock_site_backoff", "site", s.Site), backoff)
	}
}

// name gives labels of their own to sites, as long as there are any, and sums
// up the rest.
func (m *meters) name(busiest []SiteProgress) (shown []*SiteProgress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := SiteProgress{Site: theRest}
	for i := range busiest {
		s := &busiest[i]
		if _, ok := m.named[s.Site]; !ok && len(m.named) < namedSites {
			m.named[s.Site] = struct{}{}
		}
		if _, ok := m.named[s.Site]; ok {
			shown = append(shown, s)
			continue
		}
		rest.Sent += s.Sent
		rest.Deferred += s.Deferred
		rest.Bounced += s.Bounced
		rest.Uncertain += s.Uncertain
		rest.Connections += s.Connections
		rest.ConnectionLimit += s.ConnectionLimit
		if s.Backoff != "" {
			rest.Backoff = s.Backoff
		}
	}
	return append(shown, &rest)
}
