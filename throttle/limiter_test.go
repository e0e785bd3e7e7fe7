package throttle

import (
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestGrantCostsNothingWithoutLimits(t *testing.T) {
	l := New(Rules{}).Limiter("example", "a")
	now := start
	if n := testing.AllocsPerRun(1000, func() {
		l.Grant(now, 16)
		l.Refund(now, 3)
		l.Delivered(now, 1)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestNarrowerRuleWinsFieldByField(t *testing.T) {
	th := New(Rules{
		Default: Limits{Connections: 10, MessageRate: Rate{Count: 100, Per: time.Second}},
		Sites:   map[string]Limits{"google": {Connections: 5}, "bulk": {MessageRate: Unlimited}},
		Sources: map[Key]Limits{{"google", "b"}: {MessageRate: Rate{Count: 60, Per: time.Minute}}},
	})
	for _, c := range []struct {
		site, source      string
		connections       int
		rate              float64
		messagesPerSocket int
	}{
		{"other", "a", 10, 100, DefaultMessagesPerConnection},
		{"google", "a", 5, 100, DefaultMessagesPerConnection},
		{"google", "b", 5, 1, DefaultMessagesPerConnection},
		{"bulk", "a", 10, 0, DefaultMessagesPerConnection},
	} {
		l := th.Limiter(c.site, c.source)
		s := l.Snapshot(start)
		if s.Connections != c.connections || s.MessageRate != c.rate || l.MessagesPerConnection() != c.messagesPerSocket {
			t.Errorf("%s, %s: %+v, want %+v", c.site, c.source, s, c)
		}
	}
}

func TestRulesChangeWhileRunning(t *testing.T) {
	th := New(Rules{})
	var heard []string
	th.OnRoom(func(site string) { heard = append(heard, site) })
	a, b := th.Limiter("x", "a"), th.Limiter("x", "b")
	if err := th.SetLimits(start, "x", "b", Limits{Connections: 3, MessagesPerConnection: 7}); err != nil {
		t.Fatal(err)
	}
	if a.Snapshot(start).Connections != DefaultConnections || b.Snapshot(start).Connections != 3 || b.MessagesPerConnection() != 7 {
		t.Error("a limit for one source reached the wrong one")
	}
	if err := th.SetLimits(start, "x", "b", Limits{}); err != nil {
		t.Fatal(err)
	}
	if err := th.SetRules(start, Rules{Default: Limits{Connections: 2}}); err != nil {
		t.Fatal(err)
	}
	if a.Snapshot(start).Connections != 2 || b.Snapshot(start).Connections != 2 {
		t.Error("SetRules did not reach every limiter")
	}
	if !slices.Equal(heard, []string{"x", "x", "x"}) {
		t.Errorf("OnRoom heard %v, want x three times", heard)
	}
	if got := th.Limiters(); len(got) != 2 || got[0] != a || got[1] != b {
		t.Errorf("Limiters is %v", got)
	}
	if th.Limiter("x", "a") != a {
		t.Error("another limiter for the same site and source")
	}
}

func TestNonsenseLimitsAreRefusedAllAtOnce(t *testing.T) {
	bad := Rules{
		Default: Limits{Connections: -1, MessageRate: Rate{Count: math.NaN()}},
		Sites:   map[string]Limits{"x": {MessagesPerConnection: -5, ConnectionRate: Rate{Count: 1, Per: -time.Second}}},
	}
	err := New(Rules{}).SetRules(start, bad)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"connections is -1", "message rate is NaN", "messages per connection is -5", "per -1s"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestChangedIsTakenOnce(t *testing.T) {
	th := New(Rules{})
	l := th.Limiter("x", "a")
	l.Delivered(start, 1)
	if got := th.TakeChanged(nil); len(got) != 0 {
		t.Fatalf("changed without a lesson: %v", got)
	}
	l.Deferred(start, Signal{Kind: TooFast})
	l.Deferred(start.Add(time.Minute), Signal{Kind: TooFast})
	if got := th.TakeChanged(nil); len(got) != 1 || got[0] != l || len(l.AppendState(nil)) == 0 {
		t.Fatalf("changed: %v", got)
	}
	if got := th.TakeChanged(nil); len(got) != 0 {
		t.Fatalf("taken twice: %v", got)
	}
	l.Forget(start)
	if got := th.TakeChanged(nil); len(got) != 1 || len(l.AppendState(nil)) != 0 {
		t.Fatal("forgetting must be saved too, as nothing")
	}
}

// A server that bears so many connections is found, and then hardly disturbed.
func TestFindsTheServersConnectionLimit(t *testing.T) {
	t.Parallel()
	for _, bears := range []int{1, 2, 3, 7, 12, 19} {
		l := New(Rules{}).Limiter("x", "a")
		open, refusedLate := 0, 0
		for s := range 2 * 3600 {
			now := start.Add(time.Duration(s) * time.Second)
			for {
				ok, _ := l.Connect(now)
				if !ok {
					break
				}
				if open < bears {
					open++
					continue
				}
				l.Disconnect(now)
				l.Deferred(now, Signal{Kind: TooMany})
				if s >= 3600 {
					refusedLate++
				}
			}
			l.Delivered(now, open*10)
		}
		if refusedLate > 10 {
			t.Errorf("%d connections refused in the second hour by a server that bears %d, want a few at most", refusedLate, bears)
		}
		if open < bears-1 {
			t.Errorf("%d connections open, the server bears %d", open, bears)
		}
	}
}

// A server that takes so many messages a second gets most of what it takes,
// with few refusals in the long run.
func TestFindsTheServersRate(t *testing.T) {
	t.Parallel()
	for _, takes := range []int{2, 3, 6, 17, 100, 400} {
		l := New(Rules{}).Limiter("x", "a")
		taken, refused := 0, 0
		for s := range 2 * 3600 {
			now := start.Add(time.Duration(s) * time.Second)
			second := 0
			for i := range 10 {
				at := now.Add(time.Duration(i) * 100 * time.Millisecond)
				n, _ := l.Grant(at, 200)
				ok := min(n, takes-second)
				second += ok
				if ok > 0 {
					l.Delivered(at, ok)
				}
				if n > ok {
					l.Deferred(at, Signal{Kind: TooFast})
				}
				if s >= 3600 {
					taken += ok
					refused += n - ok
				}
			}
		}
		if taken < takes*3600*6/10 {
			t.Errorf("%d taken in an hour at %d a second: less than 60 %%", taken, takes)
		}
		if refused > taken/20+20 {
			t.Errorf("%d refused beside %d taken: more than one in twenty", refused, taken)
		}
	}
}

// Whatever happens: what is granted keeps to the static rate, places to the
// cap, waits are sane, and the state survives a restart.
func TestStaticLimitsHoldWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		perSecond := rapid.Float64Range(0.5, 500).Draw(t, "rate")
		most := rapid.IntRange(1, 30).Draw(t, "connections")
		rules := Rules{Default: Limits{Connections: most, MessageRate: Rate{Count: perSecond}}}
		th := New(rules)
		l := th.Limiter("x", "a")
		now, open, granted := start, 0, 0
		for range rapid.IntRange(1, 200).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 8).Draw(t, "event") {
			case 0, 1:
				ok, wait := l.Connect(now)
				if ok {
					open++
				}
				if wait < 0 || ok && wait != 0 {
					t.Fatalf("connect: %v, wait %v", ok, wait)
				}
			case 2:
				if open > 0 {
					open--
					l.Disconnect(now)
				}
			case 3, 4:
				ask := rapid.IntRange(1, 100).Draw(t, "ask")
				n, wait := l.Grant(now, ask)
				if n < 0 || n > ask || n < ask && wait <= 0 {
					t.Fatalf("grant %d: %d, wait %v", ask, n, wait)
				}
				back := rapid.IntRange(0, n).Draw(t, "back")
				l.Refund(now, back)
				granted += n - back
			case 5:
				l.Delivered(now, rapid.IntRange(1, 50).Draw(t, "n"))
			case 6:
				l.Deferred(now, Signal{
					Kind:       Kind(rapid.IntRange(0, 6).Draw(t, "kind")),
					RetryAfter: time.Duration(rapid.IntRange(0, 100).Draw(t, "hint")) * time.Second,
				})
			case 7:
				l.ConnectFailed(now)
			case 8:
				state := l.AppendState(nil)
				again := New(rules).Limiter("x", "a")
				if err := again.Restore(now, state); err != nil {
					t.Fatal(err)
				}
				a, b := l.Snapshot(now), again.Snapshot(now)
				if a.Connections != b.Connections || a.Probing != b.Probing || a.RestsUntil.Sub(b.RestsUntil).Abs() > time.Millisecond {
					t.Fatalf("restored %+v, want %+v", b, a)
				}
			}
			s := l.Snapshot(now)
			if s.Open != open || s.Connections < 1 || s.Connections > most || s.MessageRate > perSecond {
				t.Fatalf("out of bounds: %+v with %d open", s, open)
			}
		}
		burst := float64(burstOf(perSecond))
		// Refunds can hold a second burst beside the limiter's own.
		if limit := now.Sub(start).Seconds()*perSecond + 2*burst + 1; float64(granted) > limit {
			t.Fatalf("%d granted in %v at %v a second", granted, now.Sub(start), perSecond)
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	th := New(Rules{Default: Limits{MessageRate: Rate{Count: 1000}}})
	th.OnRoom(func(string) {})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				now := start.Add(time.Duration(i) * time.Second)
				l := th.Limiter("x", "a")
				if ok, _ := l.Connect(now); ok {
					n, _ := l.Grant(now, 5)
					l.Refund(now, n/2)
					l.Delivered(now, n)
					l.Disconnect(now)
				}
				l.Deferred(now, Signal{Kind: Kind(i % 5)})
				l.AppendState(nil)
				th.TakeChanged(nil)
				if g == 0 && i%50 == 0 {
					if err := th.SetLimits(now, "x", "", Limits{Connections: 1 + i%7}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if s := th.Limiter("x", "a").Snapshot(start); s.Open != 0 {
		t.Errorf("%d places lost", s.Open)
	}
}

func FuzzRestore(f *testing.F) {
	l := New(Rules{}).Limiter("x", "a")
	l.Delivered(start, 10)
	l.Deferred(start, Signal{Kind: TooFast})
	l.Deferred(start, Signal{Kind: TooMany})
	f.Add(l.AppendState(nil))
	l.Rest(start, start.Add(time.Hour), "maintenance")
	f.Add(l.AppendState(nil))
	f.Fuzz(func(t *testing.T, state []byte) {
		l := New(Rules{}).Limiter("x", "a")
		if l.Restore(start, state) != nil {
			return
		}
		s := l.Snapshot(start)
		if s.Connections < 1 || s.Connections > DefaultConnections || s.MessageRate < 0 || math.IsNaN(s.MessageRate) {
			t.Fatalf("%+v from %x", s, state)
		}
		l.Connect(start)
		l.Grant(start, 10)
		l.Delivered(start, 1)
		// Written again it is what it was, but for what is over.
		if err := New(Rules{}).Limiter("x", "a").Restore(start, l.AppendState(nil)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	b := Breaker{Limit: 3}
	for i, step := range []struct {
		key     string // empty: delivered
		tripped bool
	}{
		{"spam", false},
		{"spam", false},
		{"blocked", false}, // another reason: the row begins anew
		{"blocked", false},
		{"", false},
		{"blocked", false},
		{"blocked", false},
		{"blocked", true},
		{"blocked", true}, // after the rest: at once
		{"spam", true},    // whatever they say
		{"", false},
		{"spam", false},
	} {
		if step.key == "" {
			b.Delivered()
		} else if got := b.Refused(step.key); got != step.tripped {
			t.Fatalf("step %d: tripped %v", i, got)
		}
		if b.Tripped() != step.tripped {
			t.Fatalf("step %d: Tripped %v", i, b.Tripped())
		}
	}
	var usual Breaker
	for range DefaultBreakerLimit - 1 {
		if usual.Refused("x") {
			t.Fatal("tripped early")
		}
	}
	if !usual.Refused("x") || usual.Run() != DefaultBreakerLimit {
		t.Fatal("not tripped at the default limit")
	}
}

func BenchmarkGrantUnlimited(b *testing.B) {
	l := New(Rules{}).Limiter("x", "a")
	for b.Loop() {
		l.Grant(start, 16)
	}
}

func BenchmarkGrantLimited(b *testing.B) {
	l := New(Rules{Default: Limits{MessageRate: Rate{Count: 1e9}}}).Limiter("x", "a")
	for b.Loop() {
		l.Grant(start, 1)
	}
}

func BenchmarkDelivered(b *testing.B) {
	l := New(Rules{}).Limiter("x", "a")
	now := start
	for b.Loop() {
		now = now.Add(time.Microsecond)
		l.Delivered(now, 1)
	}
}
