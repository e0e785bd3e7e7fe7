package engine

import (
	"testing"
	"time"
)

// limitsOf is what the limiter of a site allows now.
func (w *world) limitsOf(site string) (connections int, rate float64) {
	for _, src := range w.config.Sources {
		s := w.engine.throttle.Limiter(site, src.Name).Snapshot(time.Now())
		connections += s.Connections
		rate += s.MessageRate
	}
	return connections, rate
}

// TestSiteLimitsOutliveTheProcess: and what they do not say stays as configured.
func TestSiteLimitsOutliveTheProcess(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 7}, sites: {google: {message_rate: 50/s}}}\n")
	w.open()
	if err := w.engine.SetSiteLimits(t.Context(), "google", SiteLimits{Connections: 3}); err != nil {
		t.Fatal(err)
	}
	check := func(connections int, rate float64) {
		t.Helper()
		if c, r := w.limitsOf("google"); c != connections || r != rate {
			t.Errorf("%d connections, %v messages a second; want %d and %v", c, r, connections, rate)
		}
	}
	check(3, 50)
	w.reopen()
	check(3, 50)
	if l, ok := w.engine.SiteLimits("google"); !ok || l.Connections != 3 {
		t.Errorf("after a restart: %+v %v", l, ok)
	}
	if err := w.engine.SetSiteLimits(t.Context(), "google", SiteLimits{}); err != nil {
		t.Fatal(err)
	}
	check(7, 50)
	w.reopen()
	check(7, 50)
}

// TestSiteLimitsEnd: in the process that was told, and in one that is started
// when they are over.
func TestSiteLimitsEnd(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 7}}\n")
	w.open()
	set := func(site string, l SiteLimits) {
		t.Helper()
		if err := w.engine.SetSiteLimits(t.Context(), site, l); err != nil {
			t.Fatal(err)
		}
	}
	set("replaced", SiteLimits{Connections: 2, Until: time.Now().Add(20 * time.Millisecond)})
	set("replaced", SiteLimits{Connections: 3})
	set("soon", SiteLimits{Connections: 2, Until: time.Now().Add(30 * time.Millisecond)})
	w.await("the limits end", func() bool {
		_, ok := w.engine.SiteLimits("soon")
		return !ok
	})
	if c, _ := w.limitsOf("soon"); c != 7 {
		t.Errorf("%d connections after the end, want 7", c)
	}
	if c, _ := w.limitsOf("replaced"); c != 3 {
		t.Errorf("%d connections, want the 3 that replaced what has ended", c)
	}
	end := time.Now().Add(time.Hour)
	set("later", SiteLimits{Connections: 2, Until: end})
	w.close()
	w.open()
	if l, ok := w.engine.SiteLimits("later"); !ok || !l.Until.Equal(end) {
		t.Errorf("after a restart: %+v %v", l, ok)
	}
}
