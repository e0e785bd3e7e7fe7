package engine

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/penstock-mail/penstock/engine/ledger"
)

// SiteOrder is what a list of sites is sorted by; the name decides between
// equals. Closed set.
type SiteOrder string

const (
	// ByActivity: most connections first, then most answers.
	ByActivity SiteOrder = "activity"
	// ByBacklog: most to be tried first.
	ByBacklog SiteOrder = "backlog"
	// ByRate: most answers a second first.
	ByRate SiteOrder = "rate"
	// ByDeferrals: largest share of deferrals first.
	ByDeferrals SiteOrder = "deferrals"
	// ByName: in the order of their names.
	ByName SiteOrder = "name"
)

// SiteOrders is all there are.
func SiteOrders() []SiteOrder {
	return []SiteOrder{ByActivity, ByBacklog, ByRate, ByDeferrals, ByName}
}

// SiteQuery chooses sites. The zero value means all, by activity.
type SiteQuery struct {
	Order SiteOrder
	// Name is a part of the name, Conditions those wanted; empty: any.
	Name       string
	Conditions []SiteCondition
	// Most is how many to give, from the one behind After on.
	Most  int
	After SitePlace
}

// SitePlace is a site's place in an order: where a list goes on. Between two
// pages sites move, so one may come twice or not at all; by name none does. The
// zero place is before all.
type SitePlace struct {
	Rank, Rank2 float64
	Name        string
}

// compare has the larger ranks first.
func (p SitePlace) compare(q SitePlace) int {
	return cmp.Or(cmp.Compare(q.Rank, p.Rank), cmp.Compare(q.Rank2, p.Rank2), cmp.Compare(p.Name, q.Name))
}

// Sites is a page of those that are sent to now or have somebody waiting; more
// is where the next one begins, zero after the last. Any goroutine.
func (e *Engine) Sites(q SiteQuery) (page []SiteState, more SitePlace) {
	now := e.now()
	backlog := e.census()
	e.routing.Lock()
	live := maps.Clone(e.sites)
	e.routing.Unlock()
	for name := range backlog {
		if _, ok := live[name]; !ok {
			live[name] = nil
		}
	}
	places := make([]SitePlace, 0, len(live))
	for name, s := range live {
		p := q.place(name, s, backlog[name], e)
		if strings.Contains(name, q.Name) && (q.After.Name == "" || p.compare(q.After) > 0) {
			places = append(places, p)
		}
	}
	slices.SortFunc(places, SitePlace.compare)
	for i, p := range places {
		s := e.stateOf(p.Name, live[p.Name], backlog[p.Name], now)
		if len(q.Conditions) > 0 && !slices.Contains(q.Conditions, s.Condition) {
			continue
		}
		if page = append(page, s); len(page) == q.Most && i+1 < len(places) {
			return page, p
		}
	}
	return page, SitePlace{}
}

// place is where the order has a site; s is nil for one that is not sent to.
func (q *SiteQuery) place(name string, s *site, b ledger.Backlog, e *Engine) SitePlace {
	p := SitePlace{Name: name}
	switch {
	case q.Order == ByBacklog:
		p.Rank = float64(b.Pending + b.Waiting)
	case s == nil || q.Order == ByName:
	case q.Order == ByRate:
		p.Rank, _ = s.tempo.measure(s.sample(e.now()))
	case q.Order == ByDeferrals:
		_, p.Rank = s.tempo.measure(s.sample(e.now()))
	default:
		p.Rank, p.Rank2 = float64(s.connections.Load()), float64(s.sample(e.now()).answers)
	}
	return p
}
