package engine

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/penstock-mail/penstock/engine/forecast"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// Outlook is when everything will be done, and what it waits for, as of a moment.
// It is shared: read only.
type Outlook struct {
	At time.Time
	// Flows is every campaign at each of its sites, by campaign and site.
	Flows []FlowOutlook
	// Campaigns and Sites are the same summed, and All everything.
	Campaigns, Sites map[string]forecast.Forecast
	All              forecast.Forecast
}

// FlowOutlook is one campaign at one site.
type FlowOutlook struct {
	// An empty Site is that of the domains which were not looked up yet.
	Campaign, Site string
	forecast.Forecast
}

// outlooks keeps the last Outlook for as long as it is good enough: making one
// looks at every domain with work.
type outlooks struct {
	mu   sync.Mutex
	last *Outlook      // guarded by mu, as is good
	good time.Duration // from Outlook.At on
}

const (
	// freshFor is how long an outlook is good at least, and costShare how much
	// longer than it took to make: at most a fiftieth of a processor goes into it.
	freshFor  = 500 * time.Millisecond
	costShare = 50
)

// Outlook is at most a second old, or some on a list with millions of domains.
// Any goroutine.
func (e *Engine) Outlook() *Outlook {
	o := &e.outlooks
	o.mu.Lock()
	defer o.mu.Unlock()
	now := e.now()
	if o.last == nil || now.Sub(o.last.At) >= o.good || now.Before(o.last.At) {
		o.last = e.lookAhead(now)
		o.good = max(freshFor, costShare*e.now().Sub(now))
	}
	return o.last
}

// flowKey names a flow.
type flowKey struct{ campaign, site string }

func (e *Engine) lookAhead(now time.Time) *Outlook {
	at := make(map[flowKey]*course)
	for _, r := range e.allRuns() {
		if !r.Done() && !r.cancelled.Load() {
			r.survey(at, now)
		}
	}
	for _, l := range e.allLanes() {
		if l.pool != nil {
			l.survey(at)
		}
	}
	courses := slices.SortedFunc(maps.Values(at), func(a, b *course) int {
		return cmp.Or(cmp.Compare(a.Campaign, b.Campaign), cmp.Compare(a.Site, b.Site))
	})
	flows := make([]forecast.Flow, len(courses))
	for i, c := range courses {
		flows[i] = c.flow(e, now)
	}
	out := &Outlook{At: now, Campaigns: make(map[string]forecast.Forecast), Sites: make(map[string]forecast.Forecast)}
	byCampaign, bySite := make(map[string][]forecast.Forecast), make(map[string][]forecast.Forecast)
	all := forecast.Predict(now, flows)
	for i, f := range all {
		c, s := flows[i].Campaign, flows[i].Site
		out.Flows = append(out.Flows, FlowOutlook{c, s, f})
		byCampaign[c] = append(byCampaign[c], f)
		bySite[s] = append(bySite[s], f)
	}
	for c, list := range byCampaign {
		out.Campaigns[c] = forecast.Sum(list)
	}
	for s, list := range bySite {
		out.Sites[s] = forecast.Sum(list)
	}
	out.All = forecast.Sum(all)
	return out
}

// course is what is gathered of one campaign at one site.
type course struct {
	forecast.Flow
	run *Run
	// placed is who is in a lane, and resting who is held back for trouble, of
	// those never tried.
	placed, resting uint64
	// waits is what those in lanes wait for, by their number.
	waits forecast.Waits
}

