package forecast

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 3, 20, 7, 0, 0, 0, time.UTC)

// usual is the schedule that the tests have unless they say otherwise.
var usual = Retry{First: 15 * time.Minute, Factor: 2, Max: 4 * time.Hour}

// waits are shares by cause, given in pairs.
func waits(pairs ...any) (w Waits) {
	for i := 0; i < len(pairs); i += 2 {
		w[pairs[i].(Cause)] = float32(pairs[i+1].(float64))
	}
	return w
}

// TestFirstPass: when it is done, in seconds from now; -1 stands for not known.
func TestFirstPass(t *testing.T) {
	t.Parallel()
	limited, slow, ceiling, busy := waits(RateLimit, 0.9, RoundTrips, 0.1), Only(RoundTrips), Only(MaxRate), Only(Composing)
	for _, c := range []struct {
		name  string
		flows []Flow
		want  []float64
	}{
		{"what is left at the pace measured", []Flow{{Pending: 1000, PerSecond: 10, Waits: slow}}, []float64{100}},
		{"a limit is believed more than what was measured", []Flow{{Pending: 1000, PerSecond: 13, Allowed: 10, Waits: limited}}, []float64{100}},
		{"a limit that nobody waits for is not", []Flow{{Pending: 1000, PerSecond: 5, Allowed: 10, Waits: slow}}, []float64{200}},
		{"but nothing is faster than it", []Flow{{Pending: 1000, PerSecond: 12, Allowed: 10, Waits: slow}}, []float64{100}},
		{"a limit at which nothing was done yet", []Flow{{Pending: 1000, Allowed: 10, Waits: limited}}, []float64{100}},
		{"nothing is left", []Flow{{PerSecond: 10}}, []float64{0}},
		{"nothing is known", []Flow{{Pending: 10}}, []float64{-1}},
		{"paused", []Flow{{Pending: 10, PerSecond: 10, Held: true}}, []float64{-1}},
		{"resting for a minute", []Flow{{Pending: 100, PerSecond: 10, Until: t0.Add(time.Minute)}}, []float64{70}},
		{"what has no pace takes as long as its campaign", []Flow{
			{Site: "a", Pending: 900, PerSecond: 10, Waits: slow}, {Site: "b", Pending: 100},
		}, []float64{90, 100}},
		{"sites side by side", []Flow{
			{Site: "a", Pending: 1000, PerSecond: 100, Waits: slow}, {Site: "b", Pending: 1000, PerSecond: 10, Waits: slow},
		}, []float64{10, 100}},
		{"who is done leaves his part at the site", []Flow{
			{Campaign: "x", Site: "a", Pending: 500, PerSecond: 50, Waits: slow}, {Campaign: "y", Site: "a", Pending: 1500, PerSecond: 50, Waits: slow},
		}, []float64{10, 20}},
		{"a shared limit", []Flow{
			{Campaign: "x", Site: "a", Pending: 500, PerSecond: 70, Allowed: 100, Waits: limited},
			{Campaign: "y", Site: "a", Pending: 1500, PerSecond: 70, Allowed: 100, Waits: limited},
		}, []float64{10, 20}},
		{"max_rate is the campaign's over all sites", []Flow{
			{Campaign: "x", Site: "a", Pending: 500, PerSecond: 50, Waits: ceiling},
			{Campaign: "x", Site: "b", Pending: 1500, PerSecond: 50, Waits: ceiling},
			{Campaign: "y", Site: "b", Pending: 1500, PerSecond: 50, Waits: ceiling},
		}, []float64{10, 20, 30}},
		{"processors are everybody's", []Flow{
			{Campaign: "x", Site: "a", Pending: 500, PerSecond: 50, Waits: busy}, {Campaign: "y", Site: "b", Pending: 1500, PerSecond: 50, Waits: busy},
		}, []float64{10, 20}},
		{"retries that are due take their part", []Flow{{
			Pending: 1000, Deferred: 500, PerSecond: 10, Waits: slow, FirstDue: t0, LastDue: t0,
		}}, []float64{150}},
		{"retries that fall due later do not", []Flow{{
			Pending: 1000, Deferred: 500, PerSecond: 10, Waits: slow, FirstDue: t0.Add(time.Hour), LastDue: t0.Add(2 * time.Hour),
		}}, []float64{100}},
	} {
		for i := range c.flows {
			c.flows[i].Retry = usual
		}
		for i, f := range Predict(t0, c.flows) {
			got := -1.0
			if !f.FirstPass.IsZero() {
				got = f.FirstPass.Sub(t0).Seconds()
			}
			if math.Abs(got-c.want[i]) > 0.01*math.Abs(c.want[i]) {
				t.Errorf("%s, flow %d: first pass done in %.1f s, want %.1f", c.name, i, got, c.want[i])
			}
		}
	}
}

