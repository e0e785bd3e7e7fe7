package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// Errors of Clone that callers branch on, besides *campaign.Copied.
var (
	// ErrCopy is a copy that makes no sense; the text says why.
	ErrCopy = errors.New("wrong copy")
	// ErrNotYet is a copy of recipients who may still be sent to.
	ErrNotYet = errors.New("they may still be sent to")
	// ErrNobody is a copy without recipients.
	ErrNobody = errors.New("there is nobody to copy")
	// ErrBusy is a campaign whose id is being loaded or copied to.
	ErrBusy = errors.New("a campaign of that id is being made")
)

// ReasonErased is the reject reason of a recipient of a copied campaign whose
// address was erased since.
const ReasonErased = "erased"

// Copy says what to copy.
type Copy struct {
	// From is the campaign to copy, ID what the copy is called.
	From, ID string
	// States are those of the recipients to copy, at least one.
	States []ledger.State
}

// Clone makes a campaign of those recipients of another one that are in the
// given states, as of one moment: with their merge fields, the same content and
// the same settings but for start_at. It waits to be started. All of it is there
// when it returns, or after an error or a crash nothing is; memory does not grow
// with the list. The rows are numbered anew, by domain. Who was erased becomes a
// rejected row; the suppression lists of now apply.
//
// The same copy once more is the first one's. *campaign.Copied: another campaign
// has the id. ErrCopy, ErrNotYet, ErrNobody, ErrBusy and ledger.ErrNoCampaign say
// why there is none; a problem.List what is wrong with a suppression list. Any
// goroutine.
func (e *Engine) Clone(ctx context.Context, o Copy) (*ledger.Campaign, error) {
	if err := errors.Join(ctx.Err(), o.check()); err != nil {
		return nil, err
	}
	made, err := e.copied(&o)
	if !errors.Is(err, ledger.ErrNoCampaign) {
		return made, err
	}
	from, err := e.ledger.Campaign(o.From)
	if err != nil {
		return nil, err
	}
	if err := o.settled(from); err != nil {
		return nil, err
	}
	ld, columns, never, err := e.beginCopy(ctx, &o, from)
	if errors.Is(err, ledger.ErrExists) {
		// Somebody was faster: with the same, or he is still at it.
		if made, err := e.copied(&o); !errors.Is(err, ledger.ErrNoCampaign) {
			return made, err
		}
		return nil, fmt.Errorf("copy %s to %s: %w: ask again when that is done", o.From, o.ID, ErrBusy)
	}
	if err != nil {
		return nil, fmt.Errorf("copy %s to %s: %w", o.From, o.ID, err)
	}
	rows, err := copyRows(ctx, ld, from, o.States, never)
	if err == nil && rows == 0 {
		err = fmt.Errorf("%w: of campaign %s nobody is %s", ErrNobody, o.From, strings.Join(stateNames(o.States), " or "))
	}
	if err == nil {
		made, err = ld.Commit(ctx, columns, rows)
	}
	if err != nil {
		return nil, fmt.Errorf("copy %s to %s: %w", o.From, o.ID, errors.Join(err, ld.Abort()))
	}
	e.log.Info("campaign copied", "campaign", o.From, "copy", o.ID, "recipients", made.Totals().Loaded)
	return made, nil
}

// check says what is wrong with the request itself, and puts it in order.
func (o *Copy) check() error {
	if err := campaign.CheckID(o.ID); err != nil {
		return fmt.Errorf("%w: %w", ErrCopy, err)
	}
	slices.Sort(o.States)
	o.States = slices.Compact(o.States)
	switch {
	case o.ID == o.From:
		return fmt.Errorf("%w: the copy needs an id of its own", ErrCopy)
	case len(o.States) == 0:
		return fmt.Errorf("%w: say in which states the recipients are to be, such as bounced and expired", ErrCopy)
	case slices.Contains(o.States, ledger.Pending), slices.Contains(o.States, ledger.Deferred):
		return fmt.Errorf("%w: who is pending or deferred is still to be sent to by %s; cancel it, and copy those who are cancelled", ErrCopy, o.From)
	case slices.Contains(o.States, ledger.Suppressed):
		return fmt.Errorf("%w: who was suppressed when %s was loaded stays so; load those anew who are to be written to after all", ErrCopy, o.From)
	}
	return nil
}

