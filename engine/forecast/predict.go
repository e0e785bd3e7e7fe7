package forecast

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Predict forecasts each of the flows, in their order. They must be all that
// share sites, campaigns and this process, or the pace that others leave behind
// is not seen.
func Predict(now time.Time, flows []Flow) []Forecast {
	p := predictor{flows: flows, seconds: make([]float64, len(flows))}
	p.loads = make([]float64, len(flows))
	p.pace = make([]float64, len(flows))
	p.deferral = make([]float64, len(flows))
	p.measure()
	// Retries that fall due before the end take a part of the pace, which moves
	// the end: three rounds are enough to come close.
	for range 4 {
		p.load(now)
		p.share()
	}
	all := make([]Forecast, len(flows))
	for i := range flows {
		all[i] = p.forecast(i, now)
	}
	return all
}

// predictor works on all flows at once.
type predictor struct {
	flows []Flow
	// By flow: the messages that go out until its first pass is done, what it
	// does per second, the share of first tries that is deferred, and the seconds
	// until the first pass is done; +Inf: not known.
	loads, pace, deferral, seconds []float64
}

// group is what shares a pace.
type group struct {
	reach          reach
	campaign, site string
}

// groupOf says whom a flow shares its pace with.
func groupOf(f *Flow) group {
	c, known := f.Waits.Top()
	switch {
	case known && c.reach() == campaign:
		return group{reach: campaign, campaign: f.Campaign}
	case known && c.reach() == everyone:
		return group{reach: everyone}
	}
	return group{reach: site, site: f.Site}
}

// measure finds each flow's pace and share of deferrals.
func (p *predictor) measure() {
	tried := make(map[string]Tally) // by campaign
	type crowd struct {
		pace float64
		idle int // those that have done nothing
	}
	limited := make(map[string]crowd) // at sites, behind their rate limit
	together := make(map[string]float64)
	for i := range p.flows {
		f := &p.flows[i]
		tried[f.Campaign] = tried[f.Campaign].Plus(f.Tried)
		together[f.Site] += f.PerSecond
		if f.limited() {
			c := limited[f.Site]
			c.pace += f.PerSecond
			if f.PerSecond == 0 {
				c.idle++
			}
			limited[f.Site] = c
		}
	}
	for i := range p.flows {
		f := &p.flows[i]
		p.deferral[i] = f.Tried.share(tried[f.Campaign].share(0, 1), 10)
		p.pace[i] = f.PerSecond
		// The limit is known exactly, the rest was measured.
		switch c := limited[f.Site]; {
		case f.limited() && c.pace == 0:
			p.pace[i] = f.Allowed / float64(c.idle)
		case f.limited():
			p.pace[i] = f.PerSecond * f.Allowed / c.pace
		case f.Allowed > 0 && together[f.Site] > f.Allowed:
			p.pace[i] = f.PerSecond * f.Allowed / together[f.Site]
		}
	}
}

// limited reports whether the site's rate limit is what keeps the flow back.
func (f *Flow) limited() bool {
	return f.Allowed > 0 && f.Pending > 0 && !f.Held && f.Waits.Of(RateLimit) > 0.5
}

// load finds how many messages go out until each flow's first pass is done:
// those who were never tried, and the retries that fall due before that.
func (p *predictor) load(now time.Time) {
	for i := range p.flows {
		f := &p.flows[i]
		pending := float64(f.Pending)
		p.loads[i] = pending
		end := p.seconds[i]
		if pending == 0 || end == 0 || math.IsInf(end, 1) {
			continue
		}
		again := 0.0
		if f.Deferred > 0 && !f.FirstDue.IsZero() {
			from := max(0, f.FirstDue.Sub(now).Seconds())
			to := max(from, f.LastDue.Sub(now).Seconds())
			again += float64(f.Deferred) * part(end, from, to)
		}
		// Those to be deferred come back a step after their first try.
		step := f.Retry.step(1)
		again += p.deferral[i] * pending * part(end, step, end+step)
		p.loads[i] += again
	}
}

// part is how much of what falls due evenly between two times does so before end.
func part(end, from, to float64) float64 {
	switch {
	case end <= from:
		return 0
	case end >= to:
		return 1
	}
	return (end - from) / (to - from)
}

// share finds when each flow's first pass is done: within a group the pace stays
// the same, and who is done leaves his part to the others.
func (p *predictor) share() {
	groups := make(map[group][]int)
	loads, paces := make(map[string]float64), make(map[string]float64) // by campaign
	for i := range p.flows {
		f := &p.flows[i]
		p.seconds[i] = 0
		if f.Pending == 0 {
			continue
		}
		if f.Held {
			p.seconds[i] = math.Inf(1)
			continue
		}
		loads[f.Campaign] += p.loads[i]
		paces[f.Campaign] += p.pace[i]
		if p.pace[i] > 0 {
			g := groupOf(f)
			groups[g] = append(groups[g], i)
		}
	}
	for _, members := range groups {
		p.shareIn(members)
	}
	for i := range p.flows {
		f := &p.flows[i]
		if f.Pending == 0 || f.Held || p.pace[i] > 0 {
			continue
		}
		// Nothing is known of it: it will take as long as its campaign does.
		p.seconds[i] = math.Inf(1)
		pace := paces[f.Campaign]
		if f.Overall > 0 {
			pace = f.Overall
		}
		if pace > 0 {
			p.seconds[i] = loads[f.Campaign] / pace
		}
	}
}

