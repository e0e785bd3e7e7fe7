package engine

import (
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/pause"
	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/throttle"
)

// SiteCondition says in a word how a site stands. Closed set.
type SiteCondition string

const (
	// SitePaused: held for all campaigns.
	SitePaused SiteCondition = "paused"
	// SiteResting: it objected, and nothing goes out for a while.
	SiteResting SiteCondition = "resting"
	// SiteSlowed: it objected, and is sent less than its limits would allow.
	SiteSlowed SiteCondition = "slowed"
	// SiteSending: connections are open.
	SiteSending SiteCondition = "sending"
	// SiteWaiting: there is somebody to be tried, but no connection.
	SiteWaiting SiteCondition = "waiting"
	// SiteIdle: there is nobody.
	SiteIdle SiteCondition = "idle"
)

// SiteConditions is all there are.
func SiteConditions() []SiteCondition {
	return []SiteCondition{SitePaused, SiteResting, SiteSlowed, SiteSending, SiteWaiting, SiteIdle}
}

// SiteState is all that is known of one site at a moment. Counters are since the
// start of this process.
type SiteState struct {
	SiteProgress
	Condition SiteCondition
	Backlog   ledger.Backlog
	// Connecting are connections on the way, InFlight messages sent and not
	// answered.
	Connecting, InFlight int
	// Rate is the answers a second over the last 5 to 10 seconds.
	Rate float64
	// Deferrals is the share of answers that deferred over the last minute or
	// less, 0 to 1.
	Deferrals float64
	// Replies are the last answers that were no plain success, the newest first.
	Replies []Reply
	// Sources is what the site is held to, and how it stands, source by source.
	Sources []SiteSource
	Hosts   []pool.HostSnapshot
	// Campaigns is Backlog by campaign; only Engine.Site fills it.
	Campaigns []CampaignBacklog
}

// SiteSource is one source at one site.
type SiteSource struct {
	Source      string
	Connections int
	// Rate is the messages a second that were answered over the last 5 to 10
	// seconds, but for refusals of us as sender.
	Rate float64

	ConnectionLimit       Bound
	ConnectionRate        Bound
	MessageRate           Bound
	MessagesPerConnection Bound

	// Backoff is why less goes out than the limits allow: a kind of trouble
	// (connections, rate, busy, reputation, unreachable); empty: it does not.
	Backoff string
	// Since and NextTry are as throttle.Snapshot has them; RestsUntil is set
	// while nothing goes out at all; Probing: one at a time, after a rest.
	Since, NextTry, RestsUntil time.Time
	Probing                    bool
}

// Bound is a limit that applies now and where it comes from.
type Bound struct {
	// Value is connections, messages, or events a second; 0: no limit.
	Value float64
	// Origin is "default", a place such as "penstock.yaml:12", "set" (by
	// SetSiteLimits) or "learned".
	Origin string
	// Until is when it ends, where that is known.
	Until time.Time
}

const (
	originSet     = "set"
	originLearned = "learned"
)

// Site is all that is known of one site; ok is false when there is nothing. One
// without lanes may still have a backlog, pauses, limits and what was learned.
// It looks at every domain of every campaign that is being sent. Any goroutine.
func (e *Engine) Site(name string) (s SiteState, ok bool) {
	now := e.now()
	campaigns := e.backlogAt(name, now)
	var backlog ledger.Backlog
	for _, c := range campaigns {
		backlog.Add(c.Backlog)
	}
	live := e.siteNamed(name)
	s = e.stateOf(name, live, backlog, now)
	s.Campaigns = campaigns
	_, limited := e.SiteLimits(name)
	known := live != nil || len(campaigns) > 0 || len(s.Sources) > 0 || limited || s.Condition == SitePaused
	return s, known
}

// stateOf puts together what is known; live is nil where nothing is sent to now.
func (e *Engine) stateOf(name string, live *site, backlog ledger.Backlog, now time.Time) SiteState {
	s := SiteState{SiteProgress: SiteProgress{Site: name}, Backlog: backlog}
	if live != nil {
		s.SiteProgress = live.progress(now)
		s.Rate, s.Deferrals = live.tempo.measure(live.sample(now))
		s.Replies = live.replies.last()
		snap := live.pool.Snapshot()
		s.Connecting, s.InFlight, s.Hosts = snap.Connecting, snap.InFlight, snap.Hosts
	}
	for _, from := range e.config.Sources {
		if l := e.throttle.Find(name, from.Name); l != nil {
			s.Sources = append(s.Sources, e.atSource(name, l.Snapshot(now)))
		}
	}
	s.Condition = e.condition(name, &s)
	return s
}

// atSource tells one limiter's state and where its bounds come from.
func (e *Engine) atSource(site string, snap throttle.Snapshot) SiteSource {
	set, isSet := e.SiteLimits(site)
	bound := func(key string, configured, now, override float64) Bound {
		b := Bound{Value: now, Origin: e.latest.Load().LimitOrigin(site, key).String()}
		switch {
		case now != configured:
			b.Origin, b.Until = originLearned, snap.NextTry
		case isSet && override > 0:
			b.Origin, b.Until = originSet, set.Until
		}
		return b
	}
	l := &snap.Limits
	connectionRate, messageRate := bounded(l.ConnectionRate), bounded(l.MessageRate)
	perConnection := float64(l.MessagesPerConnection)
	return SiteSource{
		Source: snap.Source, Connections: snap.Open, Rate: snap.Achieved,
		ConnectionLimit:       bound("connections", float64(l.Connections), float64(snap.Connections), float64(set.Connections)),
		ConnectionRate:        bound("connection_rate", connectionRate, connectionRate, 0),
		MessageRate:           bound("message_rate", messageRate, snap.MessageRate, set.MessageRate),
		MessagesPerConnection: bound("messages_per_connection", perConnection, perConnection, 0),
		Backoff:               snap.Reason, Since: snap.Since, NextTry: snap.NextTry,
		RestsUntil: snap.RestsUntil, Probing: snap.Probing,
	}
}

// bounded is a rate in events a second, 0 for no limit.
func bounded(r throttle.Rate) float64 {
	if r.Count == 0 || r == throttle.Unlimited {
		return 0
	}
	return r.PerSecond()
}

// condition is the one thing to know of a site.
func (e *Engine) condition(name string, s *SiteState) SiteCondition {
	resting, slowed := len(s.Sources) > 0, false
	for i := range s.Sources {
		resting = resting && !s.Sources[i].RestsUntil.IsZero()
		slowed = slowed || s.Sources[i].Backoff != ""
	}
	switch {
	case len(e.pauses.Holds(pause.Scope{Site: name})) > 0 || len(e.pauses.Holds(pause.Scope{})) > 0:
		return SitePaused
	case resting:
		return SiteResting
	case slowed:
		return SiteSlowed
	case s.Connections > 0:
		return SiteSending
	case s.Backlog != (ledger.Backlog{}):
		return SiteWaiting
	}
	return SiteIdle
}
