package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/pause"
)

// Delete removes a campaign that has ended, with all that is known of its
// recipients; see [ledger.Campaign.Delete]. Its pauses and what sites refused of
// it go with it. ledger.ErrNotEnded: it has not ended, and the text says what to
// do; ledger.ErrNoCampaign: it is gone already. Any goroutine.
func (e *Engine) Delete(ctx context.Context, c *ledger.Campaign) error {
	e.steering.Lock()
	defer e.steering.Unlock()
	if r := e.Run(c.Name()); r != nil && !r.Done() && !c.Totals().Cancelled.IsZero() {
		return fmt.Errorf("delete campaign %s: %w: it is cancelled, and servers have not answered yet for what was on the wire; delete it when it is finished", c.Name(), ledger.ErrNotEnded)
	}
	if err := DeleteEnded(ctx, c, e.now()); err != nil {
		return err
	}
	e.dropDone()
	e.pauses.Forget(c.Name())
	e.log.Info("campaign deleted", "campaign", c.Name())
	return nil
}

// DeleteEnded is Delete for a ledger that no engine has. What a crash left on
// the wire of a cancelled campaign is settled first, at now.
func DeleteEnded(ctx context.Context, c *ledger.Campaign, now time.Time) error {
	switch t := c.Totals(); {
	case !t.Finished.IsZero():
	case !t.Cancelled.IsZero():
		if err := conclude(ctx, c, now); err != nil {
			return fmt.Errorf("delete campaign %s: %w", c.Name(), err)
		}
	default:
		return fmt.Errorf("delete campaign %s: %w: cancel it first, or wait for its last recipient", c.Name(), ledger.ErrNotEnded)
	}
	return c.Delete(ctx, learnedBreaker, pause.Kind)
}
