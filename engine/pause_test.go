package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/pause"
)

func (w *world) pause(s pause.Scope) {
	w.Helper()
	if err := w.engine.Pause(w.Context(), pause.Hold{Scope: s, Who: "ada", Why: "test", Since: time.Now()}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) resume(s pause.Scope) {
	w.Helper()
	if err := w.engine.Resume(w.Context(), s, "ada", false); err != nil {
		w.Fatal(err)
	}
}

// quiet waits until what was on the wire is recorded, and gives how many
// messages arrived until then.
func (w *world) quiet(r *Run) int {
	w.Helper()
	w.await("nothing is reserved", func() bool {
		for _, l := range w.engine.allLanes() {
			l.mu.Lock()
			f := l.byRun[r]
			busy := f != nil && (f.reserved > 0 || f.reading > 0)
			l.mu.Unlock()
			if busy {
				return false
			}
		}
		return true
	})
	return w.mail.count()
}

// TestPauseIsATrueFreeze: whatever is paused, once what was on the wire is
// answered nothing more arrives, nobody is left leased, and after the resume
// everybody gets one message and one attempt.
func TestPauseIsATrueFreeze(t *testing.T) {
	for _, c := range []struct {
		name  string
		scope pause.Scope
	}{
		{"everything", pause.Scope{}},
		{"a campaign", pause.Scope{Campaign: "c"}},
		{"a site", pause.Scope{Site: "a.test"}},
		{"a campaign at a site", pause.Scope{Campaign: "c", Site: "a.test"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "limits: {default: {connections: 3}}\n")
			w.serve("think: 1ms\n", "a.test")
			w.open()
			all := people(600, "a.test")
			r := w.start(w.campaign("c", "", all...))
			w.await("some are delivered", func() bool { return w.mail.count() > 20 })
			scope := c.scope
			if scope.Site != "" {
				scope.Site = w.engine.Progress(1).Sites[0].Site
			}
			w.pause(scope)
			atPause := w.mail.count()
			if n := w.quiet(r); n > atPause+3*16 {
				t.Errorf("%d arrived after the pause, more than can have been on the wire", n-atPause)
			}
			if n := w.quiet(r); n == 600 {
				t.Fatal("all was sent before the pause")
			}
			frozen := w.mail.count()
			// A process that dies now leaves nobody uncertain: nobody is leased.
			if s := w.engine.ledger.Stats(); s.Leased != s.Settled+s.Returned {
				t.Errorf("%d leased, %d settled, %d returned", s.Leased, s.Settled, s.Returned)
			}
			w.reopen()
			r = w.start(w.reread(w.campaign("c", "", all...)))
			if !w.engine.Pauses().Held("c", scope.Site) {
				t.Error("the pause did not outlive the process")
			}
			if w.quiet(r); w.mail.count() != frozen {
				t.Errorf("%d arrived while it was paused", w.mail.count()-frozen)
			}
			w.resume(scope)
			w.finish(r)
			w.once(all...)
			if n := w.has(r, "600 delivered").UncertainAttempts; n != 0 {
				t.Errorf("%d uncertain attempts", n)
			}
			if n := len(w.history(r, "u600@a.test").Attempts); n != 1 {
				t.Errorf("%d attempts for one that was frozen, want 1", n)
			}
		})
	}
}

// TestPauseOfOneCampaignLeavesOthers: another campaign at the same lane goes on
// to its end.
func TestPauseOfOneCampaignLeavesOthers(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 2}}\n")
	w.serve("", "a.test")
	w.open()
	w.pause(pause.Scope{Campaign: "one"})
	one := w.start(w.campaign("one", "", people(100, "a.test")...))
	two := w.start(w.campaign("two", "", "v1@a.test", "v2@a.test", "v3@a.test"))
	w.finish(two)
	w.has(two, "3 delivered")
	w.has(one, "100 pending")
	if at := one.Campaign().Totals().Started; !at.IsZero() {
		t.Errorf("a campaign that is paused began at %v", at)
	}
	w.resume(pause.Scope{Campaign: "one"})
	w.finish(one)
	w.has(one, "100 delivered")
}

// TestPausedTimeDoesNotExpire: the time over which a site was paused is added,
// while the rest of the campaign runs out as planned.
func TestPausedTimeDoesNotExpire(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	e := w.open()
	r := w.start(w.campaign("c", "expire_after: 1h\n", "u1@a.test"))
	w.finish(r)
	began := r.campaign.Totals().Started
	book := e.Pauses()
	if err := book.Add(pause.Hold{Scope: pause.Scope{Site: "s"}, Who: "ada", Since: began.Add(10 * time.Minute)}); err != nil {
		t.Fatal(err)
	}
	at := func(minutes int) time.Time { return began.Add(time.Duration(minutes) * time.Minute) }
	if r.expired("s", at(100)) {
		t.Error("expired while it was paused")
	}
	if !r.expired("other", at(60)) || r.expired("other", at(59)) {
		t.Error("a site that was never paused does not expire as planned")
	}
	if err := book.Release(pause.Scope{Site: "s"}, "ada", false, at(40)); err != nil {
		t.Fatal(err)
	}
	for minutes, want := range map[int]bool{60: false, 89: false, 90: true, 200: true} {
		if got := r.expired("s", at(minutes)); got != want {
			t.Errorf("after %d minutes, 30 of them paused: expired %v", minutes, got)
		}
	}
	if r.expiresBefore("s", at(50), at(89)) || !r.expiresBefore("s", at(50), at(90)) {
		t.Error("a retry is judged by another time")
	}
}

