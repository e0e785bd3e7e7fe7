package engine

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/pause"
)

// namesOf is the sites of a page.
func namesOf(page []SiteState) (all []string) {
	for i := range page {
		all = append(all, page[i].Site)
	}
	return all
}

// TestSiteStateTellsWhatIsKnown: who waits by campaign, what was said, where the
// limits come from and why less goes out.
func TestSiteStateTellsWhatIsKnown(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 3, message_rate: 1000/s}}\n")
	w.serve(`rules: [{at: rcpt, to: "u1@*", reply: "450 4.2.1 mailbox is busy"}, {at: rcpt, to: "v1@*", reply: "450 4.7.1 Mail from your IP was refused, poor IP reputation"}]`, "a.test")
	w.slowly()
	e := w.open()
	one := w.start(w.campaign("one", "", people(5, "a.test")...))
	w.idle(one)
	w.report(one) // all of it is on disk
	name := w.siteOf()
	s, ok := e.Site(name)
	if !ok || s.Sent != 4 || s.Deferred != 1 || s.Backlog != (ledger.Backlog{Waiting: 1}) {
		t.Fatalf("%v %+v", ok, s)
	}
	if len(s.Replies) != 1 || s.Replies[0].Code != 450 || !strings.Contains(s.Replies[0].Text, "mailbox is busy") || time.Since(s.Replies[0].At) > time.Minute {
		t.Errorf("replies: %+v", s.Replies)
	}
	if s.Deferrals != 0.2 {
		t.Errorf("%v of the answers deferred, want a fifth", s.Deferrals)
	}
	from := s.Sources[0]
	if b := from.ConnectionLimit; b.Value != 3 || !strings.HasSuffix(b.Origin, "penstock.yaml:3") {
		t.Errorf("connections: %+v", b)
	}
	if b := from.MessagesPerConnection; b.Value != 1000 || b.Origin != "default" {
		t.Errorf("messages per connection: %+v", b)
	}
	if b := from.ConnectionRate; b.Value != 0 || b.Origin != "default" {
		t.Errorf("connection rate: %+v", b)
	}
	until := time.Now().Add(time.Hour)
	if err := e.SetSiteLimits(t.Context(), name, SiteLimits{MessageRate: 7, Until: until}); err != nil {
		t.Fatal(err)
	}
	s, _ = e.Site(name)
	if b := s.Sources[0].MessageRate; b.Value != 7 || b.Origin != originSet || !b.Until.Equal(until) {
		t.Errorf("rate: %+v", b)
	}

	two := w.start(w.campaign("two", "", "v1@a.test"))
	w.idle(two)
	s, _ = e.Site(name)
	if from := s.Sources[0]; s.Condition != SiteResting || from.Backoff != "reputation" || time.Since(from.Since) > time.Minute || time.Until(from.RestsUntil) < time.Minute || !from.NextTry.Equal(from.RestsUntil) {
		t.Errorf("%s: %+v", s.Condition, from)
	}
	if want := []CampaignBacklog{{"one", ledger.Backlog{Waiting: 1}}, {"two", ledger.Backlog{Waiting: 1}}}; !slices.Equal(s.Campaigns, want) {
		t.Errorf("campaigns: %+v", s.Campaigns)
	}
	w.pause(pause.Scope{Site: name})
	if s, _ = e.Site(name); s.Condition != SitePaused {
		t.Errorf("paused, and is %s", s.Condition)
	}
	// A process that has sent nothing yet still tells what is known.
	e = w.reopen()
	if s, ok = e.Site(name); !ok || s.Condition != SitePaused || len(s.Sources) != 1 || s.Sources[0].Backoff != "reputation" {
		t.Errorf("after a restart: %v %+v", ok, s)
	}
	if _, ok = e.Site("nowhere"); ok {
		t.Error("something is known of nowhere")
	}
}

// TestSitesAreListedInEachOrder, a page at a time and filtered.
func TestSitesAreListedInEachOrder(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.serve(`rules: [{at: rcpt, reply: "450 4.2.1 mailbox is busy"}]`, "b.test")
	w.serve(`rules: [{at: rcpt, to: "u1@*", reply: "450 4.2.1 mailbox is busy"}]`, "c.test")
	w.slowly()
	e := w.open()
	r := w.start(w.campaign("x", "", slices.Concat(people(9, "a.test"), people(5, "b.test"), people(3, "c.test"))...))
	w.idle(r)
	w.report(r)
	site := func(domain string) string {
		d, err := r.campaign.Domain(domain)
		if err != nil {
			t.Fatal(err)
		}
		return d.Site()
	}
	a, b, c := site("a.test"), site("b.test"), site("c.test")
	byName := slices.Sorted(slices.Values([]string{a, b, c}))
	for order, want := range map[SiteOrder][]string{
		ByBacklog: {b, c, a}, ByDeferrals: {b, c, a}, ByRate: {a, b, c}, ByName: byName,
	} {
		var got []string
		for q := (SiteQuery{Order: order, Most: 1}); ; {
			page, more := e.Sites(q)
			got = append(got, namesOf(page)...)
			if q.After = more; more == (SitePlace{}) {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", order, got, want)
		}
	}
	w.await("all connections are closed", func() bool { return e.pool.Stats().Connections == 0 })
	if page, _ := e.Sites(SiteQuery{Most: 9, Conditions: []SiteCondition{SiteIdle}}); !slices.Equal(namesOf(page), []string{a}) {
		t.Errorf("idle: %v", namesOf(page))
	}
	if page, _ := e.Sites(SiteQuery{Most: 9, Name: strings.TrimPrefix(b, "127.0.0.1")}); !slices.Equal(namesOf(page), []string{b}) {
		t.Errorf("by name: %v", namesOf(page))
	}
}

func TestTempoMeasuresTheLastSeconds(t *testing.T) {
	t.Parallel()
	var tempo tempo
	at := func(seconds int) time.Time { return time.Unix(1_000_000+int64(seconds), 0) }
	tempo.take(sample{at: at(0)})
	if rate, share := tempo.measure(sample{at: at(0), answers: 3}); rate != 3 || share != 0 {
		t.Errorf("at once: %v a second, %v deferred", rate, share)
	}
	// Ten a second, half of them deferred; from the 60th second on nothing.
	s := sample{}
	for i := 1; i <= 120; i++ {
		s.at = at(i)
		if i <= 60 {
			s.answers += 10
			s.deferred += 5
		}
		tempo.take(s)
		rate, share := tempo.measure(s)
		wantRate, wantShare := 10.0, 0.5
		if i > 70 {
			wantRate = 0
		}
		if i == 120 {
			wantShare = 0
		}
		if (i <= 60 || i > 70) && math.Abs(rate-wantRate) > 1e-9 {
			t.Errorf("%d s: %v a second, want %v", i, rate, wantRate)
		}
		if i <= 60 && share != wantShare || i == 120 && share != 0 {
			t.Errorf("%d s: %v deferred, want %v", i, share, wantShare)
		}
	}
}

func TestRepliesKeepTheLast(t *testing.T) {
	t.Parallel()
	var r replies
	if r.newest() != "" || len(r.last()) != 0 {
		t.Error("there is a reply before the first")
	}
	for i := range keptReplies + 3 {
		r.note(Reply{Code: i})
		if list := r.last(); list[0].Code != i || len(list) != min(i+1, keptReplies) {
			t.Errorf("after %d: %+v", i+1, list)
		}
	}
	if list := r.last(); list[keptReplies-1].Code != 3 {
		t.Errorf("the oldest is %+v", list[keptReplies-1])
	}
}
