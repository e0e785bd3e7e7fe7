package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/pause"
	"github.com/penstock-mail/penstock/throttle"
)

// slowly has what is deferred wait for an hour: only a flush brings it back.
func (w *world) slowly() {
	w.config.Retry = config.Retry{First: time.Hour, Factor: 1, Max: time.Hour, Expire: 24 * time.Hour}
}

// siteOf is the name of the one site that is dealt with.
func (w *world) siteOf() string {
	w.Helper()
	sites := w.engine.Progress(2).Sites
	if len(sites) != 1 {
		w.Fatalf("%d sites, want one", len(sites))
	}
	return sites[0].Site
}

// flush flushes the one site, of a campaign or of all.
func (w *world) flush(campaign string, want int) {
	w.Helper()
	n, err := w.engine.FlushSite(w.Context(), w.siteOf(), campaign)
	if err != nil || n != want {
		w.Fatalf("flushed %d, %v; want %d", n, err, want)
	}
}

// TestFlushTriesTheDeferredNow: at once, with their attempts counted on, and only
// what is of the campaign asked for.
func TestFlushTriesTheDeferredNow(t *testing.T) {
	w := newWorld(t, "")
	w.serve(`rules: [{at: rcpt, times: 1, reply: "450 4.2.1 mailbox is busy"}]`, "a.test")
	w.slowly()
	w.open()
	one := w.start(w.campaign("one", "", people(30, "a.test")...))
	two := w.start(w.campaign("two", "", "v1@a.test", "v2@a.test"))
	w.idle(one)
	w.idle(two)
	w.has(one, "30 deferred")
	w.has(two, "2 deferred")
	w.flush("two", 2)
	w.finish(two)
	w.has(two, "2 delivered")
	w.has(one, "30 deferred")
	w.flush("", 30)
	w.finish(one)
	w.has(one, "30 delivered")
	if n := len(w.history(one, "u7@a.test").Attempts); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
	w.flush("", 0)
}

// TestFlushOutlivesTheProcess: who was flushed and not tried before the end is
// due at the next start.
func TestFlushOutlivesTheProcess(t *testing.T) {
	w := newWorld(t, "")
	w.serve(`rules: [{at: rcpt, times: 1, reply: "450 4.2.1 mailbox is busy"}]`, "a.test")
	w.slowly()
	w.open()
	c := w.campaign("c", "", people(30, "a.test")...)
	r := w.start(c)
	w.idle(r)
	w.pause(pause.Scope{})
	w.flush("", 30)
	w.reopen()
	r = w.start(c)
	w.resume(pause.Scope{})
	w.finish(r)
	w.has(r, "30 delivered")
}

// TestFlushEndsRests: of the breaker, and of a site that asked to be left alone.
func TestFlushEndsRests(t *testing.T) {
	for name, rule := range map[string]string{
		"breaker":    `rules: [{at: rcpt, first: 20, reply: "554 5.7.1 Access denied"}]`,
		"reputation": `rules: [{at: rcpt, first: 1, reply: "450 4.7.1 Mail from your IP was refused, poor IP reputation"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "limits: {default: {connections: 1}}\nmax_in_doubt: 1\n")
			w.serve(rule, "a.test")
			w.slowly()
			w.open()
			r := w.start(w.campaign("c", "", people(60, "a.test")...))
			w.idle(r)
			if n := w.report(r).Counts[ledger.Delivered]; n > 0 {
				t.Fatalf("%d delivered before the flush", n)
			}
			if _, err := w.engine.FlushSite(t.Context(), w.siteOf(), ""); err != nil {
				t.Fatal(err)
			}
			w.finish(r)
			w.has(r, "60 delivered")
		})
	}
}

// TestFlushDialsAHostThatRests: one that could not be reached is tried at once.
func TestFlushDialsAHostThatRests(t *testing.T) {
	w := newWorld(t, "")
	w.serve(`rules: [{at: connect, first: 1, do: close}]`, "a.test")
	w.tuning.hostRest = 4 * time.Minute
	w.open()
	r := w.start(w.campaign("c", "", people(5, "a.test")...))
	w.idle(r)
	w.flush("", 0)
	w.finish(r)
	w.has(r, "5 delivered")
}

// TestForgetDropsWhatWasLearned: lowered limits, traits and rests, here and after
// a restart.
func TestForgetDropsWhatWasLearned(t *testing.T) {
	w := newWorld(t, "")
	w.serve(`rules: [{at: rcpt, first: 1, reply: "450 4.7.1 Mail from your IP was refused, poor IP reputation"}]`, "a.test")
	w.open()
	c := w.campaign("c", "", people(60, "a.test")...)
	r := w.start(c)
	w.idle(r)
	site := w.siteOf()
	limiter := w.engine.siteNamed(site).limiters["default"]
	if limiter.Snapshot(time.Now()).Reason == "" {
		t.Fatal("nothing was learned")
	}
	host := w.engine.siteNamed(site).pool.Snapshot().Hosts[0].Name
	known := w.engine.traits.Recall(host, time.Now())
	known.Plain, known.Until = true, time.Now().Add(time.Hour)
	w.engine.traits.Remember(host, known)
	w.engine.saveLearned()
	if err := w.engine.ForgetSite(t.Context(), site); err != nil {
		t.Fatal(err)
	}
	if w.engine.traits.Recall(host, time.Now()).Plain {
		t.Error("traits of its host are still known")
	}
	for kind, key := range map[string]string{learnedLimits: site + "\x00default", learnedTraits: host} {
		w.engine.ledger.ForEachLearned(kind, func(k string, _ []byte) error {
			if k == key {
				t.Errorf("%s of %q is kept", kind, key)
			}
			return nil
		})
	}
	w.finish(r)
	w.has(r, "60 delivered")
}

// TestForgetEndsTheBreakersRest, of campaigns that are sent later, too.
func TestForgetEndsTheBreakersRest(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 1}}\nmax_in_doubt: 1\n")
	w.serve(`rules: [{at: rcpt, first: 20, reply: "554 5.7.1 Access denied"}]`, "a.test")
	w.slowly()
	w.open()
	c := w.campaign("c", "", people(60, "a.test")...)
	r := w.start(c)
	w.idle(r)
	site := w.siteOf()
	w.reopen()
	if err := w.engine.ForgetSite(t.Context(), site); err != nil {
		t.Fatal(err)
	}
	r = w.start(c)
	w.idle(r)
	if resting := r.Resting(); len(resting) != 0 {
		t.Errorf("resting: %q", resting)
	}
	if n := w.report(r).Counts[ledger.Delivered]; n == 0 {
		t.Error("nobody was tried who had not been refused")
	}
}

func TestFlushAndForgetOfTheUnknown(t *testing.T) {
	w := newWorld(t, "")
	e := w.open()
	if _, err := e.FlushSite(t.Context(), "nowhere", ""); !errors.Is(err, ErrNoSite) {
		t.Errorf("flush: %v", err)
	}
	if _, err := e.FlushSite(t.Context(), "nowhere", "c"); !errors.Is(err, ErrNotSending) {
		t.Errorf("flush of a campaign: %v", err)
	}
	if err := e.ForgetSite(t.Context(), "nowhere"); !errors.Is(err, ErrNoSite) {
		t.Errorf("forget: %v", err)
	}
	e.throttle.Limiter("s", "default").Deferred(time.Now(), throttle.Signal{Kind: throttle.Reputation})
	if err := e.ForgetSite(t.Context(), "s"); err != nil {
		t.Errorf("forget what is only remembered: %v", err)
	}
}
