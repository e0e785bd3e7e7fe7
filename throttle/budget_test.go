package throttle

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestBudgetIsSharedByAllSites: connections and messages of one source, whatever
// each site would allow; other sources know nothing of it.
func TestBudgetIsSharedByAllSites(t *testing.T) {
	t.Parallel()
	th := New(Rules{})
	now := time.Unix(1e9, 0)
	if err := th.SetSourceLimits(now, "a", SourceLimits{Connections: 3, MessageRate: Rate{Count: 10, Per: time.Second}}); err != nil {
		t.Fatal(err)
	}
	one, two, other := th.Limiter("one", "a"), th.Limiter("two", "a"), th.Limiter("one", "b")
	open := func(l *Limiter) bool { ok, _ := l.Connect(now); return ok }
	for i, c := range []struct {
		at   *Limiter
		open bool
	}{{one, true}, {one, true}, {two, true}, {two, false}, {one, false}, {other, true}} {
		if open(c.at) != c.open {
			t.Errorf("connection %d: %v; of a there are three, over both sites", i, !c.open)
		}
	}
	one.Disconnect(now)
	if !open(two) {
		t.Error("a place that was given back is not there for the other site")
	}
	granted := 0
	for range 1000 {
		for _, l := range []*Limiter{one, two} {
			n, wait := l.Grant(now, 4)
			if n < 4 && wait <= 0 {
				t.Fatal("refused without a time")
			}
			granted += n
		}
		now = now.Add(10 * time.Millisecond)
	}
	if granted < 95 || granted > 105 {
		t.Errorf("%d messages in 10 s at 10 a second", granted)
	}
	if n, _ := other.Grant(now, 100); n != 100 {
		t.Errorf("the other source got %d of 100", n)
	}
	if l, open := th.SourceLimits("a"); l.Connections != 3 || l.MessageRate.PerSecond() != 10 || open != 3 {
		t.Errorf("limits %+v, %d open", l, open)
	}
	if err := th.SetSourceLimits(now, "a", SourceLimits{}); err != nil {
		t.Fatal(err)
	}
	if n, _ := one.Grant(now, 100); n != 100 || !connects(one, now) {
		t.Errorf("after the limits were lifted: %d of 100", n)
	}
	if err := th.SetSourceLimits(now, "a", SourceLimits{MessageRate: Rate{Count: math.NaN()}}); err == nil {
		t.Error("a rate that is none was taken")
	}
}

func connects(l *Limiter, now time.Time) bool {
	ok, _ := l.Connect(now)
	return ok
}

// TestBudgetNeverLosesAGrant: what is refused or handed back by a site's own limits
// is there for the others.
func TestBudgetNeverLosesAGrant(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		th := New(Rules{Sites: map[string]Limits{"slow": {MessageRate: Rate{Count: 5, Per: time.Second}}}})
		now := time.Unix(1e9, 0)
		if err := th.SetSourceLimits(now, "a", SourceLimits{MessageRate: Rate{Count: 100, Per: time.Second}}); err != nil {
			t.Fatal(err)
		}
		slow, fast := th.Limiter("slow", "a"), th.Limiter("fast", "a")
		const steps = 500
		sent := 0
		for range steps {
			now = now.Add(20 * time.Millisecond)
			n, _ := slow.Grant(now, rapid.IntRange(1, 16).Draw(t, "n"))
			back := rapid.IntRange(0, n).Draw(t, "back")
			slow.Refund(now, back)
			sent += n - back
			n, _ = fast.Grant(now, 16)
			sent += n
		}
		if want := steps * 2; sent < want-30 || sent > want+30 {
			t.Fatalf("%d sent in %d steps of 20 ms at 100 a second", sent, steps)
		}
	})
}
