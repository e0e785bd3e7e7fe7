package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/problem"
)

// LoadProgress is told how far a load has come, now and then.
type LoadProgress func(rows, rejected uint64)

// Load brings a campaign into the ledger, or finds it there: the same id goes
// on and never starts over. What is frozen must not have changed since; what
// may change is taken over. A mistake of the person's is a problem.List.
func (e *Engine) Load(ctx context.Context, c *campaign.Campaign, stdin io.Reader, progress LoadProgress) (*ledger.Campaign, error) {
	loaded, err := e.ledger.Campaign(c.ID)
	switch {
	case errors.Is(err, ledger.ErrNoCampaign):
		return e.load(ctx, c, stdin, progress)
	case err != nil:
		return nil, err
	}
	meta, err := loaded.Meta()
	if err != nil {
		return nil, err
	}
	snapshot, err := campaign.DecodeSnapshot(meta.Snapshot)
	if err != nil {
		return nil, err
	}
	if err := snapshot.Compare(c); err != nil {
		return nil, err
	}
	return loaded, loaded.SetSettings(ctx, c.Settings.Encode())
}

func (e *Engine) load(ctx context.Context, c *campaign.Campaign, stdin io.Reader, progress LoadProgress) (*ledger.Campaign, error) {
	never, problems := e.suppression(c.Settings)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	rows, err := campaign.Open(c, stdin)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	snapshot, err := campaign.Freeze(c)
	if err != nil {
		return nil, err
	}
	frozen, err := snapshot.Encode()
	if err != nil {
		return nil, err
	}
	loader, err := e.ledger.Create(ctx, ledger.Meta{Name: c.ID, Snapshot: frozen, Settings: c.Settings.Encode()})
	if err != nil {
		return nil, err
	}
	if err := copyRows(ctx, loader, rows, never, progress); err != nil {
		return nil, errors.Join(err, loader.Abort())
	}
	columns, err := json.Marshal(rows.Columns())
	if err != nil {
		return nil, errors.Join(err, loader.Abort())
	}
	loaded, err := loader.Commit(ctx, columns, rows.Rows())
	if err != nil {
		return nil, fmt.Errorf("load campaign %s: %w", c.ID, err)
	}
	return loaded, nil
}

// copyRows reads every row into the loader: accepted or rejected, none is lost.
func copyRows(ctx context.Context, loader *ledger.Loader, rows *campaign.Reader, never []*campaign.Suppression, progress LoadProgress) error {
	const often = 1 << 14
	var rejected uint64
	for n := uint64(1); ; n++ {
		row, reject, err := rows.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case reject != nil:
			rejected++
			err = loader.Reject(ledger.Reject{
				Seq: ledger.Seq(reject.Seq), File: reject.File, Line: reject.Line,
				Reason: string(reject.Reason), Detail: reject.Detail, Address: reject.Address,
			})
		default:
			err = loader.Add(ledger.Row{
				Seq: ledger.Seq(row.Seq), File: row.File, Line: row.Line,
				Local: row.Local, Domain: row.Domain, Fields: row.Fields,
				Suppressed: suppressed(never, row.Local, row.Domain),
			})
		}
		if err != nil {
			return err
		}
		if n%often == 0 {
			if progress != nil {
				progress(n, rejected)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
}

// suppression is the lists that apply to a campaign: the configuration's and
// its own.
func (e *Engine) suppression(s campaign.Settings) ([]*campaign.Suppression, problem.List) {
	own, problems := campaign.ReadSuppression(s.Suppress...)
	return []*campaign.Suppression{e.never, own}, problems
}

func suppressed(lists []*campaign.Suppression, local, domain []byte) bool {
	for _, l := range lists {
		if l.Suppressed(local, domain) {
			return true
		}
	}
	return false
}