// TestExpiryCanRunOnThroughAPause: where the campaign says so, what is paused
// expires at its time.
func TestExpiryCanRunOnThroughAPause(t *testing.T) {
	w := newWorld(t, "")
	w.config.Retry.Expire = 300 * time.Millisecond
	w.serve("rules: [{at: rcpt, reply: \"450 4.2.1 later\"}]\n", "a.test", "b.test")
	w.open()
	r := w.start(w.campaign("c", "expire_while_paused: true\n", "u1@a.test", "u2@b.test"))
	w.await("both are deferred", func() bool { return w.engine.ledger.Stats().Settled > 1 })
	w.pause(pause.Scope{Campaign: "c"})
	w.finish(r)
	w.has(r, "2 expired")
}

// TestExpiryFollowsAPause: who waits for a connection through a pause expires
// when the campaign's time, without the pause, is over.
func TestExpiryFollowsAPause(t *testing.T) {
	w := newWorld(t, "")
	w.config.Retry.Expire = 300 * time.Millisecond
	w.serve("rules: [{at: rcpt, reply: \"450 4.2.1 later\"}]\n", "a.test")
	w.open()
	w.pause(pause.Scope{Site: "elsewhere"})
	r := w.start(w.campaign("c", "", "u1@a.test"))
	w.await("it is deferred", func() bool { return w.engine.ledger.Stats().Settled > 0 })
	w.pause(pause.Scope{Campaign: "c"})
	w.quiet(r)
	w.await("its time would be over", func() bool { return time.Since(r.campaign.Totals().Started) > 400*time.Millisecond })
	if n := w.report(r).Counts[ledger.Expired]; n != 0 {
		t.Errorf("%d expired while paused", n)
	}
	w.resume(pause.Scope{Campaign: "c"})
	w.finish(r)
	w.has(r, "1 expired")
}

func TestCancelEndsACampaign(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 3}}\n")
	w.serve("think: 1ms\n", "a.test")
	w.open()
	c := w.campaign("c", "", people(600, "a.test")...)
	r := w.start(c)
	other := w.start(w.campaign("other", "", "v1@a.test"))
	w.await("some are delivered", func() bool { return w.mail.count() > 20 })
	for range 2 { // once more is no mistake
		if err := w.engine.Cancel(t.Context(), r.Campaign()); err != nil {
			t.Fatal(err)
		}
	}
	w.finish(r, other)
	counts := w.report(r).Counts
	if n := uint64(w.mail.count()) - 1; counts[ledger.Delivered] != n || counts[ledger.Cancelled] != 600-n || n == 600 {
		t.Errorf("%d arrived: %s", n, states(counts))
	}
	if _, err := w.engine.Start(t.Context(), r.Campaign()); !errors.Is(err, ErrCancelled) {
		t.Errorf("started once more: %v", err)
	}
	if err := w.engine.Cancel(t.Context(), other.Campaign()); !errors.Is(err, ErrFinished) {
		t.Errorf("a finished campaign was cancelled: %v", err)
	}
	arrived := w.mail.count()
	w.reopen()
	if err := w.engine.Continue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.engine.Run("c") != nil || w.mail.count() != arrived {
		t.Error("a cancelled campaign goes on after a restart")
	}
}

// TestCancelBeforeTheBeginning: one that waits for its time, or for a resume,
// ends at once.
func TestCancelBeforeTheBeginning(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.open()
	later := w.start(w.campaign("later", "start_at: 2100-01-01T00:00:00Z\n", "u1@a.test"))
	w.pause(pause.Scope{Campaign: "paused"})
	paused := w.start(w.campaign("paused", "", "u1@a.test"))
	for _, r := range []*Run{later, paused} {
		if err := w.engine.Cancel(t.Context(), r.Campaign()); err != nil {
			t.Fatal(err)
		}
	}
	w.finish(later, paused)
	w.has(later, "1 cancelled")
	w.has(paused, "1 cancelled")
}

// TestContinueTakesUpWhatIsUnfinished: a new process needs no campaign files.
func TestContinueTakesUpWhatIsUnfinished(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 2}}\n")
	w.serve("think: 1ms\n", "a.test")
	w.open()
	for _, id := range []string{"one", "two"} {
		w.start(w.campaign(id, "", people(200, "a.test")...))
	}
	w.await("some are delivered", func() bool { return w.mail.count() > 20 })
	e := w.reopen()
	w.pause(pause.Scope{}) // so that none is finished too soon
	if err := e.Continue(t.Context()); err != nil {
		t.Fatal(err)
	}
	one, two := e.Run("one"), e.Run("two")
	for _, r := range []*Run{one, two} {
		if again, err := e.Start(t.Context(), r.Campaign()); err != nil || again != r {
			t.Errorf("started twice: %v", err)
		}
	}
	w.resume(pause.Scope{})
	for _, r := range []*Run{one, two} {
		w.finish(r)
		w.has(r, "200 delivered")
	}
	w.start(w.campaign("three", "", "u1@a.test"))
	if n := len(e.allRuns()); n != 1 {
		t.Errorf("%d runs are kept, want that of the newest campaign", n)
	}
}

// TestContinueLeavesAloneWhatNobodyAskedFor, until somebody has, which holds
// over restarts.
func TestContinueLeavesAloneWhatNobodyAskedFor(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.open()
	c := w.campaign("one", "start_at: 2100-01-01T00:00:00Z", people(3, "a.test")...)
	c.Settings.OnDemand = true
	w.load(c)
	e := w.reopen()
	if err := e.Continue(t.Context()); err != nil || e.Run("one") != nil {
		t.Errorf("begun unasked, error %v", err)
	}
	loaded, err := e.Ledger().Campaign("one")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Start(t.Context(), loaded); err != nil {
		t.Fatal(err)
	}
	e = w.reopen()
	if err := e.Continue(t.Context()); err != nil || e.Run("one") == nil {
		t.Errorf("what was asked for does not go on, error %v", err)
	}
}
