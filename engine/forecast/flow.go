package forecast

import (
	"math"
	"time"
)

// Flow is what is known of one campaign at one site.
type Flow struct {
	// Campaign and Site name it; an empty Site is that of the domains which were
	// not looked up yet.
	Campaign, Site string
	// Pending is who was never tried, Deferred who is to be tried again.
	Pending, Deferred uint64
	// PerSecond is how many tries were answered per second lately, Overall how
	// many of its campaign's first ones over all sites.
	PerSecond, Overall float64
	// Allowed is the site's rate limit, messages a second; 0: none.
	Allowed float64
	// Waits is what it waited for lately.
	Waits Waits
	// Held: paused, so nobody knows.
	Held bool
	// Until is when it may go on; zero: it does.
	Until time.Time
	// Hours gives the first moment from a time on at which the hours allow to send,
	// and when that ends, zero for never; nil: always.
	Hours func(time.Time) (opens, closes time.Time)

	// Tried and Again are first tries and retries that were answered, each with
	// those of them that were deferred.
	Tried, Again Tally
	// FirstDue and LastDue bound when those deferred are tried again; zero: not
	// known.
	FirstDue, LastDue time.Time
	Retry             Retry
	// Expires is when whoever is deferred is given up; zero: not known.
	Expires time.Time
}

// Tally is how many tries there were, and how many of them were deferred.
type Tally struct{ All, Deferred uint64 }

// Plus is both together.
func (t Tally) Plus(o Tally) Tally { return Tally{t.All + o.All, t.Deferred + o.Deferred} }

// share is the part deferred, with a guess that counts like so many tries.
func (t Tally) share(guess, weight float64) float64 {
	return min(1, (float64(t.Deferred)+guess*weight)/(float64(t.All)+weight))
}

// Retry is a campaign's schedule: the n-th wait is First times Factor to the
// power of n-1, at most Max, and up to a tenth longer.
type Retry struct {
	First, Max time.Duration
	Factor     float64
}

// step is the n-th wait in seconds, n from 1.
func (r Retry) step(n float64) float64 {
	return min(r.First.Seconds()*math.Pow(max(r.Factor, 1), n-1), max(r.Max, r.First).Seconds())
}

// jitter is how much longer than the schedule says a wait may be.
const jitter = 1.1

// Forecast is when a flow, a site or a campaign will be done. What is over
// already has the time of the forecast.
type Forecast struct {
	// Pending and Deferred are those it is about, Held those of them who are
	// paused and have no part in the times.
	Pending, Deferred, Held uint64
	// PerSecond is the pace now.
	PerSecond float64
	// FirstPass is when everybody was tried once; zero: not known.
	FirstPass time.Time
	// FinalFrom and FinalTo bound when everybody is final; zero: not known.
	FinalFrom, FinalTo time.Time
	// Waits is what is waited for, by recipients.
	Waits Waits
}

// Sum is the forecast of several flows together, such as a campaign's. What is
// paused counts and has no part in the times.
func Sum(all []Forecast) (sum Forecast) {
	timed := false
	for i := range all {
		f := &all[i]
		sum.Pending += f.Pending
		sum.Deferred += f.Deferred
		sum.Held += f.Held
		sum.PerSecond += f.PerSecond
		for c, v := range f.Waits {
			sum.Waits[c] += v
		}
		switch {
		case f.Held > 0:
		case !timed:
			timed = true
			sum.FirstPass, sum.FinalFrom, sum.FinalTo = f.FirstPass, f.FinalFrom, f.FinalTo
		default:
			sum.FirstPass = later(sum.FirstPass, f.FirstPass)
			sum.FinalFrom = later(sum.FinalFrom, f.FinalFrom)
			sum.FinalTo = later(sum.FinalTo, f.FinalTo)
		}
	}
	return sum
}

// later is the later of two times; not known when one of them is not.
func later(a, b time.Time) time.Time {
	switch {
	case a.IsZero() || b.IsZero():
		return time.Time{}
	case a.Before(b):
		return b
	}
	return a
}