// TestFinal: between when and when everybody is final, in minutes from now; -1
// stands for not known.
func TestFinal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		flow     Flow
		from, to float64
	}{
		{"nobody was deferred", Flow{Pending: 600, PerSecond: 1, Tried: Tally{1000, 0}}, 10, 10},
		{"as many as up to now will be", Flow{Pending: 600, PerSecond: 1, Tried: Tally{1000, 500}, Again: Tally{1e6, 0}}, 25, 25},
		{"those deferred are taken next time", Flow{
			Deferred: 100, FirstDue: t0.Add(3 * time.Minute), LastDue: t0.Add(5 * time.Minute), Tried: Tally{1000, 100}, Again: Tally{1e6, 0},
		}, 5, 5},
		// 1,000 halved eleven times are less than one half: ten waits follow the first.
		{"half of the retries are deferred again", Flow{
			Deferred: 1000, FirstDue: t0.Add(15 * time.Minute), LastDue: t0.Add(15 * time.Minute), Tried: Tally{1000, 1000}, Retry: Retry{First: 15 * time.Minute, Max: 15 * time.Minute, Factor: 1},
		}, 15, 15 + 10*15},
		{"all of them are", Flow{
			Deferred: 1000, FirstDue: t0.Add(15 * time.Minute), LastDue: t0.Add(15 * time.Minute), Tried: Tally{1000, 1000}, Again: Tally{1e6, 1e6},
		}, 15, -1},
		{"all of them are, until they expire", Flow{
			Deferred: 1000, FirstDue: t0.Add(15 * time.Minute), LastDue: t0.Add(15 * time.Minute), Tried: Tally{1000, 1000}, Again: Tally{1e6, 1e6},
			Expires: t0.Add(24 * time.Hour),
		}, 15, 24 * 60},
		{"they expire before they are tried again", Flow{
			Deferred: 1000, FirstDue: t0.Add(time.Hour), LastDue: t0.Add(2 * time.Hour), Tried: Tally{1000, 1000}, Expires: t0.Add(90 * time.Minute),
		}, 90, 90},
		{"paused", Flow{Deferred: 1000, Held: true}, -1, -1},
	} {
		if c.flow.Retry == (Retry{}) {
			c.flow.Retry = usual
		}
		f := Predict(t0, []Flow{c.flow})[0]
		for _, at := range []struct {
			what string
			got  time.Time
			want float64
		}{{"from", f.FinalFrom, c.from}, {"to", f.FinalTo, c.to}} {
			got := -1.0
			if !at.got.IsZero() {
				got = at.got.Sub(t0).Minutes()
			}
			// Waits are up to a tenth longer than the schedule says.
			if low, high := at.want*0.99, at.want*1.101; (got < 0) != (at.want < 0) || at.want >= 0 && (got < low-0.01 || got > high+0.01) {
				t.Errorf("%s: final %s %.1f min, want %.1f", c.name, at.what, got, at.want)
			}
		}
	}
}

// TestPredictHolds: for any flows, a first pass is not done before what is left
// could be, everybody is final no earlier than that, ranges are in order, and
// more to do never ends earlier.
func TestPredictHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var flows []Flow
		for range rapid.IntRange(1, 6).Draw(t, "flows") {
			tried := rapid.Uint64Range(0, 1000).Draw(t, "tried")
			again := rapid.Uint64Range(0, 1000).Draw(t, "again")
			f := Flow{
				Campaign:  fmt.Sprint(rapid.IntRange(0, 1).Draw(t, "campaign")),
				Site:      fmt.Sprint(rapid.IntRange(0, 1).Draw(t, "site")),
				Pending:   rapid.Uint64Range(0, 1e6).Draw(t, "pending"),
				Deferred:  rapid.Uint64Range(0, 1e6).Draw(t, "deferred"),
				PerSecond: rapid.SampledFrom([]float64{0, 0.1, 10, 5000}).Draw(t, "pace"),
				Allowed:   rapid.SampledFrom([]float64{0, 1, 100}).Draw(t, "allowed"),
				Waits:     Only(Cause(rapid.IntRange(0, int(NumCauses)-1).Draw(t, "cause"))),
				Tried:     Tally{tried, rapid.Uint64Range(0, tried).Draw(t, "deferrals")},
				Again:     Tally{again, rapid.Uint64Range(0, again).Draw(t, "again deferred")},
				Retry:     usual,
			}
			if f.Deferred > 0 && rapid.Bool().Draw(t, "dues known") {
				f.FirstDue = t0.Add(time.Duration(rapid.IntRange(-60, 3600).Draw(t, "due")) * time.Second)
				f.LastDue = f.FirstDue.Add(time.Hour)
			}
			if rapid.Bool().Draw(t, "expires") {
				f.Expires = t0.Add(time.Duration(rapid.IntRange(0, 48).Draw(t, "hours")) * time.Hour)
			}
			flows = append(flows, f)
		}
		total := 0.0
		for _, f := range flows {
			total += f.PerSecond + f.Allowed
		}
		all := Predict(t0, flows)
		for i, f := range all {
			if f.FirstPass.IsZero() {
				continue
			}
			took := f.FirstPass.Sub(t0).Seconds()
			if took < float64(flows[i].Pending)/total*0.999-0.001 {
				t.Fatalf("flow %d has %d pending and is done in %.3f s, though all together do %.1f/s", i, flows[i].Pending, took, total)
			}
			if f.FinalFrom.IsZero() {
				continue // beyond telling
			}
			if !f.FinalTo.IsZero() && f.FinalTo.Before(f.FinalFrom) {
				t.Fatalf("flow %d: final from %v to %v", i, f.FinalFrom, f.FinalTo)
			}
			if flows[i].Expires.IsZero() && f.FinalFrom.Before(f.FirstPass.Add(-time.Microsecond)) {
				t.Fatalf("flow %d: final at %v, before the first pass is done at %v", i, f.FinalFrom, f.FirstPass)
			}
		}
		sum := Sum(all)
		for i, f := range all {
			if !sum.FirstPass.IsZero() && sum.FirstPass.Before(f.FirstPass) {
				t.Fatalf("all are done at %v, flow %d at %v", sum.FirstPass, i, f.FirstPass)
			}
		}
		i := rapid.IntRange(0, len(flows)-1).Draw(t, "which")
		flows[i].Pending = flows[i].Pending*2 + 10
		more := Predict(t0, flows)[i].FirstPass
		if was := all[i].FirstPass; !was.IsZero() && all[i].Pending > 0 && !more.IsZero() && more.Before(was.Add(-time.Millisecond)) {
			t.Fatalf("flow %d was done at %v, and with more to do at %v", i, was, more)
		}
	})
}

