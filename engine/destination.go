package engine

import (
	"sync/atomic"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
)

// destination is one domain of one campaign on its way through the engine.
// There may be hundreds of thousands, so it is small.
//
// It is in one place at a time: being looked up, active in a flow, or waiting
// in the timetable (it may wait there for a retry while it is active, too).
type destination struct {
	domain *ledger.Domain
	run    *Run

	// flow is where it was routed to last; nil: not yet.
	flow atomic.Pointer[flow]
	// expires is when the route must be looked up again, in Unix milliseconds.
	expires atomic.Int64

	// refusal is set where the domain accepts no mail: its recipients bounce.
	refusal atomic.Pointer[unsent]
	// looking: a look-up is under way or stands in line.
	looking atomic.Bool
	// missed: another look-up was wanted during that one.
	missed atomic.Bool
	// tries counts look-ups in a row that found nothing out. Look-up only.
	tries uint8

	// active: stands in flow.destinations or is being read. A new route may
	// come while it is active in the lane of the old one: it stays there until
	// it has run dry.
	active atomic.Bool
	// counted is its share of lane.waiting; guarded by the lane's mu while active.
	counted int

	due  time.Time // guarded by timetable.mu
	slot int       // place in the timetable, -1: none; guarded by timetable.mu
}

func newDestination(r *Run, domain *ledger.Domain) *destination {
	return &destination{run: r, domain: domain, slot: -1}
}

func (d *destination) setFlow(f *flow)         { d.flow.Store(f) }
func (d *destination) currentFlow() *flow      { return d.flow.Load() }
func (d *destination) setExpires(t time.Time)  { d.expires.Store(t.UnixMilli()) }
func (d *destination) routeExpires() time.Time { return time.UnixMilli(d.expires.Load()) }
