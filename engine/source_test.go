package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/pause"
	"github.com/penstock-mail/penstock/pool/smtp"
)

// twoSources has an engine send from two addresses, one connection each.
const twoSources = `
sources: [{name: a, ip: 127.0.0.1, ehlo: a.sender.test}, {name: b, ip: 127.0.0.2, ehlo: b.sender.test}]
limits: {default: {connections: 1}}
`

// via counts the attempts of a run's recipients that went out from each source.
func (w *world) via(r *Run, addresses []string) map[string]int {
	w.Helper()
	n := make(map[string]int)
	for _, a := range addresses {
		for _, attempt := range w.history(r, a).Attempts {
			if attempt.Attempted {
				n[attempt.Source]++
			}
		}
	}
	return n
}

// TestPausedSourceLeavesItsPartToOthers: under full traffic. What it had on the
// wire is the last that it sends; nobody is tried twice, and a restart knows.
func TestPausedSourceLeavesItsPartToOthers(t *testing.T) {
	w := newWorld(t, twoSources)
	w.serve("think: 1ms\n", "a.test")
	e := w.open()
	all := people(600, "a.test")
	c := w.campaign("c", "", all...)
	r := w.start(c)
	w.await("both sources send", func() bool { return w.mail.count() > 100 && len(w.via(r, all[:60])) == 2 })
	w.pause(pause.Scope{Source: "a"})
	for _, l := range e.allLanes() {
		if got := l.pull(nil, "a", new(smtp.Capabilities), 16); len(got) > 0 {
			t.Errorf("%d messages were handed to a source that is paused", len(got))
		}
	}
	atPause := w.via(r, all)["a"]
	w.await("its connections are closed", func() bool { return e.pool.Sources()["a"].Connections == 0 })
	last := w.via(r, all)["a"]
	if last > atPause+16 {
		t.Errorf("%d went out after the pause, more than can have been on the wire", last-atPause)
	}
	w.await("the other one goes on", func() bool { return w.mail.count() > 200 })
	e = w.reopen()
	r = w.start(c)
	w.finish(r)
	w.once(all...)
	sent := w.via(r, all)
	if sent["a"] != last || sent["a"]+sent["b"] != 600 {
		t.Errorf("sent %v; want %d from a, 600 in all", sent, last)
	}
	if !e.Pauses().SourceHeld("a") || e.pool.Sources()["a"].Connections > 0 {
		t.Error("the pause did not outlive the process")
	}
}

// TestAllSourcesPausedIsAPause: nothing goes out, nobody is left leased, its time
// does not count, and one source that is resumed does it all.
func TestAllSourcesPausedIsAPause(t *testing.T) {
	w := newWorld(t, twoSources)
	w.serve("think: 1ms\n", "a.test")
	e := w.open()
	all := people(600, "a.test")
	r := w.start(w.campaign("c", "", all...))
	w.await("some are delivered", func() bool { return w.mail.count() > 20 })
	for _, s := range []string{"a", "b"} {
		w.pause(pause.Scope{Source: s})
	}
	frozen := w.quiet(r)
	if frozen == 600 {
		t.Fatal("all was sent before the pause")
	}
	if s := e.ledger.Stats(); s.Leased != s.Settled+s.Returned {
		t.Errorf("%d leased, %d settled, %d returned", s.Leased, s.Settled, s.Returned)
	}
	began := time.Now()
	w.await("time has passed", func() bool { return time.Since(began) > 20*time.Millisecond })
	if n := w.mail.count(); n != frozen {
		t.Errorf("%d arrived while all sources were paused", n-frozen)
	}
	if d := e.Pauses().Paused("c", "any", began, time.Now()); d < 20*time.Millisecond {
		t.Errorf("%v of it count as paused", d)
	}
	w.resume(pause.Scope{Source: "b"})
	w.finish(r)
	w.once(all...)
}

func TestSourceStatesAreTold(t *testing.T) {
	w := newWorld(t, twoSources)
	w.serve("think: 5ms\n", "a.test")
	w.serve("think: 5ms\n", "b.test")
	e := w.open()
	r := w.start(w.campaign("c", "", people(400, "a.test", "b.test")...))
	var s []SourceState
	w.await("both are at both sites", func() bool {
		s = e.Sources(1)
		return s[0].AtSites == 2 && s[1].AtSites == 2 && s[0].Connections == 2 && s[0].InFlight > 0
	})
	if s[0].Name != "a" || s[1].Name != "b" || s[0].EHLO != "a.sender.test" || len(s[0].Sites) != 1 || s[0].Sites[0].Connections != 1 || s[0].Reserved != 2 {
		t.Errorf("%+v", s[0])
	}
	w.pause(pause.Scope{Source: "a"})
	if s = e.Sources(1); len(s[0].Paused) != 1 || s[0].Paused[0].Who != "ada" || len(s[1].Paused) != 0 {
		t.Errorf("pauses: %+v %+v", s[0].Paused, s[1].Paused)
	}
	w.finish(r)
}

// TestSourceLimitsHoldOverAllSites, in the next process, too.
func TestSourceLimitsHoldOverAllSites(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 5}}\n")
	domains := []string{"a.test", "b.test", "c.test", "d.test"}
	for _, d := range domains {
		w.serve("think: 2ms\n", d)
	}
	e := w.open()
	if err := e.SetSourceLimits(t.Context(), config.DefaultSource, SiteLimits{Connections: 3}); err != nil {
		t.Fatal(err)
	}
	e = w.reopen()
	if l, ok := e.SourceLimits(config.DefaultSource); !ok || l.Connections != 3 {
		t.Fatalf("after a restart: %+v %v", l, ok)
	}
	r := w.start(w.campaign("c", "", people(200, domains...)...))
	most := 0
	w.await("all is sent", func() bool {
		most = max(most, e.Sources(0)[0].Reserved)
		return r.Done()
	})
	if most == 0 || most > 3 {
		t.Errorf("%d connections at once, want 3 at most", most)
	}
	if err := e.SetSourceLimits(t.Context(), "nobody", SiteLimits{Connections: 3}); !errors.Is(err, ErrNoSource) {
		t.Errorf("limits of no source: %v", err)
	}
	if err := e.Pause(t.Context(), pause.Hold{Scope: pause.Scope{Source: "nobody"}, Who: "ada"}); !errors.Is(err, ErrNoSource) {
		t.Errorf("pause of no source: %v", err)
	}
}

// TestForgetAndFlushOfASource: it is tried again where it was sent away.
func TestForgetAndFlushOfASource(t *testing.T) {
	for name, end := range map[string]func(*Engine, string) error{"flush": (*Engine).FlushSource, "forget": (*Engine).ForgetSource} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "limits: {default: {connections: 1}}\n")
			w.serve(`rules: [{at: rcpt, first: 1, reply: "450 4.7.1 Mail from your IP was refused, poor IP reputation"}]`, "a.test")
			e := w.open()
			r := w.start(w.campaign("c", "", people(60, "a.test")...))
			w.idle(r)
			if n := e.Sources(1)[0].BackingOff; n != 1 {
				t.Fatalf("%d sites object, want 1", n)
			}
			if err := end(e, config.DefaultSource); err != nil {
				t.Fatal(err)
			}
			w.finish(r)
			if err := end(e, "nobody"); !errors.Is(err, ErrNoSource) {
				t.Errorf("of no source: %v", err)
			}
		})
	}
}
