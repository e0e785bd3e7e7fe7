package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
)

const policyRule = `rules: [{at: rcpt, from: "news@*", reply: "554 5.7.1 Access denied"}]`

func TestAddressBlockBouncesNobody(t *testing.T) {
	w := newWorld(t, "")
	w.serve(policyRule, "blocked.test")
	w.serve("", "fine.test")
	w.open()
	c := w.campaign("c", "", people(60, "blocked.test", "fine.test")...)
	r := w.start(c)
	w.idle(r)
	w.once(people(60, "fine.test")...)
	w.rests(r, "60 deferred, 60 delivered")
	other := w.start(w.campaign("other", "envelope_from: other@sender.test\n", people(3, "blocked.test")...))
	w.finish(other)
	w.has(other, "3 delivered")
	w.says("breaker tripped", "campaign=c", "Access denied")
	if resting := w.engine.Progress(10).Runs[0].Resting; len(resting) != 1 || !strings.Contains(resting[0], "127.0.0.1") {
		t.Errorf("resting: %q", resting)
	}

	// The rest survives a restart.
	before := w.history(r, "u1@blocked.test")
	w.reopen()
	r = w.start(c)
	w.idle(r)
	w.rests(r, "60 deferred, 60 delivered")
	if after := w.history(r, "u1@blocked.test"); len(after.Attempts) != len(before.Attempts) {
		t.Errorf("%d attempts, %d before the restart", len(after.Attempts), len(before.Attempts))
	}
}

// rests fails unless the report has these counts, and all of blocked.test wait
// for the rest's end.
func (w *world) rests(r *Run, counts string) {
	w.Helper()
	w.has(r, counts)
	d, err := r.campaign.Domain("blocked.test")
	if err != nil {
		w.Fatal(err)
	}
	if n := d.Counts()[ledger.Bounced]; n > 0 {
		w.Errorf("%d bounced", n)
	}
	if due, ok := d.NextDue(); ok && time.Until(due) < breakerRest/2 {
		if n := d.DueCount(time.Now().Add(breakerRest / 2)); n > 0 && !troubled(d) {
			w.Errorf("%d are due at %v", n, due)
		}
	}
}

func troubled(d *ledger.Domain) bool {
	_, ok := d.Trouble()
	return ok
}

// TestBlockIsSeenThroughOneConnection: with few places under max_in_doubt the
// row still grows long enough.
func TestBlockIsSeenThroughOneConnection(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 1}}\nmax_in_doubt: 4\n")
	w.serve(policyRule, "blocked.test")
	w.open()
	r := w.start(w.campaign("c", "", people(60, "blocked.test")...))
	w.idle(r)
	w.rests(r, "60 deferred")
}

// TestBlockIsSeenAtAMeasuredPace: refusals that come slowly are a row, too.
func TestBlockIsSeenAtAMeasuredPace(t *testing.T) {
	w := newWorld(t, "breaker: {threshold: 3}\nlimits: {default: {message_rate: 600/m}}\n")
	w.serve(policyRule, "blocked.test")
	w.tuning.breakerPatience = 10 * time.Millisecond
	w.open()
	r := w.start(w.campaign("c", "", people(8, "blocked.test")...))
	w.idle(r)
	w.rests(r, "8 deferred")
}

func TestRestOfASiteIsForAllItsRoutes(t *testing.T) {
	w := newWorld(t, "mx: {prohibited: []}\nbreaker: {threshold: 5}\nlimits: {default: {connections: 1}}\n")
	w.tenants(policyRule)
	w.open()
	c := w.campaign("c", "", people(40, "one.test", "two.test")...)
	r := w.start(c)
	w.idle(r)
	w.has(r, "80 deferred")
	if n := len(w.tried(r, people(40, "one.test", "two.test"))); n > 40 {
		t.Errorf("%d of 80 were tried though the site rested after 5", n)
	}
}

func TestShortRowBouncesWhenItBreaks(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 1}}\nmax_in_doubt: 1\n")
	w.serve(`rules: [{at: rcpt, to: ["u?@*", "u1?@*"], reply: "554 5.7.1 Access denied"}]`, "a.test")
	w.open()
	r := w.start(w.campaign("c", "", people(25, "a.test")...))
	w.finish(r)
	w.has(r, "19 bounced, 6 delivered")
	w.ended(r, "u1@a.test", ledger.Bounced, 554, [3]uint16{5, 7, 1})
}

func TestShortRowAtTheEndBounces(t *testing.T) {
	w := newWorld(t, "")
	w.serve(policyRule, "blocked.test")
	w.tuning.breakerPatience = 10 * time.Millisecond
	w.open()
	r := w.start(w.campaign("c", "", people(19, "blocked.test")...))
	w.finish(r)
	w.has(r, "19 bounced")
}

func TestBreakerCanBeTurnedOff(t *testing.T) {
	w := newWorld(t, "breaker: {threshold: 0}\n")
	w.serve(policyRule, "blocked.test")
	w.open()
	r := w.start(w.campaign("c", "", people(40, "blocked.test")...))
	w.finish(r)
	w.has(r, "40 bounced")
}

// TestRowThatIsInterruptedIsNotBounced: an engine that ends while a row could
// still grow leaves them to be tried again.
func TestRowThatIsInterruptedIsNotBounced(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 1}}\nmax_in_doubt: 1\n")
	s := w.serve("think: 2ms\n"+policyRule, "blocked.test")
	w.open()
	c := w.campaign("c", "", people(60, "blocked.test")...)
	w.start(c)
	w.await("a row begins", func() bool { return s.Stats().RefusedRecipients > 2 })
	w.reopen()
	r := w.start(c)
	w.idle(r)
	w.rests(r, "60 deferred")
}
