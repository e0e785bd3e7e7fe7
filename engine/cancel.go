package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// Run is the run of the campaign with this id; nil: there is none, or one that
// ended some time ago.
func (e *Engine) Run(id string) *Run {
	e.routing.Lock()
	defer e.routing.Unlock()
	for _, r := range e.runs {
		if r.campaign.Name() == id {
			return r
		}
	}
	return nil
}

// Cancel ends a campaign for good: once it returns nothing of it is handed to a
// connection, and the mark is on disk. What is on the wire finishes and is
// recorded, and a load beside it ends with the rows that it has; the run is
// finished after that. Once more is no mistake.
// ErrFinished: there was nothing left to cancel.
func (e *Engine) Cancel(ctx context.Context, c *ledger.Campaign) error {
	e.steering.Lock()
	defer e.steering.Unlock()
	switch t := c.Totals(); {
	case !t.Cancelled.IsZero():
		return nil
	case !t.Finished.IsZero():
		return fmt.Errorf("cancel campaign %s: %w", c.Name(), ErrFinished)
	}
	draining := e.ctx.Err() != nil
	r := e.Run(c.Name())
	if draining {
		r = nil // Drain has ended it, or is about to
	}
	if r != nil {
		e.halt(r)
	}
	// When this fails nothing more goes out all the same; a restart goes on.
	if err := c.MarkCancelled(ctx, e.now()); err != nil {
		return fmt.Errorf("cancel campaign %s: %w", c.Name(), err)
	}
	e.log.Info("campaign cancelled", "campaign", c.Name())
	switch {
	case r != nil:
		r.check()
	case !draining:
		return conclude(ctx, c, e.now()) // nobody sends it: it ends here
	}
	return nil
}

// halt takes a run's recipients out of all lanes and keeps new ones from
// coming.
func (e *Engine) halt(r *Run) {
	r.cancelled.Store(true)
	if r.stream != nil {
		r.stream.stop()
	}
	lanes := e.allLanes()
	applyHolds(lanes...)
	for _, l := range lanes {
		idle, unsent := l.empty(r)
		r.left(int64(len(idle)))
		for _, u := range unsent {
			e.handBack(u)
		}
	}
	e.releaseRows(r)
	select {
	case r.goOn <- struct{}{}:
	default:
	}
}

// Continue starts every campaign that is not finished, but for those that wait
// to be asked for, and ends what a crash left of cancelled ones. A campaign that
// cannot be started is logged, and others go on.
func (e *Engine) Continue(ctx context.Context) error {
	all, err := e.ledger.Campaigns()
	if err != nil {
		return err
	}
	for _, c := range all {
		t := c.Totals()
		switch {
		case !t.Finished.IsZero():
		case !t.Cancelled.IsZero():
			err = conclude(ctx, c, e.now())
		default:
			var begin bool
			if begin, err = begins(c); begin {
				_, err = e.Start(ctx, c)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			e.log.Error("campaign does not go on", "campaign", c.Name(), "error", err)
		}
	}
	return nil
}

// begins reports whether a campaign goes on by itself; not one that nobody has
// asked for yet.
func begins(c *ledger.Campaign) (bool, error) {
	s, err := settingsOf(c)
	return !s.OnDemand, err
}

func settingsOf(c *ledger.Campaign) (s campaign.Settings, err error) {
	meta, err := c.Meta()
	if err == nil {
		s, err = campaign.DecodeSettings(meta.Settings)
	}
	return s, err
}

// asked notes that a campaign is to be sent, from now on also after a restart.
func asked(ctx context.Context, c *ledger.Campaign) error {
	s, err := settingsOf(c)
	if err != nil || !s.OnDemand {
		return err
	}
	s.OnDemand = false
	return c.SetSettings(ctx, s.Encode())
}

// conclude settles whom a crash left on the wire of a campaign that was
// cancelled: they may have been sent, and are not tried again.
func conclude(ctx context.Context, c *ledger.Campaign, now time.Time) error {
	if _, err := c.Resume(ctx, now, ledger.Hold); err != nil {
		return err
	}
	return c.MarkFinished(ctx, now)
}

// dropDone forgets runs that are finished, so that a process that sends for
// months stays small. The last ones stay until another begins, for the display.
func (e *Engine) dropDone() {
	e.routing.Lock()
	for _, r := range e.runs {
		if r.Done() {
			for _, s := range e.sites {
				s.shares.Leave(r)
			}
			e.refusals.site.shares.Leave(r)
			e.work.leave(r)
			e.lookups.leave(r)
		}
	}
	e.runs = slices.DeleteFunc(e.runs, (*Run).Done)
	e.routing.Unlock()
	for _, l := range e.allLanes() {
		l.mu.Lock()
		for r, f := range l.byRun {
			if r.Done() && !f.listed && f.reading == 0 && f.reserved == 0 {
				delete(l.byRun, r)
			}
		}
		l.mu.Unlock()
	}
}
