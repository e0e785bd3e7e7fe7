package engine

import (
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-mail/penstock/engine/hush"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/pool"
)

// The metrics library is initialised by now.
func init() { hush.Over() }

// meters count for /metrics. Handles are made once; what carries a campaign or
// a site in its labels is written from their own counters when it is asked for.
type meters struct {
	set      *metrics.Set
	outcomes [ledger.NumStates]*metrics.Counter
	answers  *metrics.PrometheusHistogram
	waits    [pool.NumSteps]*metrics.PrometheusHistogram

	mu sync.Mutex
	// named are the sites with labels of their own. It only grows, so that no
	// counter goes back and forth. Guarded by mu.
	named map[string]struct{}
}

const (
	// namedSites bounds the sites with labels of their own.
	namedSites = 50
	// namedCampaigns bounds the campaigns shown: those begun last.
	namedCampaigns = 200
	// restOfSites is the label of all others together.
	restOfSites = "(rest)"
)

// answerBounds are in seconds: from a server next door to the ten minutes that
// RFC 5321 4.5.3.2.6 grants it.
var answerBounds = []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600}

func newMeters() *meters {
	m := &meters{set: metrics.NewSet(), named: make(map[string]struct{})}
	for i := range m.outcomes {
		m.outcomes[i] = m.set.NewCounter(`penstock_outcomes_total{state="` + ledger.State(i).String() + `"}`)
	}
	m.answers = m.set.NewPrometheusHistogramExt("penstock_attempt_seconds", answerBounds)
	for at := range m.waits {
		m.waits[at] = m.set.NewPrometheusHistogramExt(labels("penstock_wait_seconds", "step", pool.Step(at).String()), answerBounds)
	}
	return m
}

// waited takes in how long a connection waited for its server. Event loop.
func (m *meters) waited(at pool.Step, took time.Duration) { m.waits[at].Update(took.Seconds()) }

// count takes a settlement in. Event loop: it touches memory alone.
func (m *meters) count(s *ledger.Settlement) {
	m.outcomes[s.State].Inc()
	if s.Attempted {
		m.answers.Update(s.Took.Seconds())
	}
}

// escape makes a label's value.
var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// labels writes a name with labels: pairs of a name and a value.
func labels(name string, pairs ...string) string {
	var b strings.Builder
	b.WriteString(name)
	for i := 0; i < len(pairs); i += 2 {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(pairs[i] + `="` + escape.Replace(pairs[i+1]) + `"`)
	}
	b.WriteByte('}')
	return b.String()
}

// WriteMetrics writes everything measured since the engine was opened, in the
// Prometheus text format, with the process's and Go's own. Campaigns are those
// being sent, at most 200; sites the 50 first seen as the busiest, and the rest
// together. Any goroutine.
func (e *Engine) WriteMetrics(w io.Writer) {
	e.meters.set.WritePrometheus(w)
	p := e.Progress(int(^uint(0) >> 1))
	gauge := func(name string, n int) { metrics.WriteGaugeUint64(w, name, uint64(max(n, 0))) }
	counter := func(name string, n uint64) { metrics.WriteCounterUint64(w, name, n) }

	gauge("penstock_connections", p.Pool.Connections)
	gauge("penstock_connections_dialling", p.Pool.Dialling)
	gauge("penstock_connections_queued", p.Pool.Queued)
	gauge("penstock_lookups_queued", e.lookups.len())
	gauge("penstock_sites", len(p.Sites))
	gauge("penstock_pauses", len(e.pauses.All()))
	holding := 0
	if e.held() {
		holding = 1
	}
	gauge("penstock_holding", holding)

	l := &p.Ledger
	counter("penstock_ledger_commits_total", l.Commits)
	counter("penstock_ledger_leased_total", l.Leased)
	counter("penstock_ledger_settled_total", l.Settled)
	counter("penstock_ledger_returned_total", l.Returned)
	counter("penstock_ledger_written_bytes_total", l.WrittenBytes)
	metrics.WriteGaugeUint64(w, "penstock_ledger_disk_bytes", l.DiskBytes)

	gauge("penstock_campaigns", len(p.Runs))
	for _, r := range p.Runs[max(0, len(p.Runs)-namedCampaigns):] {
		for state, n := range r.Counts {
			metrics.WriteGaugeUint64(w, labels("penstock_campaign_recipients", "campaign", r.Campaign, "state", ledger.State(state).String()), n)
		}
	}
	e.meters.writeSites(w, p.Sites)
	metrics.WriteProcessMetrics(w)
}

// writeSites writes the named sites, and the rest together.
func (m *meters) writeSites(w io.Writer, busiest []SiteProgress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := SiteProgress{Site: restOfSites}
	var shown []*SiteProgress
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
	}
	// A family's lines stand together, as the format wants it.
	shown = append(shown, &rest)
	for _, s := range shown {
		write := func(state ledger.State, n uint64) {
			metrics.WriteCounterUint64(w, labels("penstock_site_outcomes_total", "site", s.Site, "state", state.String()), n)
		}
		write(ledger.Delivered, s.Sent)
		write(ledger.Deferred, s.Deferred)
		write(ledger.Bounced, s.Bounced)
		write(ledger.Uncertain, s.Uncertain)
	}
	for _, s := range shown {
		metrics.WriteGaugeUint64(w, labels("penstock_site_connections", "site", s.Site), uint64(max(s.Connections, 0)))
	}
	for _, s := range shown {
		metrics.WriteGaugeUint64(w, labels("penstock_site_connection_limit", "site", s.Site), uint64(s.ConnectionLimit))
	}
}

// ErrHolding is why an engine is not ready that neither drains nor sends.
var ErrHolding = errors.New("nothing new begins: there is too little free space, or the ledger has failed; the log says which")

// Ready says why the engine does not send: ErrDraining or ErrHolding; nil when
// it does. Any goroutine.
func (e *Engine) Ready() error {
	switch {
	case e.ctx.Err() != nil:
		return ErrDraining
	case e.held():
		return ErrHolding
	}
	return nil
}
