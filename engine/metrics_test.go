package engine

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/penstock-mail/penstock/engine/pause"
)

// line is a line of the Prometheus text format.
var line = regexp.MustCompile(`^[a-z_:][a-z0-9_:]*(\{[a-zA-Z_]+="(\\["\\n]|[^"\\\n])*"(, ?[a-zA-Z_]+="(\\["\\n]|[^"\\\n])*")*\})? [-+0-9.eE]+(Inf|NaN)?$`)

func (w *world) metrics() string {
	w.Helper()
	var page bytes.Buffer
	w.engine.WriteMetrics(&page)
	for l := range strings.Lines(page.String()) {
		if l = strings.TrimSuffix(l, "\n"); l != "" && l[0] != '#' && !line.MatchString(l) {
			w.Errorf("not of the format: %q", l)
		}
	}
	return page.String()
}

func TestMetricsSayWhatHappened(t *testing.T) {
	w := newWorld(t, "")
	w.serve("rules: [{at: rcpt, to: [\"gone@*\"], reply: \"550 5.1.1 unknown\"}]\n", "a.test")
	w.open()
	r := w.start(w.campaign("c", "", "u1@a.test", "u2@a.test", "gone@a.test"))
	w.finish(r)
	w.pause(pause.Scope{Site: "google"})
	site := w.engine.Progress(1).Sites[0].Site
	page := w.metrics()
	for _, want := range []string{
		`penstock_outcomes_total{state="delivered"} 2`,
		`penstock_outcomes_total{state="bounced"} 1`,
		`penstock_outcomes_total{state="uncertain"} 0`,
		`penstock_attempt_seconds_count 3`,
		`penstock_campaign_recipients{campaign="c",state="delivered"} 2`,
		`penstock_site_outcomes_total{site="` + site + `",state="delivered"} 2`,
		`penstock_site_outcomes_total{site="(rest)",state="delivered"} 0`,
		`penstock_source_outcomes_total{source="` + w.config.Sources[0].Name + `",state="bounced"} 1`,
		`penstock_waiting_share{cause="`,
		"penstock_pauses 1",
		"penstock_holding 0",
		"penstock_ledger_leased_total 3",
		"go_goroutines ",
	} {
		if !strings.Contains(page, "\n"+want) && !strings.HasPrefix(page, want) {
			t.Errorf("no line %q in\n%s", want, page)
		}
	}
}

// TestMetricsAreBounded: however many sites there are, and whatever their names.
func TestMetricsAreBounded(t *testing.T) {
	t.Parallel()
	m := newMeters("a")
	var sites []SiteProgress
	for i := range 1000 {
		sites = append(sites, SiteProgress{Site: fmt.Sprintf("s%d", i), Sent: 1, Connections: 1})
	}
	count := func() (n int) {
		var text bytes.Buffer
		m.writeSites(page{&text}, sites)
		if !strings.Contains(text.String(), `penstock_site_outcomes_total{site="(rest)",state="delivered"} 950`) {
			t.Errorf("the rest is not the rest:\n%s", text.String()[:500])
		}
		return strings.Count(text.String(), "penstock_site_connections{")
	}
	if n := count(); n != namedSites+1 {
		t.Errorf("%d sites are named", n)
	}
	sites = append(sites[500:], sites[:500]...) // others are busier now
	if n := count(); n != namedSites+1 {
		t.Errorf("%d sites are named after a while", n)
	}
	if got := labels("x", "a", "q\"\\\n", "b", "c"); got != `x{a="q\"\\\n",b="c"}` {
		t.Errorf("labels: %s", got)
	}
}
