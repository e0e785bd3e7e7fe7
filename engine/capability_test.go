package engine

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/pool/smtp"
)

func TestHostWithout8BITMIMEGetsSevenBit(t *testing.T) {
	for _, gear := range []string{"lock-step", "pipelining", "chunking"} {
		t.Run(gear, func(t *testing.T) {
			w := newWorld(t, "smtp: {gear: "+gear+"}\n")
			s := w.serve("without: 8BITMIME\n", "old.test")
			w.serve("", "new.test")
			w.open()
			w.write("body.txt", "Grüße, {{ name }}\n")
			r := w.start(w.campaign("c", "text: body.txt\n", people(50, "old.test", "new.test")...))
			w.finish(r)
			w.once(people(50, "old.test", "new.test")...)
			w.has(r, "100 delivered")
			for _, a := range people(50, "old.test") {
				for _, l := range w.mail.letters(a) {
					if bytes.ContainsFunc(l.content, func(r rune) bool { return r > 0x7e }) || !bytes.Contains(l.content, []byte("Gr=C3=BC=C3=9Fe")) {
						t.Fatalf("%s got 8-bit content:\n%s", a, l.content)
					}
				}
			}
			if l := w.mail.letters("u9@new.test"); !bytes.Contains(l[0].content, []byte("Grüße")) {
				t.Errorf("a host with 8BITMIME got:\n%s", l[0].content)
			}
			improper(t, s)
		})
	}
}

func TestHostWithoutSMTPUTF8(t *testing.T) {
	w := newWorld(t, "")
	w.serve("without: SMTPUTF8\n", "old.test")
	w.serve("", "new.test")
	w.open()
	r := w.start(w.campaign("c", "", "jürgen@old.test", "u1@old.test", "jürgen@new.test"))
	w.finish(r)
	w.once("u1@old.test", "jürgen@new.test")
	w.has(r, "1 bounced, 2 delivered")
	if a := w.ended(r, "jürgen@old.test", ledger.Bounced, 553, [3]uint16{5, 6, 7}); a.Attempted {
		t.Errorf("attempted: %+v", a)
	}
}

func TestHostThatTakesLessThanTheMessage(t *testing.T) {
	w := newWorld(t, "")
	w.serve("size: 1000\n", "small.test")
	w.serve("", "large.test")
	w.open()
	w.write("body.txt", "{{ name }} "+strings.Repeat("Water finds its way. ", 100)+"\n")
	r := w.start(w.campaign("c", "text: body.txt\n", people(3, "small.test", "large.test")...))
	w.finish(r)
	w.once(people(3, "large.test")...)
	w.has(r, "3 bounced, 3 delivered")
	w.ended(r, "u2@small.test", ledger.Bounced, 552, [3]uint16{5, 3, 4})
}

func TestServersThatSpeakLittle(t *testing.T) {
	for _, script := range []string{
		"extensions: none\n",
		"extensions: none\nrules: [{at: ehlo, reply: \"502 5.5.1 What?\"}]\n",
		"extensions: [PIPELINING]\nmultiline: 5\n",
		"messages_per_connection: 2\n",
		"drip: 1us\n",
		"strict: true\n",
		"tls: close\n",
	} {
		t.Run(strings.ReplaceAll(strings.TrimSpace(script), "\n", " "), func(t *testing.T) {
			w := newWorld(t, "")
			s := w.serve(script, "a.test")
			w.open()
			all := people(20, "a.test")
			r := w.start(w.campaign("c", "", all...))
			w.finish(r)
			w.once(all...)
			w.has(r, "20 delivered")
			improper(t, s)
		})
	}
}

func TestAcceptedAfterRefusalIsBounced(t *testing.T) {
	for _, gear := range []string{"lock-step", "pipelining", "chunking"} {
		t.Run(gear, func(t *testing.T) {
			w := newWorld(t, "smtp: {gear: "+gear+"}\n")
			w.serve("accept_after_refusal: true\nrules: [{at: rcpt, to: \"u2@*\", reply: \"550 5.1.1 No such user\"}]", "a.test")
			w.open()
			r := w.start(w.campaign("c", "", people(5, "a.test")...))
			w.finish(r)
			report := w.report(r)
			if n := report.Counts[ledger.Delivered] + report.Counts[ledger.Bounced]; n != 5 {
				t.Errorf("%s", states(report.Counts))
			}
		})
	}
}

// TestWhatIsLearnedSurvives: limits that a site's refusals lowered, and what a
// host turned out not to bear.
func TestWhatIsLearnedSurvives(t *testing.T) {
	w := newWorld(t, "smtp: {timeouts: {end: 300ms}}\n")
	w.tuning.hostRest = 10 * time.Millisecond
	stalling := w.serve("rules: [{at: bdat, do: stall}]", "stall.test")
	busy := w.serve(`rules: [{at: rcpt, first: 3, reply: "450 4.7.28 Too many messages, slow down"}]`, "busy.test")
	w.open()
	c := w.campaign("c", "", people(5, "stall.test", "busy.test")...)
	r := w.start(c)
	w.await("the sites have shown what they are", func() bool {
		c, err := r.campaign.Counts()
		return err == nil && c[ledger.Delivered] >= 5 && c[ledger.Deferred] >= 1
	})
	host := strings.Split(stalling.Addrs()[0], ":")[0]
	known := w.engine.traits.Recall(host, time.Now())
	if known.TopGear == smtp.GearAuto || known.TopGear >= smtp.Chunking {
		t.Errorf("known of the host that stalls: %+v", known)
	}
	site := busy.Addrs()[0]
	before := w.engine.sites[site].limiters["default"].Snapshot(time.Now())
	if before.Reason == "" {
		t.Errorf("the site's refusals taught nothing: %+v", before)
	}
	w.says("site objects", "site="+site, "slow down")
	w.reopen()
	if again := w.engine.traits.Recall(host, time.Now()); again.TopGear != known.TopGear || !again.Until.Equal(known.Until) {
		t.Errorf("after a restart: %+v, before: %+v", again, known)
	}
	if after := w.engine.throttle.Limiter(site, "default").Snapshot(time.Now()); after.Connections > before.Connections+2 || after.Reason == "" {
		t.Errorf("after a restart: %+v, before: %+v", after, before)
	}
}

func TestTraitsAreForgottenWithAge(t *testing.T) {
	t.Parallel()
	var known traits
	now := time.Now()
	if got := known.Recall("a", now); got != (pool.Traits{}) {
		t.Errorf("nothing is known, and %+v was recalled", got)
	}
	known.Remember("a", pool.Traits{Window: 3, Until: now.Add(time.Hour)})
	known.put("b", pool.Traits{Plain: true, Until: now.Add(time.Hour)})
	if got := known.Recall("a", now); got.Window != 3 {
		t.Errorf("recalled %+v", got)
	}
	if got := known.Recall("a", now.Add(2*time.Hour)); got != (pool.Traits{}) {
		t.Errorf("recalled %+v after its time", got)
	}
	if got := known.takeChanged(); len(got) != 1 || got["a"].Window != 3 {
		t.Errorf("changed: %+v", got)
	}
	if got := known.takeChanged(); len(got) != 0 {
		t.Errorf("changed again: %+v", got)
	}
}
