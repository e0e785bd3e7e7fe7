package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
)

func TestEverybodyIsDeliveredToOnce(t *testing.T) {
	for _, gear := range []string{"lock-step", "pipelining", "chunking"} {
		t.Run(gear, func(t *testing.T) {
			w := newWorld(t, "smtp: {gear: "+gear+"}\n")
			w.serve("", "a.test", "b.test")
			w.open()
			all := people(100, "a.test", "b.test")
			r := w.start(w.campaign("c", "", all...))
			w.finish(r)
			w.once(all...)
			report := w.has(r, "200 delivered")
			if report.Rows != 200 || report.Loaded != 200 || report.Rejected != 0 {
				t.Errorf("rows %d, loaded %d, rejected %d", report.Rows, report.Loaded, report.Rejected)
			}
			if report.Started.IsZero() || report.Finished.Before(report.Started) {
				t.Errorf("started %v, finished %v", report.Started, report.Finished)
			}
			if !r.Done() {
				t.Error("a finished run is not done")
			}
			letters := w.mail.letters("u7@b.test")
			if len(letters) != 1 || letters[0].from != "news@sender.test" || !strings.Contains(string(letters[0].content), "Hello Name 14,") {
				t.Errorf("u7@b.test got %q", letters)
			}
		})
	}
}

func TestRejectedRowsAreCounted(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.open()
	r := w.start(w.campaign("c", "", "u1@a.test", "no address", "u1@A.test", "u2@a.test"))
	w.finish(r)
	w.once("u1@a.test", "u2@a.test")
	report := w.has(r, "2 delivered")
	if report.Rows != 4 || report.Rejected != 2 || report.Loaded != 2 || len(report.Rejects) != 2 {
		t.Errorf("report: %d rows, %d rejected %v, %d loaded", report.Rows, report.Rejected, report.Rejects, report.Loaded)
	}
}

func TestFinishedCampaignIsNotSentAgain(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.open()
	c := w.campaign("c", "", "u1@a.test")
	w.finish(w.start(c))
	w.reopen()
	r := w.start(c)
	w.finish(r)
	w.once("u1@a.test")
	w.has(r, "1 delivered")
}

func TestDeferralComesBackAndIsDelivered(t *testing.T) {
	for _, at := range []string{"rcpt", "end"} {
		t.Run(at, func(t *testing.T) {
			w := newWorld(t, "")
			w.serve("rules: [{at: "+at+", times: 2, reply: \"451 4.3.0 Try again\"}]", "a.test")
			w.open()
			all := people(10, "a.test")
			r := w.start(w.campaign("c", "", all...))
			w.finish(r)
			w.once(all...)
			w.has(r, "10 delivered")
			h := w.history(r, "u3@a.test")
			var got []string
			for _, a := range h.Attempts {
				got = append(got, fmt.Sprint(a.Number, " ", a.State, " ", a.Code))
			}
			if want := []string{"1 deferred 451", "2 deferred 451", "3 delivered 250"}; !slices.Equal(got, want) {
				t.Errorf("attempts: %q, want %q", got, want)
			}
			if a := h.Attempts[0]; a.Due.Sub(a.At) < 20*time.Millisecond || a.Due.Sub(a.At) > 30*time.Millisecond {
				t.Errorf("due %v after the attempt, want 20 ms and a little", a.Due.Sub(a.At))
			}
		})
	}
}

func TestServersHintIsHonoured(t *testing.T) {
	w := newWorld(t, "")
	w.serve(`rules: [{at: rcpt, to: "u1@*", reply: "450 4.2.0 Greylisted, try again in 77 seconds"}]`, "a.test")
	w.open()
	r := w.start(w.campaign("c", "", people(2, "a.test")...))
	w.idle(r)
	w.has(r, "1 deferred, 1 delivered")
	a := w.ended(r, "u1@a.test", ledger.Deferred, 450, [3]uint16{4, 2, 0})
	if wait := a.Due.Sub(a.At); wait < 77*time.Second || wait > 85*time.Second {
		t.Errorf("due after %v, want 77 s", wait)
	}
}

func TestRefusalsBounce(t *testing.T) {
	w := newWorld(t, "")
	w.serve(`rules:
  - {at: rcpt, to: "gone*", reply: "550 5.1.1 No such user"}
  - {at: end, to: "odd*", reply: "552 5.3.4 Message too large"}`, "a.test")
	w.open()
	r := w.start(w.campaign("c", "", "gone1@a.test", "u1@a.test", "odd@a.test", "gone2@a.test", "u2@a.test"))
	w.finish(r)
	w.once("u1@a.test", "u2@a.test")
	report := w.has(r, "3 bounced, 2 delivered")
	w.ended(r, "gone1@a.test", ledger.Bounced, 550, [3]uint16{5, 1, 1})
	a := w.ended(r, "odd@a.test", ledger.Bounced, 552, [3]uint16{5, 3, 4})
	if a.Number != 1 || !a.Attempted || a.Source != "default" || !a.Addr.IsValid() || a.Host == "" {
		t.Errorf("attempt: %+v", a)
	}
	if len(report.Replies) == 0 || report.Sites[0].Counts[ledger.Bounced] != 3 {
		t.Errorf("replies %+v, sites %+v", report.Replies, report.Sites)
	}
}

func TestSuppressedAreNeverTried(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test", "b.test", "c.test")
	w.config.Suppress = []string{w.write("global.txt", "u1@a.test\nc.test\n")}
	w.write("own.txt", "u2@b.test\n")
	w.open()
	c := w.campaign("c", "suppress: [own.txt]\n", people(2, "a.test", "b.test", "c.test")...)
	r := w.start(c)
	w.finish(r)
	w.once("u2@a.test", "u1@b.test")
	w.has(r, "2 delivered, 4 suppressed")
}

func TestListsThatGrewAfterLoadingApply(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.write("own.txt", "nobody@a.test\n")
	w.open()
	c := w.campaign("c", "suppress: [own.txt]\n", people(3, "a.test")...)
	w.load(c)
	w.config.Suppress = []string{w.write("global.txt", "u3@a.test\n")}
	w.write("own.txt", "nobody@a.test\nu1@a.test\n")
	w.reopen()
	r := w.start(c)
	w.finish(r)
	w.once("u2@a.test")
	w.has(r, "1 delivered, 2 suppressed")
}

func TestUncomposableBounces(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.open()
	c := w.campaign("c", "on_missing: error\nsubject: \"{{ name }}\"\n", "u1@a.test", "u2@a.test")
	w.write("c.csv", "email,name\nu1@a.test,\nu2@a.test,Bob\n")
	r := w.start(w.reread(c))
	w.finish(r)
	w.once("u2@a.test")
	w.has(r, "1 bounced, 1 delivered")
	if a := w.history(r, "u1@a.test").Attempts[0]; a.Attempted || !strings.Contains(a.Text, "not composed") {
		t.Errorf("u1@a.test: %+v", a)
	}
}
