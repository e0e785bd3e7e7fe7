package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/bench/nameserver"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func TestDomainsWithoutMailBounce(t *testing.T) {
	w := newWorld(t, "")
	w.names(map[string]nameserver.Name{
		"null.test":      {MX: []string{"0 ."}},
		"inside.test":    {MX: []string{"10 mx.inside.test"}},
		"mx.inside.test": {A: []string{"127.0.0.2"}},
	}, "")
	w.open()
	r := w.start(w.campaign("c", "", people(3, "null.test", "none.test", "inside.test")...))
	w.finish(r)
	w.once()
	w.has(r, "9 bounced")
	w.ended(r, "u3@null.test", ledger.Bounced, 556, [3]uint16{5, 1, 10})
	w.ended(r, "u1@none.test", ledger.Bounced, 550, [3]uint16{5, 1, 2})
	if a := w.ended(r, "u2@inside.test", ledger.Bounced, 550, [3]uint16{5, 4, 4}); a.Attempted {
		t.Errorf("a host in a prohibited network was tried: %+v", a)
	}
}

func TestOneSiteOfManyDomainsByDNS(t *testing.T) {
	w := newWorld(t, "mx: {prohibited: []}\n")
	w.tenants("name: mx.test\n")
	w.open()
	all := people(30, "one.test", "two.test", "fine.test")
	r := w.start(w.campaign("c", "", all...))
	w.finish(r)
	w.once(all...)
	report := w.has(r, "90 delivered")
	if len(report.Sites) != 2 || report.Sites[0].Site != "tenants" || report.Sites[0].Domains != 2 || report.Sites[0].Counts[ledger.Delivered] != 60 {
		t.Errorf("sites: %+v", report.Sites)
	}
}

func TestDNSThatFailsIsNobodysAttempt(t *testing.T) {
	w := newWorld(t, "mx: {prohibited: []}\ndns: {timeout: 50ms}\n")
	w.config.Retry.First, w.config.Retry.Max = time.Hour, time.Hour
	w.names(map[string]nameserver.Name{
		"broken.test":  {Answer: "servfail"},
		"silent.test":  {Answer: "drop"},
		"fine.test":    {MX: []string{"10 mx.fine.test"}},
		"mx.fine.test": {A: []string{"127.0.0.2"}},
	}, "")
	w.open()
	c := w.campaign("c", "", people(5, "broken.test", "fine.test", "silent.test")...)
	r := w.start(c)
	w.idle(r)
	w.once(people(5, "fine.test")...)
	report := w.has(r, "10 deferred, 5 delivered")
	trouble := 0
	for _, s := range report.Sites {
		trouble += s.Trouble
		if s.Trouble > 0 && s.Reason == "" {
			t.Errorf("trouble without a reason: %+v", s)
		}
	}
	if trouble != 2 {
		t.Errorf("%d domains are in trouble, want 2", trouble)
	}
	if h := w.history(r, "u1@broken.test"); len(h.Attempts) != 0 || h.State != ledger.Deferred {
		t.Errorf("u1@broken.test: %v, %+v", h.State, h.Attempts)
	}
	w.says("cannot be looked up", "domain=broken.test")

	// A new process asks again: the names are there now.
	ns, _ := w.names(map[string]nameserver.Name{"*.test": {MX: []string{"10 mx.fine.test"}}, "mx.fine.test": {A: []string{"127.0.0.2"}}}, "")
	w.reopen()
	r = w.start(c)
	w.finish(r)
	w.once(people(5, "fine.test", "broken.test", "silent.test")...)
	w.has(r, "15 delivered")
	if h := w.history(r, "u1@broken.test"); len(h.Attempts) != 1 || h.Attempts[0].Number != 1 {
		t.Errorf("u1@broken.test: %+v", h.Attempts)
	}
	if ns.Queries() == 0 {
		t.Error("the new name server was not asked")
	}
}