// shareIn does so in one group, whose members all have a pace.
func (p *predictor) shareIn(members []int) {
	alone := func(i int) float64 { return p.loads[i] / p.pace[i] }
	slices.SortFunc(members, func(a, b int) int { return cmp.Compare(alone(a), alone(b)) })
	total := 0.0
	for _, i := range members {
		total += p.pace[i]
	}
	// All speed up alike when one is done, so they end in the order in which they
	// would have ended alone.
	left, at, before := total, 0.0, 0.0
	for _, i := range members {
		at += (alone(i) - before) * left / total
		before = alone(i)
		left -= p.pace[i]
		p.seconds[i] = at
	}
}

// forecast is what follows for one flow.
func (p *predictor) forecast(i int, now time.Time) Forecast {
	f := &p.flows[i]
	out := Forecast{Pending: f.Pending, Deferred: f.Deferred, PerSecond: f.PerSecond}
	// Who is only deferred weighs just enough to be seen where nobody waits.
	out.Waits.Add(&f.Waits, max(float64(f.Pending), 1e-3))
	if f.Held && f.Pending+f.Deferred > 0 {
		out.Held = f.Pending + f.Deferred
		return out
	}
	from := now
	if f.Pending > 0 && f.Until.After(now) {
		from = f.Until
	}
	out.FirstPass = f.worked(from, p.seconds[i])
	if out.FirstPass.IsZero() {
		return out
	}
	first := out.FirstPass.Sub(now).Seconds()
	earliest, latest := p.final(i, now, first)
	out.FinalFrom, out.FinalTo = f.opened(now, earliest, first), f.opened(now, latest, first)
	return out
}

// worked is when so many seconds of work are done that begin at a time, by the
// hours that allow it; zero when it is beyond telling.
func (f *Flow) worked(from time.Time, seconds float64) time.Time {
	if f.Hours == nil || seconds == 0 {
		return in(from, seconds)
	}
	const mostHours = 2000 // a year of days with a few openings each
	for range mostHours {
		opens, closes := f.Hours(from)
		if opens.IsZero() {
			return time.Time{}
		}
		open := closes.Sub(opens).Seconds()
		if closes.IsZero() || seconds <= open {
			return in(opens, seconds)
		}
		seconds -= open
		from = closes
	}
	return time.Time{}
}

// opened is so many seconds from now or, when that is behind the first pass and
// outside of the hours, when those begin again: a retry waits for that.
func (f *Flow) opened(now time.Time, seconds, first float64) time.Time {
	at := in(now, seconds)
	if seconds <= first {
		return in(now, first) // to the nanosecond
	}
	if f.Hours == nil || at.IsZero() {
		return at
	}
	at, _ = f.Hours(at)
	return at
}

// in is a time so many seconds from now; zero when it is beyond telling.
func in(now time.Time, seconds float64) time.Time {
	const longest = 10 * 365 * 24 * 3600
	if !(seconds < longest) {
		return time.Time{}
	}
	return now.Add(time.Duration(seconds * float64(time.Second)))
}

// final bounds when everybody is final, in seconds from now; first is when the
// first pass is done.
func (p *predictor) final(i int, now time.Time, first float64) (from, to float64) {
	f := &p.flows[i]
	until := func(t time.Time) float64 { return max(0, t.Sub(now).Seconds()) }
	expected := p.deferral[i] * float64(f.Pending)
	open := float64(f.Deferred) + expected
	from = first
	if open < 0.5 {
		return from, from
	}
	if f.Deferred > 0 {
		from = max(from, until(f.FirstDue), until(f.LastDue))
	}
	if expected >= 0.5 {
		from = max(from, first+f.Retry.step(1))
	}
	if f.Pending > 0 && p.pace[i] > 0 {
		from = max(from, (float64(f.Pending)+open)/p.pace[i])
	}
	// Half of them again, as long as no retry has said otherwise.
	again := f.Again.share(0.5, 2)
	tries := 0.0 // after the next one
	if again > 0 {
		tries = max(0, math.Ceil(math.Log(0.5/open)/math.Log(again)))
	}
	// How far they are on the schedule, on average.
	begun := 1.0
	if f.Tried.Deferred > 0 {
		begun += min(float64(f.Again.All)/float64(f.Tried.Deferred), 100)
	}
	to = from + (from-first)*(jitter-1)
	if again >= 0.999 {
		to = math.Inf(1)
	}
	for n := 1.0; n < tries && n < 10_000 && !math.IsInf(to, 1); n++ {
		to += f.Retry.step(begun+n) * jitter
	}
	if !f.Expires.IsZero() {
		end := max(until(f.Expires), first)
		to = min(to, end)
	}
	return min(from, to), to
}
