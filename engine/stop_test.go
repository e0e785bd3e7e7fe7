package engine

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func TestDrainHandsBack(t *testing.T) {
	for _, c := range []struct {
		name, script string
	}{
		{"in the middle", "think: 1ms\n"},
		{"waiting for its greeting", "rules: [{at: connect, delay: 300ms}]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "limits: {default: {connections: 3}}\n")
			w.serve(c.script, "a.test")
			w.open()
			all := people(400, "a.test")
			camp := w.campaign("c", "", all...)
			w.start(camp)
			if c.name == "in the middle" {
				w.await("some are delivered", func() bool { return w.mail.count() > 20 })
			}
			w.reopen()
			loaded := w.load(camp)
			uncertain, err := loaded.Resume(t.Context(), time.Now(), ledger.Retry)
			if err != nil || uncertain != 0 {
				t.Errorf("%d are uncertain after an orderly end (%v)", uncertain, err)
			}
			r, err := w.engine.Start(t.Context(), loaded)
			if err != nil {
				t.Fatal(err)
			}
			w.finish(r)
			w.once(all...)
			if n := w.has(r, "400 delivered").UncertainAttempts; n != 0 {
				t.Errorf("%d uncertain attempts", n)
			}
		})
	}
}

// TestDrainWithoutPatience: what is on the wire when patience ends is uncertain,
// and everybody else is not.
func TestDrainWithoutPatience(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 2}}\nmax_in_doubt: 3\n")
	s := w.serve("rules: [{at: end, do: stall}]", "a.test")
	w.open()
	c := w.campaign("c", "on_uncertain: hold\n", people(100, "a.test")...)
	r := w.start(c)
	w.await("messages arrived", func() bool { return s.Stats().ContentBytes > 0 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e := w.engine
	w.engine = nil
	if err := e.Drain(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	counts, err := r.campaign.Counts()
	if err != nil {
		t.Fatal(err)
	}
	if n := counts[ledger.Uncertain]; n < 1 || n > 2*3 || counts[ledger.Pending] != 100-n {
		t.Errorf("%s; want 1 to 6 uncertain, the rest pending", states(counts))
	}
	proof(w, e.ledger)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestDrainOfAnIdleEngine(t *testing.T) {
	w := newWorld(t, "")
	w.open()
	w.reopen()
}

func TestIdleMeansNothingIsDue(t *testing.T) {
	w := newWorld(t, "")
	// Every connection ends after three messages, those sent ahead come back.
	w.serve("messages_per_connection: 3\n", "a.test")
	w.serve(`rules: [{at: rcpt, to: "u1@*", reply: "451 4.3.0 Try again in 700 seconds"}]`, "b.test")
	w.open()
	r := w.start(w.campaign("c", "", people(60, "a.test", "b.test")...))
	w.idle(r)
	w.has(r, "1 deferred, 119 delivered")
	select {
	case <-r.Finished():
		t.Error("a run with a deferred recipient is finished")
	default:
	}
}

func TestIdleIsTakenBack(t *testing.T) {
	w := newWorld(t, "")
	w.config.Retry.First, w.config.Retry.Max = 300*time.Millisecond, 300*time.Millisecond
	w.serve(`rules: [{at: rcpt, times: 1, reply: "451 4.3.0 Try again"}]`, "a.test")
	w.open()
	r := w.start(w.campaign("c", "", people(5, "a.test")...))
	w.idle(r)
	w.has(r, "5 deferred")
	w.finish(r)
	w.has(r, "5 delivered")
}

func TestMaxRateHoldsTheCampaign(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test", "b.test")
	w.open()
	began := time.Now()
	// A quarter of a second's worth at once, then 40 a second.
	r := w.start(w.campaign("c", "max_rate: 40/s\n", people(26, "a.test", "b.test")...))
	w.finish(r)
	w.has(r, "52 delivered")
	if took := time.Since(began); took < time.Second {
		t.Errorf("52 messages took %v at 40 a second", took)
	}
}

func TestStartsAtItsTime(t *testing.T) {
	w := newWorld(t, "")
	s := w.serve("", "a.test")
	w.open()
	c := w.campaign("c", "", "u1@a.test")
	at := time.Now().Add(200 * time.Millisecond)
	c.Settings.StartAt = at
	r := w.start(c)
	if n := s.Stats().Connections; n > 0 && time.Now().Before(at) {
		t.Errorf("%d connections before the campaign's time", n)
	}
	w.finish(r)
	w.once("u1@a.test")
	if started := w.report(r).Started; started.Before(at.Truncate(time.Millisecond)) {
		t.Errorf("started at %v, its time is %v", started, at)
	}
	w.says("starts later")
}

func TestDrainBeforeTheCampaignsTime(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.open()
	c := w.campaign("c", "", "u1@a.test")
	c.Settings.StartAt = time.Now().Add(time.Hour)
	r := w.start(c)
	w.close()
	if r.Done() {
		t.Error("finished before it began")
	}
	w.once()
}

func TestUncertainIsRetriedOrHeld(t *testing.T) {
	const losesIt = `rules: [{at: end, to: ["u2@*", "u4@*"], times: 1, do: close, take: true}]`
	for _, c := range []struct {
		policy, counts string
		copies         int
	}{
		{"retry", "6 delivered", 2},
		{"hold", "4 delivered, 2 uncertain", 1},
	} {
		t.Run(c.policy, func(t *testing.T) {
			w := newWorld(t, "smtp: {gear: pipelining}\nlimits: {default: {connections: 1}}\nmax_in_doubt: 1\n")
			w.serve(losesIt, "a.test")
			w.open()
			r := w.start(w.campaign("c", "on_uncertain: "+c.policy+"\n", people(6, "a.test")...))
			w.finish(r)
			if report := w.has(r, c.counts); report.UncertainAttempts != 2 {
				t.Errorf("%d uncertain attempts, want 2", report.UncertainAttempts)
			}
			for _, a := range []string{"u2@a.test", "u4@a.test"} {
				letters := w.mail.letters(a)
				if len(letters) != c.copies {
					t.Errorf("%s got %d copies, want %d", a, len(letters), c.copies)
				}
				for _, l := range letters {
					if string(l.content) != string(letters[0].content) {
						t.Errorf("%s: copies differ:\n%s\n%s", a, letters[0].content, l.content)
					}
				}
			}
		})
	}
}

// TestMessageThatEndsEveryConnection: it costs an attempt in the end, and the
// others get through.
func TestMessageThatEndsEveryConnection(t *testing.T) {
	for _, gear := range []string{"lock-step", "chunking"} {
		for _, at := range []string{"rcpt", "content"} {
			t.Run(gear+" "+at, func(t *testing.T) {
				w := newWorld(t, "smtp: {gear: "+gear+"}\nlimits: {default: {connections: 1}}\n")
				w.tuning.hostRest = 10 * time.Millisecond
				w.config.Retry.First, w.config.Retry.Max = time.Hour, time.Hour
				w.serve("rules: [{at: "+at+", to: \"u4@*\", do: close}]", "a.test")
				w.open()
				r := w.start(w.campaign("c", "", people(12, "a.test")...))
				w.await("everybody else has an answer", func() bool {
					c, err := r.campaign.Counts()
					return err == nil && c[ledger.Pending] == 0
				})
				if h := w.history(r, "u4@a.test"); h.State == ledger.Delivered || len(h.Attempts) != 1 {
					t.Errorf("u4@a.test: %v %+v", h.State, h.Attempts)
				}
				report := w.report(r)
				if n := report.Counts[ledger.Delivered]; gear == "lock-step" && n != 11 {
					t.Errorf("%s; want 11 delivered\n%s", states(report.Counts), w.log)
				}
			})
		}
	}
}

func TestChangedCampaignIsRefused(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.open()
	c := w.campaign("c", "", people(3, "a.test")...)
	w.load(c)
	changed := w.campaign("c", "subject: \"Something else\"\n", people(4, "a.test")...)
	_, err := w.engine.Load(t.Context(), changed, nil, nil)
	var known *campaign.Changed
	if !errors.As(err, &known) {
		t.Fatalf("error: %v", err)
	}
	for _, word := range []string{"subject", "c.csv", "new id", "max_rate"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the refusal does not speak of %q:\n%v", word, err)
		}
	}
	// What may change is taken over.
	c = w.campaign("c", "priority: 3\nweight: 7\nmax_in_doubt: 2\n", people(3, "a.test")...)
	r := w.start(c)
	if s := r.settings; s.Priority != 3 || s.Weight != 7 || r.inDoubt() != 2 {
		t.Errorf("priority %d, weight %d, max_in_doubt %d; want 3, 7 and 2", s.Priority, s.Weight, r.inDoubt())
	}
	w.finish(r)
	w.once(people(3, "a.test")...)
}

func TestLowSpaceStopsAndGoesOn(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.open()
	w.engine.lowSpace(true)
	r := w.start(w.campaign("c", "", people(30, "a.test")...))
	d, err := r.campaign.Domain("a.test")
	if err != nil {
		t.Fatal(err)
	}
	w.await("the domain is routed", func() bool { return d.Site() != "" })
	if n := d.Fresh(); n != 30 {
		t.Errorf("%d of 30 were read though space is low", 30-n)
	}
	w.engine.lowSpace(false)
	w.finish(r)
	w.once(people(30, "a.test")...)
	w.says("too little free space")
	w.says("there is room again")
}

func TestTooLittleSpaceFromTheStart(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.open()
	c := w.campaign("c", "", "u1@a.test")
	w.load(c)
	w.config.Ledger.MinFree = 1 << 50
	w.reopen()
	r := w.start(c)
	if !w.engine.held() {
		t.Error("sending goes on without space")
	}
	w.close()
	w.once()
	if r.Done() {
		t.Error("a run that was held is done")
	}
}

// TestNothingIsSentWithoutALease: what was read just when space ran out waits,
// and is there after a restart.
func TestNothingIsSentWithoutALease(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.open()
	c := w.campaign("c", "", people(5, "a.test")...)
	w.load(c)
	w.config.Ledger.MinFree = 1 << 50
	e := w.reopen()
	e.holding.Store(false) // as if it had not been noticed yet
	r := w.start(c)
	starving := func() int {
		e.starving.mu.Lock()
		defer e.starving.mu.Unlock()
		return len(e.starving.tasks)
	}
	w.await("a lease is refused", func() bool { return starving() > 0 })
	e.lowSpace(false) // a false alarm: the ledger refuses once more
	w.await("it is refused again", func() bool { return starving() > 0 })
	w.once()
	w.has(r, "5 pending")
	w.config.Ledger.MinFree = 0
	w.reopen()
	r = w.start(c)
	w.finish(r)
	w.once(people(5, "a.test")...)
	w.has(r, "5 delivered")
}

func TestLedgerFailureIsFatal(t *testing.T) {
	w := newWorld(t, "")
	w.serve("think: 1ms\n", "a.test")
	e := w.open()
	w.start(w.campaign("c", "", people(500, "a.test")...))
	w.await("some are delivered", func() bool { return w.mail.count() > 10 })
	if err := e.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-e.Fatal():
		if !errors.Is(err, ledger.ErrClosed) {
			t.Errorf("fatal: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("sending goes on without a ledger")
	}
	if !e.held() {
		t.Error("after a fatal error more is read")
	}
	w.shut(false)
	seen := w.mail.count()
	w.open()
	l, err := w.engine.ledger.Campaign("c")
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.engine.Start(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	w.finish(r)
	w.has(r, "500 delivered")
	report := w.report(r)
	if n := w.mail.count(); uint64(n-500) > report.UncertainAttempts {
		t.Errorf("%d copies too many (%d had arrived), %d uncertain attempts", n-500, seen, report.UncertainAttempts)
	}
}

func TestHeldDirectoryIsRefused(t *testing.T) {
	w := newWorld(t, "")
	w.open()
	if e, err := Open(w.config, w.engine.log); !errors.Is(err, ledger.ErrHeld) {
		t.Errorf("engine %v, error %v", e, err)
	}
}

func TestSuppressionListThatIsMissing(t *testing.T) {
	w := newWorld(t, "")
	w.config.Suppress = []string{w.dir + "/missing.txt"}
	if _, err := Open(w.config, nil); err == nil || !strings.Contains(err.Error(), "missing.txt") {
		t.Errorf("error: %v", err)
	}
	if _, err := os.Stat(w.config.Data); !os.IsNotExist(err) {
		t.Errorf("the data directory was made all the same: %v", err)
	}
}
