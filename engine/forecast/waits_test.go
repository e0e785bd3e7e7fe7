package forecast

import (
	"math"
	"testing"
	"time"
)

// TestWindowIsSharesOfTime: however often it is looked at, what counts is how
// long it was so.
func TestWindowIsSharesOfTime(t *testing.T) {
	t.Parallel()
	rate, dns := Only(RateLimit), Only(DNS)
	for _, every := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 500 * time.Millisecond} {
		var w Window
		now := t0
		for range int(2 * time.Minute / every) {
			now = now.Add(every)
			look := &rate
			if now.UnixMilli()%4000 < 1000 {
				look = &dns
			}
			w.See(now, look)
		}
		got := w.Waits()
		if of := got.Of(RateLimit); math.Abs(of-0.75) > 0.1 {
			t.Errorf("looked at every %v: rate limit %.2f, want 0.75", every, of)
		}
	}
}

// TestWindowForgets: after some times Memory nothing is left of what was, and the
// first look does not weigh more than others.
func TestWindowForgets(t *testing.T) {
	t.Parallel()
	rate, dns := Only(RateLimit), Only(DNS)
	var w Window
	now := t0
	w.See(now, &dns)
	for range 20 {
		now = now.Add(firstSpan)
		w.See(now, &rate)
	}
	seen := w.Waits()
	if of := seen.Of(DNS); of > 0.06 {
		t.Errorf("one look of 21 has %.2f", of)
	}
	for range 40 {
		now = now.Add(time.Second)
		w.See(now, &rate)
	}
	seen = w.Waits()
	if of := seen.Of(DNS); of > 0.01 {
		t.Errorf("40 s later DNS still has %.3f", of)
	}
	// A clock that is set back is no time.
	w.See(now.Add(-time.Hour), &dns)
	seen = w.Waits()
	if c, ok := seen.Top(); !ok || c != RateLimit {
		t.Errorf("after the clock was set back: %v", c)
	}
}

func TestShares(t *testing.T) {
	t.Parallel()
	var none Waits
	if _, ok := none.Top(); ok || none.Known() || len(none.Shares()) > 0 || none.Of(DNS) != 0 {
		t.Error("nothing was seen, and something is known")
	}
	w := waits(DNS, 1.0, FinalAnswer, 3.0)
	if s := w.Shares(); len(s) != 2 || s[0] != (Share{FinalAnswer, 0.75}) || s[1] != (Share{DNS, 0.25}) {
		t.Errorf("shares: %v", s)
	}
	seen := make(map[string]bool)
	for c := range NumCauses {
		if c.String() == "" || seen[c.String()] {
			t.Errorf("cause %d is called %q", c, c)
		}
		seen[c.String()] = true
	}
}

// TestRate: it is near the truth soon after the start, follows changes, and is
// steady where little is done.
func TestRate(t *testing.T) {
	t.Parallel()
	run := func(r *Rate, perSecond float64, seconds float64) {
		const every = 50 * time.Millisecond
		due, open := 0.0, r.open
		for range int(seconds / every.Seconds()) {
			due += perSecond * every.Seconds()
			open += every.Seconds()
			n := math.Floor(due)
			if due -= n; n > 0 {
				r.Add(uint64(n), time.Duration(open*float64(time.Second)))
				open = 0
			} else {
				r.Wait(time.Duration(open * float64(time.Second)))
			}
		}
	}
	near := func(what string, r *Rate, want, within float64) {
		t.Helper()
		if got := r.PerSecond(); math.Abs(got-want) > within*want {
			t.Errorf("%s: %.2f/s, want %.2f", what, got, want)
		}
	}
	var r Rate
	if r.PerSecond() != 0 {
		t.Error("something out of nothing")
	}
	run(&r, 1000, 1)
	near("after a second", &r, 1000, 0.05)
	run(&r, 1000, 100)
	run(&r, 100, 45)
	near("45 s after a change", &r, 100, 0.6)
	run(&r, 100, 45)
	near("90 s after a change", &r, 100, 0.1)

	var start Rate
	run(&start, 100, 1) // connections open
	run(&start, 1000, 3)
	near("after a slow start", &start, 1000, 0.05)

	var hands Rate
	hands.Hands(1)
	run(&hands, 10, 1)
	near("with one hand", &hands, 10, 0.05)
	hands.Hands(3)
	near("when two have come", &hands, 30, 0.05)
	hands.Hands(1000)
	near("when a thousand have come", &hands, 40, 0.05)
	hands.Hands(3)
	run(&hands, 30, 1)
	near("when they have begun", &hands, 30, 0.05)
	hands.Hands(1)
	near("when they are gone", &hands, 30, 0.1)

	var bursts Rate
	run(&bursts, 0, 2) // connecting does not count
	for i := range 10 {
		bursts.Add(20, time.Duration(bursts.open*float64(time.Second))+50*time.Millisecond)
		if run(&bursts, 0, 0.45); i > 0 { // 20 every half second
			near("in bursts", &bursts, 40, 0.02)
		}
	}
	run(&bursts, 0, 60)
	if got := bursts.PerSecond(); got > 4 {
		t.Errorf("a minute after the last it is %.2f/s", got)
	}

	var slow Rate
	run(&slow, 0.05, 1200)
	near("three a minute", &slow, 0.05, 0.3)
}
