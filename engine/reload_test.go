package engine

import (
	"strings"
	"testing"

	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/pause"
)

func (w *world) reload(settings string) {
	w.Helper()
	r, problems := w.engine.PrepareReload(w.configuration(settings))
	if err := problems.Err(); err != nil {
		w.Fatal(err)
	}
	if err := r.Apply(); err != nil {
		w.Fatal(err)
	}
}

// TestReloadedSuppressionHoldsForWhoIsLeft: also in a campaign that was loaded
// and started before, and what was taken off the list is sent to.
func TestReloadedSuppressionHoldsForWhoIsLeft(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.config.Suppress = []string{w.write("first.txt", "nobody@a.test\n")}
	w.open()
	w.pause(pause.Scope{})
	r := w.start(w.campaign("c", "", people(4, "a.test")...))
	w.write("second.txt", "u2@a.test\nu3@a.test\n")
	w.reload("suppress: second.txt\n")
	w.write("third.txt", "u3@a.test\n")
	w.reload("suppress: third.txt\n")
	w.resume(pause.Scope{})
	w.finish(r)
	w.has(r, "3 delivered, 1 suppressed")
}

// TestReloadedLimitsStandBelowAPersons: those that a person has set stay over
// them, and come off to what is configured now.
func TestReloadedLimitsStandBelowAPersons(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 7}, sites: {google: {message_rate: 50/s}}}\n")
	w.open()
	check := func(connections int, rate float64) {
		t.Helper()
		if c, r := w.limitsOf("google"); c != connections || r != rate {
			t.Errorf("%d connections, %v messages a second; want %d and %v", c, r, connections, rate)
		}
	}
	check(7, 50)
	if err := w.engine.SetSiteLimits(t.Context(), "google", SiteLimits{Connections: 3}); err != nil {
		t.Fatal(err)
	}
	w.reload("limits: {default: {connections: 9}, sites: {google: {message_rate: 20/s}}}\n")
	check(3, 20)
	if err := w.engine.SetSiteLimits(t.Context(), "google", SiteLimits{}); err != nil {
		t.Fatal(err)
	}
	check(9, 20)
}

// TestAReloadWithMistakesChangesNothing.
func TestAReloadWithMistakesChangesNothing(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 7}}\n")
	w.open()
	w.limitsOf("google")
	next := w.configuration("limits: {default: {connections: 9}}\n")
	next.Suppress = []string{"none.txt"}
	if _, problems := w.engine.PrepareReload(next); problems.Err() == nil || !strings.Contains(problems.Error(), "none.txt") {
		t.Errorf("a list that is not there: %v", problems)
	}
	if c, _ := w.limitsOf("google"); c != 7 {
		t.Errorf("%d connections", c)
	}
}

// TestWhatReloads: the settings that Apply takes, and those beside them that need
// a restart.
func TestWhatReloads(t *testing.T) {
	w := newWorld(t, "limits: {domains: {a.test: {connections: 2}}}\n")
	w.open()
	for key, want := range map[string]bool{
		"suppress": true, "limits.default.connections": true, "limits.sites.google.message_rate": true, "limits.domains.a.test.connections": true,
		"limits.domains.b.test.connections": false, "limits.default.gear": false, "limits.sites.google.gear": false, "hostname": false, "routes.*": false,
	} {
		if w.engine.Reloads(key) != want {
			t.Errorf("%s: %v", key, !want)
		}
	}
	for _, e := range (&config.Config{}).Effective() {
		if !strings.HasPrefix(e.Key, "limits.") && e.Key != "suppress" && w.engine.Reloads(e.Key) {
			t.Errorf("%s needs a restart", e.Key)
		}
	}
}