// TestSum: a campaign is done when its slowest site is; what is paused counts,
// and has no part in the times.
func TestSum(t *testing.T) {
	t.Parallel()
	sum := Sum([]Forecast{
		{Pending: 90, PerSecond: 1, FirstPass: t0.Add(1), FinalFrom: t0.Add(1), FinalTo: t0.Add(4), Waits: waits(RateLimit, 90.0)},
		{Pending: 10, PerSecond: 2, FirstPass: t0.Add(2), FinalFrom: t0.Add(3), FinalTo: t0.Add(3), Waits: waits(FinalAnswer, 10.0)},
		{Pending: 5, Deferred: 1, Held: 6},
	})
	if sum.Pending != 105 || sum.Deferred != 1 || sum.Held != 6 || sum.PerSecond != 3 {
		t.Errorf("sums: %+v", sum)
	}
	if !sum.FirstPass.Equal(t0.Add(2)) || !sum.FinalFrom.Equal(t0.Add(3)) || !sum.FinalTo.Equal(t0.Add(4)) {
		t.Errorf("times: %v, %v to %v", sum.FirstPass, sum.FinalFrom, sum.FinalTo)
	}
	if got := sum.Waits.Of(RateLimit); math.Abs(got-0.9) > 1e-6 {
		t.Errorf("rate limit %.2f", got)
	}
	if unknown := Sum([]Forecast{{Pending: 1, FirstPass: t0}, {Pending: 1}}); !unknown.FirstPass.IsZero() {
		t.Errorf("a part is not known, and the whole is said to be done at %v", unknown.FirstPass)
	}
	if none := Sum([]Forecast{{Pending: 5, Held: 5}}); !none.FirstPass.IsZero() {
		t.Errorf("all is paused and done at %v", none.FirstPass)
	}
}

// TestHours: work goes on only while the hours allow it, and a retry that falls
// due outside of them waits for the next.
func TestHours(t *testing.T) {
	t.Parallel()
	// The first twenty minutes of each hour, after the first, are open.
	hours := func(at time.Time) (opens, closes time.Time) {
		start := at.Truncate(time.Hour)
		if at.Sub(start) >= 20*time.Minute {
			start = start.Add(time.Hour)
		}
		opens = at
		if opens.Before(start) {
			opens = start
		}
		return opens, start.Add(20 * time.Minute)
	}
	f := Flow{Pending: 3000, PerSecond: 1, Hours: hours, Retry: Retry{First: 30 * time.Minute, Max: 30 * time.Minute, Factor: 1}, Tried: Tally{1000, 0}}
	got := Predict(t0.Add(10*time.Minute), []Flow{f})[0]
	if want := t0.Add(2*time.Hour + 20*time.Minute); !got.FirstPass.Equal(want) || !got.FinalTo.Equal(want) {
		t.Errorf("50 minutes of work are done at %v, final at %v, want %v", got.FirstPass, got.FinalTo, want)
	}
	f.Pending, f.Tried, f.Again = 2900, Tally{1000, 1}, Tally{1e6, 0}
	if got := Predict(t0.Add(10*time.Minute), []Flow{f})[0]; !got.FinalFrom.Equal(t0.Add(3 * time.Hour)) {
		t.Errorf("a retry half an hour later is at %v", got.FinalFrom)
	}
	f.Hours = func(time.Time) (opens, closes time.Time) { return time.Time{}, time.Time{} }
	if got := Predict(t0, []Flow{f})[0]; !got.FirstPass.IsZero() {
		t.Errorf("it is never open, and done at %v", got.FirstPass)
	}
}
