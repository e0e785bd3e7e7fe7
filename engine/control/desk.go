package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/access"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/intake"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/pause"
)

// desk is where changes are made: by the engine where there is one, else in the
// ledger, which the next engine reads.
type desk struct {
	ledger  *ledger.Ledger
	engine  *engine.Engine // nil: this process does not send
	process Process        // nil: it cannot be ruled
	intakes *intake.Store  // nil: no campaigns are taken in
	// tokens are read when they are first needed.
	tokens  func() (*access.Tokens, error)
	now     func() time.Time
	started time.Time
	// patience is how long a stream waits for its client to read.
	patience time.Duration
	// watches are those who watch campaigns; connections, what they are shown of.
	watches     *watches
	connections connections
}

// nameOf is who pauses: whom the request names, as one program may speak for
// many people, or else its caller. The audit log has the caller either way.
func nameOf(ctx context.Context, by string) string {
	if by == "" {
		return access.From(ctx).Name
	}
	return by
}

// errNotSending is the answer to what only a process that sends can do.
var errNotSending = connect.NewError(connect.CodeFailedPrecondition,
	errors.New("nothing is being sent from this data directory: start penstock serve"))

// book is what is paused.
func (d *desk) book() (*pause.Book, error) {
	if d.engine != nil {
		return d.engine.Pauses(), nil
	}
	return pause.Open(d.ledger)
}

func (d *desk) pause(ctx context.Context, s pause.Scope, by, reason string) error {
	h := pause.Hold{Scope: s, Who: nameOf(ctx, by), Why: reason, Since: time.Now()}
	if d.engine != nil {
		return status(d.engine.Pause(ctx, h))
	}
	return d.write(ctx, func(b *pause.Book) error { return b.Add(h) })
}

func (d *desk) resume(ctx context.Context, s pause.Scope, by string, force bool) error {
	if d.engine != nil {
		return status(d.engine.Resume(ctx, s, nameOf(ctx, by), force))
	}
	return d.write(ctx, func(b *pause.Book) error { return b.Release(s, nameOf(ctx, by), force, time.Now()) })
}

// write changes the book in a ledger that no engine has; on disk when it
// returns.
func (d *desk) write(ctx context.Context, change func(*pause.Book) error) error {
	b, err := pause.Open(d.ledger)
	if err != nil {
		return status(err)
	}
	if err := change(b); err != nil {
		return status(err)
	}
	return status(d.ledger.Flush(ctx))
}

// held is who holds exactly this scope.
func (d *desk) held(s pause.Scope) ([]*pb.Pause, error) {
	b, err := d.book()
	if err != nil {
		return nil, status(err)
	}
	return pauses(b.Holds(s)), nil
}

func (d *desk) cancel(ctx context.Context, c *ledger.Campaign) error {
	if d.engine != nil {
		return status(d.engine.Cancel(ctx, c))
	}
	switch t := c.Totals(); {
	case !t.Cancelled.IsZero():
		return nil
	case !t.Finished.IsZero():
		return status(fmt.Errorf("cancel campaign %s: %w", c.Name(), engine.ErrFinished))
	}
	// Whom a crash left on the wire may have been sent to: that is their outcome,
	// and not that of the others.
	now := time.Now()
	if _, err := c.Resume(ctx, now, ledger.Hold); err != nil {
		return status(err)
	}
	if err := c.MarkCancelled(ctx, now); err != nil {
		return status(err)
	}
	return status(c.MarkFinished(ctx, now))
}

func (d *desk) delete(ctx context.Context, c *ledger.Campaign) error {
	if d.engine != nil {
		return status(d.engine.Delete(ctx, c))
	}
	return status(engine.DeleteEnded(ctx, c, time.Now()))
}

func pauses(holds []pause.Hold) []*pb.Pause {
	list := make([]*pb.Pause, len(holds))
	for i, h := range holds {
		list[i] = &pb.Pause{CampaignId: h.Scope.Campaign, Site: h.Scope.Site, Source: h.Scope.Source, By: h.Who, Reason: h.Why, Since: timestamppb.New(h.Since)}
	}
	return list
}