// survey gathers how a run's domains stand. What is final is left out.
func (r *Run) survey(at map[flowKey]*course, now time.Time) {
	name := r.campaign.Name()
	retry := r.settings.Retry
	var last *course // neighbours are often at one site
	_ = r.campaign.Domains(func(d *ledger.Domain) bool {
		s := d.Standing()
		if s.Pending+s.Deferred == 0 {
			return true
		}
		c := last
		if c == nil || c.Site != s.Site {
			key := flowKey{name, s.Site}
			if c = at[key]; c == nil {
				c = &course{run: r}
				c.Campaign, c.Site = name, s.Site
				c.Retry = forecast.Retry{First: retry.First, Max: retry.Max, Factor: retry.Factor}
				at[key] = c
			}
			last = c
		}
		c.Pending += s.Pending
		c.Deferred += s.Deferred
		if s.Deferred > 0 && !s.FirstDue.IsZero() {
			if c.FirstDue.IsZero() || s.FirstDue.Before(c.FirstDue) {
				c.FirstDue = s.FirstDue
			}
			if s.LastDue.After(c.LastDue) {
				c.LastDue = s.LastDue
			}
		}
		if s.Pending > 0 && s.Rests.After(now) {
			c.resting += s.Pending
			if s.Rests.After(c.Until) {
				c.Until = s.Rests
			}
		}
		return true
	}) // an error is the ledger's, which is told elsewhere
}

// survey gathers what is known of a lane's flows.
func (l *lane) survey(at map[flowKey]*course) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r, f := range l.byRun {
		c := at[flowKey{r.campaign.Name(), l.site.name}]
		if c == nil {
			continue // all of it is final
		}
		waiting := max(0, f.waiting) + f.reserved
		c.placed += uint64(waiting)
		c.Tried = c.Tried.Plus(f.tally.tried)
		c.Again = c.Again.Plus(f.tally.again)
		if v := f.view; v != nil && !f.held && (waiting > 0 || f.listed) {
			c.PerSecond += v.rate.PerSecond()
			seen := v.window.Waits()
			c.waits.Add(&seen, float64(max(1, waiting)))
		}
	}
}

// flow is the course made ready to be forecast.
func (c *course) flow(e *Engine, now time.Time) forecast.Flow {
	r, f := c.run, c.Flow
	f.Allowed = e.allowed(f.Site, now)
	f.Held = e.pauses.Held(f.Campaign, f.Site)
	expiry, _ := r.expiry(f.Site, now)
	f.Expires = expiry
	if until, _ := r.restingUntilAt(f.Site); until.After(f.Until) {
		f.Until = until
	}
	if start := r.StartsAt(); start.After(f.Until) {
		f.Until = start
	}
	if r.calendar != nil {
		f.Hours = r.hours
	}
	outside, overall := r.outlook()
	f.Overall = overall
	switch placed := min(c.placed, f.Pending); {
	case f.Held:
		f.Waits = forecast.Only(forecast.Paused)
	case r.closed.Load():
		f.Waits = forecast.Only(forecast.Schedule)
	case f.Pending == 0:
		// Whoever is left waits for a retry, or for its answer.
		f.Waits = c.waits
		if !f.Waits.Known() {
			f.Waits = forecast.Only(forecast.Nothing)
		}
	default:
		f.Waits.Add(&c.waits, float64(placed))
		resting := min(c.resting, f.Pending-placed)
		rest := forecast.Only(forecast.Resting)
		f.Waits.Add(&rest, float64(resting))
		f.Waits.Add(&outside, float64(f.Pending-placed-resting))
		if !f.Waits.Known() {
			f.Waits = outside
		}
	}
	return f
}

// outlook is what the run's recipients wait for who are in no lane, and what it
// does per second over all sites.
func (r *Run) outlook() (waits forecast.Waits, perSecond float64) {
	r.outside.mu.Lock()
	defer r.outside.mu.Unlock()
	return r.outside.window.Waits(), r.outside.rate.PerSecond()
}

// allowed is the messages a second that a site's limits allow now, over all
// sources; 0: no limit.
func (e *Engine) allowed(name string, now time.Time) (perSecond float64) {
	e.routing.Lock()
	s := e.sites[name]
	e.routing.Unlock()
	if s == nil {
		return 0
	}
	for _, l := range s.limiters {
		rate := l.Snapshot(now).MessageRate
		if rate == 0 {
			return 0
		}
		perSecond += rate
	}
	return perSecond
}

// hours is when the run's windows are open next, from a time on, and until when.
func (r *Run) hours(from time.Time) (opens, closes time.Time) {
	opens = from
	if !r.calendar.Open(from) {
		var ok bool
		if opens, ok = r.calendar.Change(from); !ok {
			return time.Time{}, time.Time{}
		}
	}
	closes, _ = r.calendar.Change(opens)
	return opens, closes
}
