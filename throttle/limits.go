package throttle

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// Limits are the static bounds for one site and source. The zero value of a
// field means that nothing is said there: the next wider rule decides (see
// [Rules]), and if none does, there is no limit, except where said.
type Limits struct {
	// Connections is the most open at once; 0 takes DefaultConnections.
	Connections int
	// ConnectionRate bounds new connections.
	ConnectionRate Rate
	// MessageRate bounds messages begun.
	MessageRate Rate
	// MessagesPerConnection closes a connection after so many; 0 takes
	// DefaultMessagesPerConnection.
	MessagesPerConnection int
}

// Defaults without any rule.
const (
	DefaultConnections           = 20
	DefaultMessagesPerConnection = 1000
)

// Rate is so many per time: 100 per second, 5000 per hour. Zero Count: no limit
// said. Zero Per: a second.
type Rate struct {
	Count float64
	Per   time.Duration
}

// Unlimited lifts, for one site, a rate that a wider rule sets.
var Unlimited = Rate{Count: math.Inf(1), Per: time.Second}

// PerSecond is the rate in events a second; +Inf when there is no limit.
func (r Rate) PerSecond() float64 {
	if r.Count == 0 || math.IsInf(r.Count, 1) {
		return math.Inf(1)
	}
	if r.Per == 0 {
		return r.Count
	}
	return r.Count / r.Per.Seconds()
}

// Key names one limiter. As a rule's key, an empty Source means every source.
type Key struct {
	Site, Source string
}

// Rules are the static limits. A limiter's own are found field by field, the
// narrowest rule that says something first: Sources[site and source],
// Sites[site], Default, built-in defaults.
//
// A domain with limits of its own is a site of its own: package mx gives it
// its name.
type Rules struct {
	Default Limits
	Sites   map[string]Limits
	Sources map[Key]Limits
}

// Check lists every bound that is violated, as one error.
func (r Rules) Check() error {
	errs := []error{r.Default.check("default limits")}
	for site, l := range r.Sites {
		errs = append(errs, l.check("limits of site "+site))
	}
	for key, l := range r.Sources {
		errs = append(errs, l.check("limits of site "+key.Site+", source "+key.Source))
	}
	return errors.Join(errs...)
}

// Check lists every bound that l violates, as one error.
func (l Limits) Check() error { return l.check("limits") }

func (l Limits) check(what string) error {
	var errs []error
	if l.Connections < 0 {
		errs = append(errs, fmt.Errorf("%s: connections is %d, must be at least 1", what, l.Connections))
	}
	if l.MessagesPerConnection < 0 {
		errs = append(errs, fmt.Errorf("%s: messages per connection is %d, must be at least 1", what, l.MessagesPerConnection))
	}
	for _, r := range []struct {
		name string
		rate Rate
	}{{"connection rate", l.ConnectionRate}, {"message rate", l.MessageRate}} {
		if r.rate.Count < 0 || math.IsNaN(r.rate.Count) {
			errs = append(errs, fmt.Errorf("%s: %s is %v, must be above 0", what, r.name, r.rate.Count))
		}
		if r.rate.Per < 0 {
			errs = append(errs, fmt.Errorf("%s: %s is per %v, must be above 0", what, r.name, r.rate.Per))
		}
	}
	return errors.Join(errs...)
}

// over fills what l leaves unsaid from the wider rule.
func (l Limits) over(wider Limits) Limits {
	if l.Connections == 0 {
		l.Connections = wider.Connections
	}
	if l.ConnectionRate.Count == 0 {
		l.ConnectionRate = wider.ConnectionRate
	}
	if l.MessageRate.Count == 0 {
		l.MessageRate = wider.MessageRate
	}
	if l.MessagesPerConnection == 0 {
		l.MessagesPerConnection = wider.MessagesPerConnection
	}
	return l
}

// resolve is the rule that applies to one limiter, with nothing left unsaid.
func (r Rules) resolve(k Key) Limits {
	return r.Sources[k].over(r.Sites[k.Site]).over(r.Default).over(Limits{
		Connections:           DefaultConnections,
		MessagesPerConnection: DefaultMessagesPerConnection,
	})
}

// clone so that the caller may go on changing its maps.
func (r Rules) clone() Rules {
	r.Sites = maps.Clone(r.Sites)
	r.Sources = maps.Clone(r.Sources)
	if r.Sites == nil {
		r.Sites = make(map[string]Limits)
	}
	if r.Sources == nil {
		r.Sources = make(map[Key]Limits)
	}
	return r
}

// burstTime is how much of a rate may go out at once after a pause. It covers
// the grain of the owner's timers, so that a high rate is really reached, and
// keeps a low one even.
const burstTime = 250 * time.Millisecond

// burstOf is that in events. From one a second on at least two, or every
// timer that is late would cost a part of the rate.
func burstOf(perSecond float64) int {
	if perSecond < 1 {
		return 1
	}
	return int(min(max(2, perSecond*burstTime.Seconds()), 1<<30))
}

// retune gives lim this rate, making or dropping it as needed: nil is no limit.
func retune(lim *rate.Limiter, now time.Time, perSecond float64) *rate.Limiter {
	if math.IsInf(perSecond, 1) {
		return nil
	}
	burst := burstOf(perSecond)
	if lim == nil {
		return rate.NewLimiter(rate.Limit(perSecond), burst)
	}
	if lim.Limit() != rate.Limit(perSecond) {
		lim.SetLimitAt(now, rate.Limit(perSecond))
		lim.SetBurstAt(now, burst)
	}
	return lim
}

// take asks lim for n at most; when it gives fewer, wait is until the next one.
func take(lim *rate.Limiter, now time.Time, n int) (granted int, wait time.Duration) {
	if lim == nil {
		return n, 0
	}
	tokens := lim.TokensAt(now)
	granted = min(n, max(0, int(tokens)))
	if granted > 0 && !lim.AllowN(now, granted) {
		granted = 0
	}
	if granted == n {
		return n, 0
	}
	missing := 1 - (tokens - float64(granted))
	return granted, max(time.Millisecond, seconds(missing/float64(lim.Limit())))
}

// maxWait bounds what is answered to "when": asking again costs nothing.
const maxWait = time.Hour

// seconds is a duration within 0 and maxWait, whatever the float.
func seconds(s float64) time.Duration {
	if !(s < maxWait.Seconds()) {
		return maxWait
	}
	return time.Duration(s * float64(time.Second))
}