func TestUnreachableSiteDelaysNobodyElse(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "fine.test")
	dead := w.serve("", "dead.test")
	dead.Close()
	w.open()
	r := w.start(w.campaign("c", "", people(40, "dead.test", "fine.test")...))
	w.idle(r)
	w.once(people(40, "fine.test")...)
	report := w.has(r, "40 deferred, 40 delivered")
	if s := report.Sites[0]; s.Trouble+report.Sites[1].Trouble != 1 {
		t.Errorf("sites: %+v", report.Sites)
	}
	h := w.history(r, "u1@dead.test")
	for _, a := range h.Attempts {
		if a.Attempted {
			t.Errorf("a connection refused cost u1@dead.test an attempt: %+v", a)
		}
	}
	w.says("site cannot be reached", "refused")
}

func TestRefusedGreetingIsNobodysAttempt(t *testing.T) {
	w := newWorld(t, "")
	w.serve(`rules: [{at: connect, reply: "554 5.7.1 Your address is blocked"}]`, "a.test")
	w.open()
	r := w.start(w.campaign("c", "", people(30, "a.test")...))
	w.idle(r)
	w.once()
	w.has(r, "30 deferred")
	if h := w.history(r, "u1@a.test"); len(h.Attempts) != 0 {
		t.Errorf("u1@a.test: %+v", h.Attempts)
	}
}

func TestExpiry(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"deferred", `rules: [{at: rcpt, reply: "451 4.3.0 Try again"}]`},
		{"unreachable", "rules: [{at: connect, do: stall}]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "smtp: {timeouts: {greeting: 150ms}}\n")
			w.serve(c.script, "late.test")
			w.serve("", "fine.test")
			w.open()
			campaign := w.campaign("c", "", people(5, "late.test", "fine.test")...)
			campaign.Settings.ExpireAfter = 100 * time.Millisecond
			r := w.start(campaign)
			w.finish(r)
			w.has(r, "5 delivered, 5 expired")
			if a := w.history(r, "u1@late.test").Attempts; len(a) == 0 || a[len(a)-1].State != ledger.Expired {
				t.Errorf("u1@late.test: %+v", a)
			}
		})
	}
}

func TestExpiredWhileNobodySent(t *testing.T) {
	w := newWorld(t, "")
	w.serve(`rules: [{at: rcpt, to: "u1@*", reply: "451 4.3.0 Try again in 900 seconds"}]`, "a.test")
	w.open()
	c := w.campaign("c", "", people(2, "a.test")...)
	r := w.start(c)
	w.idle(r)
	w.has(r, "1 deferred, 1 delivered")
	c.Settings.ExpireAfter = time.Nanosecond
	w.tuning.now = func() time.Time { return time.Now().Add(time.Hour) }
	w.reopen()
	r = w.start(c)
	w.finish(r)
	a := w.ended(r, "u1@a.test", ledger.Expired, 550, [3]uint16{5, 4, 7})
	if a.Attempted {
		t.Errorf("expired by an attempt: %+v", a)
	}
}

func TestTestMessageIsSentOnce(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	c := w.campaign("c", "", "u1@a.test", "u2@a.test")
	m, err := Render(t.Context(), w.config, c, nil, 2, "me@a.test")
	if err != nil {
		t.Fatal(err)
	}
	res, err := SendOne(t.Context(), w.config, nil, m)
	if err != nil {
		t.Fatal(err)
	}
	if !res.Addr.IsValid() || res.Outcome.Reply.Code != 250 {
		t.Errorf("result: %+v", res)
	}
	w.once("me@a.test")
	if l := w.mail.letters("me@a.test"); len(l) == 1 && !strings.Contains(string(l[0].content), "Hello Name 2,") {
		t.Errorf("content: %s", l[0].content)
	}
	dead := w.serve("", "dead.test")
	dead.Close()
	m, err = Render(t.Context(), w.config, c, nil, 1, "me@dead.test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SendOne(t.Context(), w.config, nil, m); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error: %v", err)
	}
	if _, err := Render(t.Context(), w.config, c, nil, 3, ""); err == nil || !strings.Contains(err.Error(), "no row 3") {
		t.Errorf("error: %v", err)
	}
}
