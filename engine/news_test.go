package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/pause"
	"github.com/penstock-mail/penstock/throttle"
)

// news is what the event log tells of changes: word, campaign, site.
func (w *world) news(kinds ...string) (list []string) {
	w.Helper()
	if err := w.engine.ledger.Flush(w.Context()); err != nil {
		w.Fatal(err)
	}
	r, err := w.engine.ledger.EventReader(ledger.EventFilter{Kinds: kinds})
	if err != nil {
		w.Fatal(err)
	}
	for from := uint64(1); ; {
		all, next, err := r.Read(w.Context(), from, 1000)
		if err != nil {
			w.Fatal(err)
		}
		for _, e := range all {
			list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Word(), e.Campaign, e.Site)))
		}
		if next == from {
			return list
		}
		from = next
	}
}

func (w *world) tells(want []string, kinds ...string) {
	w.Helper()
	if got := w.news(kinds...); !slices.Equal(got, want) {
		w.Errorf("events of %v: %q, want %q", kinds, got, want)
	}
}

func TestTheEventLogTellsWhatAPersonDid(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "fine.test")
	w.open()
	all, google := pause.Scope{}, pause.Scope{Site: "google"}
	for _, s := range []pause.Scope{all, google} {
		if err := w.engine.Pause(t.Context(), pause.Hold{Scope: s, Who: "ann", Since: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if err := w.engine.Resume(t.Context(), s, "ann", false); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []SiteLimits{{Connections: 2}, {}} {
		if err := w.engine.SetSiteLimits(t.Context(), "google", l); err != nil {
			t.Fatal(err)
		}
	}
	r := w.start(w.campaign("c", "", people(2, "fine.test")...))
	w.finish(r)
	w.tells([]string{"paused", "resumed"}, "server")
	w.tells([]string{"paused  google", "resumed  google", "limits  google", "limits  google"}, "site")
	w.tells([]string{"created c", "loaded c", "started c", "finished c"}, "campaign")
}

func TestTheEventLogTellsWhatSitesDid(t *testing.T) {
	w := newWorld(t, "")
	w.serve(policyRule, "blocked.test")
	w.open()
	r := w.start(w.campaign("c", "", people(60, "blocked.test")...))
	w.idle(r)
	at := w.engine.Progress(1).Sites[0].Site
	w.tells([]string{"rested c " + at}, "site")
	w.engine.tellRestsOver(time.Now())
	w.tells([]string{"rested c " + at}, "site")

	// A back-off is told of until it is over, also over a restart.
	l := w.engine.throttle.Limiter("slow.test", w.config.Sources[0].Name)
	now := time.Now()
	if !l.Deferred(now, throttle.Signal{Kind: throttle.Reputation}) {
		t.Fatal("the limiter bears it")
	}
	w.engine.slowed(&site{name: "slow.test"}, l, now, "421 no")
	rested := "rested c " + at
	w.tells([]string{rested, "backoff  slow.test"}, "site")
	w.engine.saveLearned()
	w.reopen()
	w.engine.saveLearned()
	w.tells([]string{rested, "backoff  slow.test"}, "site")
	l = w.engine.throttle.Limiter("slow.test", w.config.Sources[0].Name)
	l.Forget(time.Now())
	w.engine.saveLearned()
	w.engine.saveLearned()
	w.tells([]string{rested, "backoff  slow.test", "recovered  slow.test"}, "site")
}

// TestTheEndOfARestIsToldOnce: by itself, by a restart that comes after it, and
// by a person who has the site tried at once.
func TestTheEndOfARestIsToldOnce(t *testing.T) {
	w := newWorld(t, "")
	w.serve(policyRule, "blocked.test")
	w.open()
	r := w.start(w.campaign("c", "", people(60, "blocked.test")...))
	w.idle(r)
	at := w.engine.Progress(1).Sites[0].Site
	rested, over := "rested c "+at, "recovered c "+at
	later := time.Now().Add(2 * breakerRest)

	// A restart keeps it, and what the ledger has of it goes with its end.
	w.reopen()
	r = w.start(w.campaign("c", "", people(60, "blocked.test")...))
	w.engine.tellRestsOver(time.Now())
	w.tells([]string{rested}, "site")
	w.engine.tellRestsOver(later)
	w.engine.tellRestsOver(later)
	w.tells([]string{rested, over}, "site")
	if err := w.engine.ledger.ForEachLearned(learnedBreaker, func(key string, _ []byte) error {
		t.Errorf("the ledger remembers the rest of %q", key)
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	r.mu.Lock()
	r.breakers[at].restUntil, r.breakers[at].rests = later, true
	r.mu.Unlock()
	w.engine.endBreakerRests(at, w.engine.allRuns())
	w.engine.endBreakerRests(at, w.engine.allRuns())
	w.engine.tellRestsOver(later)
	w.tells([]string{rested, over, over}, "site")
}
