package engine

import (
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/hush"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/mx"
	"github.com/penstock-mail/penstock/pool"
)

// The metrics library is initialised by now.
func init() { hush.Over() }

// meters count for /metrics; docs/monitoring/metrics.md says what each name
// means. Handles are made once; what carries a campaign or a site in its labels
// is written from their own counters when it is asked for (metrics_page.go).
type meters struct {
	set      *metrics.Set
	outcomes [ledger.NumStates]*metrics.Counter
	attempts *metrics.PrometheusHistogram
	age      *metrics.PrometheusHistogram
	waits    [pool.NumSteps]*metrics.PrometheusHistogram
	// sources count the answers to each source, by its name.
	sources map[string]*[ledger.NumStates]*metrics.Counter

	lookups   [mx.NumStatuses]*metrics.Counter
	lookup    *metrics.PrometheusHistogram
	composed  *metrics.Counter
	composing *metrics.PrometheusHistogram
	signed    *metrics.Counter
	signing   *metrics.PrometheusHistogram
	commits   *metrics.PrometheusHistogram

	mu sync.Mutex
	// named are the sites with labels of their own. It only grows, so that no
	// counter goes back and forth. Guarded by mu.
	named map[string]struct{}
}

// Bounds of histograms, in seconds.
var (
	// From a server next door to the ten minutes that RFC 5321 4.5.3.2.6 grants
	// it.
	answerBounds = []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600}
	// What this machine does itself.
	workBounds = []float64{.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5}
	// From the first second of a campaign to the days of its last retries.
	ageBounds = []float64{1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 2 * 24 * 3600, 5 * 24 * 3600}
)

func newMeters(sources ...string) *meters {
	set := metrics.NewSet()
	histogram := set.NewPrometheusHistogramExt
	m := &meters{
		set:       set,
		attempts:  histogram("penstock_attempt_seconds", answerBounds),
		age:       histogram("penstock_final_age_seconds", ageBounds),
		lookup:    histogram("penstock_dns_lookup_seconds", answerBounds),
		composed:  set.NewCounter("penstock_composed_total"),
		composing: histogram("penstock_compose_batch_seconds", workBounds),
		signed:    set.NewCounter("penstock_signed_total"),
		signing:   histogram("penstock_sign_batch_seconds", workBounds),
		commits:   histogram("penstock_ledger_commit_seconds", workBounds),
		sources:   make(map[string]*[ledger.NumStates]*metrics.Counter, len(sources)),
		named:     make(map[string]struct{}),
	}
	byLabel := make(map[string]*[ledger.NumStates]*metrics.Counter)
	for i, name := range sources {
		label := sourceLabel(i, name)
		if byLabel[label] == nil {
			byLabel[label] = newSourceCounters(set, label)
		}
		m.sources[name] = byLabel[label]
	}
	for i := range m.outcomes {
		m.outcomes[i] = set.NewCounter(labels("penstock_outcomes_total", "state", ledger.State(i).String()))
	}
	for i := range m.waits {
		m.waits[i] = histogram(labels("penstock_wait_seconds", "step", pool.Step(i).String()), answerBounds)
	}
	for i := mx.StatusUnset + 1; i < mx.NumStatuses; i++ {
		m.lookups[i] = set.NewCounter(labels("penstock_dns_lookups_total", "result", i.String()))
	}
	return m
}

func sourceNames(c *config.Config) (names []string) {
	for _, s := range c.Sources {
		names = append(names, s.Name)
	}
	return names
}

// newSourceCounters makes those of one source, for what an attempt can come to.
func newSourceCounters(set *metrics.Set, source string) *[ledger.NumStates]*metrics.Counter {
	var all [ledger.NumStates]*metrics.Counter
	for _, s := range []ledger.State{ledger.Delivered, ledger.Deferred, ledger.Bounced, ledger.Expired, ledger.Uncertain} {
		all[s] = set.NewCounter(labels("penstock_source_outcomes_total", "source", source, "state", s.String()))
	}
	return &all
}

// waited takes in how long a connection waited for its server. Event loop.
func (m *meters) waited(at pool.Step, took time.Duration) { m.waits[at].Update(took.Seconds()) }

// count takes a settlement in. Event loop: it touches memory alone.
func (m *meters) count(s *ledger.Settlement, begun time.Time) {
	m.outcomes[s.State].Inc()
	if s.Attempted {
		m.attempts.Update(s.Took.Seconds())
		if from := m.sources[s.Via.Source]; from != nil && from[s.State] != nil {
			from[s.State].Inc()
		}
	}
	switch s.State {
	case ledger.Delivered, ledger.Bounced, ledger.Expired:
		m.age.Update(s.At.Sub(begun).Seconds())
	default:
		// More is to come, or it was never to be sent.
	}
}

// looked takes in an answer of the resolver, from its cache or not.
func (m *meters) looked(s mx.Status, took time.Duration) {
	m.lookups[s].Inc()
	m.lookup.Update(took.Seconds())
}

// made takes in a batch of messages that was composed, and one that was signed.
func (m *meters) made(n int, took time.Duration) {
	m.composed.Add(n)
	m.composing.Update(took.Seconds())
}

func (m *meters) sealed(n int, took time.Duration) {
	m.signed.Add(n)
	m.signing.Update(took.Seconds())
}

// committed takes in a group commit. The ledger's writer.
func (m *meters) committed(took time.Duration) { m.commits.Update(took.Seconds()) }

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