// settled says which of the states are not final yet in the campaign.
func (o *Copy) settled(from *ledger.Campaign) error {
	t := from.Totals()
	if !t.Finished.IsZero() {
		return nil
	}
	if !t.Cancelled.IsZero() {
		return fmt.Errorf("copy %s: %w: it is cancelled, and servers have not answered yet for what was on the wire; copy it when it is finished", o.From, ErrNotYet)
	}
	if !slices.Contains(o.States, ledger.Uncertain) {
		return nil
	}
	s, err := settingsOf(from)
	if err != nil || s.OnUncertain == campaign.HoldUncertain {
		return err
	}
	return fmt.Errorf("copy %s: %w: who is uncertain is tried again there; copy them when it is finished", o.From, ErrNotYet)
}

func stateNames(states []ledger.State) []string {
	list := make([]string, len(states))
	for i, s := range states {
		list[i] = s.String()
	}
	return list
}

// copied is the campaign that has the copy's id, if it is this copy.
func (e *Engine) copied(o *Copy) (*ledger.Campaign, error) {
	there, err := e.ledger.Campaign(o.ID)
	if err != nil {
		return nil, err
	}
	meta, err := there.Meta()
	if err != nil {
		return nil, err
	}
	snapshot, err := campaign.DecodeSnapshot(meta.Snapshot)
	if err != nil {
		return nil, err
	}
	if err := snapshot.CompareOrigin(o.From, stateNames(o.States)); err != nil {
		return nil, err
	}
	from, err := e.ledger.Campaign(o.From)
	if err == nil && from.Number() != snapshot.Origin.Number {
		return nil, &campaign.Copied{ID: o.ID, What: []string{fmt.Sprintf("it is a copy of an earlier campaign %s, which was deleted", o.From)}}
	}
	return there, nil
}

// beginCopy creates the copy, to be filled.
func (e *Engine) beginCopy(ctx context.Context, o *Copy, from *ledger.Campaign) (ld *ledger.Loader, columns []byte, never []*campaign.Suppression, err error) {
	meta, err := from.Meta()
	if err != nil {
		return nil, nil, nil, err
	}
	snapshot, err := campaign.DecodeSnapshot(meta.Snapshot)
	if err != nil {
		return nil, nil, nil, err
	}
	settings, err := campaign.DecodeSettings(meta.Settings)
	if err != nil {
		return nil, nil, nil, err
	}
	own, problems := e.ownSuppression(o.From, settings)
	if err := problems.Err(); err != nil {
		return nil, nil, nil, err
	}
	never = []*campaign.Suppression{e.never.Load(), own}
	settings.StartAt, settings.OnDemand, settings.Intake = time.Time{}, true, ""
	frozen, err := snapshot.CopyAs(o.ID, campaign.Origin{Campaign: o.From, Number: from.Number(), States: stateNames(o.States)}).Encode()
	if err != nil {
		return nil, nil, nil, err
	}
	ld, err = e.ledger.Create(ctx, ledger.Meta{Name: o.ID, Snapshot: frozen, Settings: settings.Encode(), Columns: meta.Columns})
	return ld, meta.Columns, never, err
}

// copyRows streams the recipients over and says how many there were.
func copyRows(ctx context.Context, ld *ledger.Loader, from *ledger.Campaign, states []ledger.State, never []*campaign.Suppression) (rows uint64, err error) {
	var local, domain []byte
	err = from.Outcomes(ctx, ledger.Listing{Filter: ledger.Filter{States: states}, Erased: true, Bare: true}, func(o *ledger.Outcome) error {
		rows++
		if o.Erased {
			return ld.Reject(ledger.Reject{Seq: ledger.Seq(rows), Reason: ReasonErased, Detail: fmt.Sprintf("row %d of campaign %s was erased", o.Seq, from.Name())})
		}
		local, domain = append(local[:0], o.Local...), append(domain[:0], o.Domain...)
		return ld.Add(ledger.Row{Seq: ledger.Seq(rows), Local: local, Domain: domain, Fields: o.Fields, Suppressed: suppressed(never, local, domain)})
	})
	return rows, err
}
