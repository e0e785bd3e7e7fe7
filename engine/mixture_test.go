package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
)

// manners are servers that each behave in a way of their own.
var manners = []string{
	"name: mx.fast.test\n",
	"latency: 3ms\nmessages_per_connection: 7\n",
	"extensions: none\n",
	"without: [CHUNKING, 8BITMIME]\n",
	"greylist: {after: 0s}\n",
	"connections: 2\n",
	`rules:
  - {at: rcpt, share: 0.2, times: 1, reply: "450 4.2.1 Mailbox busy"}
  - {at: end, share: 0.2, times: 2, reply: "451 4.3.0 Try again"}`,
	`rules:
  - {at: rcpt, share: 0.3, reply: "550 5.1.1 No such user"}
  - {at: end, share: 0.1, reply: "552 5.3.4 Too large"}`,
	`rules:
  - {at: content, every: 40, after: 50, do: reset}
  - {at: end, every: 40, do: close, take: true}
  - {at: rcpt, every: 50, do: close}`,
	`rules: [{at: mail, every: 30, reply: "421 4.3.2 Closing down"}]`,
}

// TestNobodyIsLost sends to servers of all manners at once, by engines that
// are ended and opened again on the way, and then compares what the ledger says
// with what the servers took.
func TestNobodyIsLost(t *testing.T) {
	for _, gear := range []string{"lock-step", "pipelining", "chunking", "auto"} {
		t.Run(gear, func(t *testing.T) {
			w := newWorld(t, "smtp: {gear: "+gear+", tls: none}\nmax_in_doubt: 8\nlimits: {default: {connections: 4}}\n")
			w.tuning.hostRest = 5 * time.Millisecond
			var domains []string
			for i, m := range manners {
				d := fmt.Sprintf("d%d.test", i)
				w.serve(m, d)
				domains = append(domains, d)
			}
			all := people(40, domains...)
			c := w.campaign("c", "", all...)
			w.open()
			r := w.start(c)
			rng := rand.New(rand.NewPCG(1, uint64(len(gear))))
			for part := range 3 {
				want := len(all) * (part + 1) / 5
				w.await("some have arrived", func() bool { return w.mail.count() >= want-rng.IntN(50) || r.Done() })
				w.reopen()
				r = w.start(c)
			}
			// A site that teaches patience takes longer than a test may: what it
			// defers stays deferred.
			w.await("everybody has an answer", func() bool {
				counts, err := r.campaign.Counts()
				return err == nil && counts[ledger.Pending] == 0 && counts[ledger.Deferred]+counts[ledger.Uncertain] < 40
			})
			report := w.report(r)
			if report.Counts.Sum() != uint64(len(all)) {
				t.Errorf("%s: that is not %d", states(report.Counts), len(all))
			}
			w.reopen()
			loaded, err := w.engine.ledger.Campaign(c.ID)
			if err != nil {
				t.Fatal(err)
			}
			w.compare(&Run{campaign: loaded}, all)
		})
	}
}

// compare holds the ledger against the servers.
func (w *world) compare(r *Run, all []string) {
	w.Helper()
	for _, a := range all {
		h := w.history(r, a)
		arrived := len(w.mail.letters(a))
		doubts, delivered := 0, 0
		for _, at := range h.Attempts {
			switch at.State {
			case ledger.Uncertain:
				doubts++
			case ledger.Delivered:
				delivered++
			case ledger.Pending, ledger.Deferred, ledger.Bounced, ledger.Expired, ledger.Suppressed, ledger.Cancelled:
			}
		}
		if arrived < delivered || arrived > delivered+doubts || delivered > 1 {
			var story []string
			for _, at := range h.Attempts {
				story = append(story, fmt.Sprint(at.State, " ", at.Code, " ", at.Text))
			}
			w.Errorf("%s arrived %d times; %v: %s", a, arrived, h.State, strings.Join(story, "; "))
		}
	}
}

func TestErasedOnTheWay(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.serve(`rules: [{at: rcpt, times: 1, reply: "451 4.3.0 Try again in 600 seconds"}]`, "b.test")
	w.open()
	c := w.campaign("c", "", people(3, "a.test", "b.test")...)
	w.load(c)
	erase := func(local, domain string) {
		t.Helper()
		if n, err := w.engine.ledger.Erase(t.Context(), local, domain); err != nil || n != 1 {
			t.Errorf("erase %s@%s: %d, %v", local, domain, n, err)
		}
	}
	erase("u2", "a.test")
	r := w.start(c)
	w.idle(r)
	w.once("u1@a.test", "u3@a.test")
	report := w.report(r)
	if report.Counts[ledger.Delivered] != 2 || report.Counts[ledger.Deferred] != 3 || report.Counts[ledger.Pending] != 0 {
		t.Errorf("%s", states(report.Counts))
	}
	erase("u1", "b.test")
	w.tuning.now = func() time.Time { return time.Now().Add(20 * time.Minute) }
	w.reopen()
	r = w.start(c)
	w.finish(r)
	w.once("u1@a.test", "u3@a.test", "u2@b.test", "u3@b.test")
}

func TestSourcesAndTLSAreRecorded(t *testing.T) {
	w := newWorld(t, `sources:
  - {name: one, ip: 127.0.0.1, ehlo: one.sender.test}
  - {name: two, ip: 127.0.0.2, ehlo: two.sender.test}
limits: {default: {connections: 1, messages_per_connection: 10}}
`)
	s := w.serve("", "a.test")
	w.open()
	r := w.start(w.campaign("c", "", people(200, "a.test")...))
	w.finish(r)
	w.has(r, "200 delivered")
	if s.Stats().Secured == 0 {
		t.Error("TLS was offered and not used")
	}
	by := map[string]int{}
	for _, a := range people(200, "a.test") {
		at := w.history(r, a).Attempts[0]
		by[at.Source]++
		if at.TLS != "TLS1.3" {
			t.Fatalf("%s: TLS %q", a, at.TLS)
		}
	}
	if by["one"] == 0 || by["two"] == 0 || by["one"]+by["two"] != 200 {
		t.Errorf("sources: %v", by)
	}
}

func TestRequiredTLSIsNotGivenUp(t *testing.T) {
	w := newWorld(t, "smtp: {tls: require}\n")
	w.serve("without: STARTTLS\n", "plain.test")
	w.serve("tls: refuse\n", "refusing.test")
	w.serve("", "tls.test")
	w.open()
	r := w.start(w.campaign("c", "", people(3, "plain.test", "refusing.test", "tls.test")...))
	w.idle(r)
	w.once(people(3, "tls.test")...)
	w.has(r, "6 deferred, 3 delivered")
}
