package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/problem"
)

// LoadProgress is told how far a load has come, now and then.
type LoadProgress func(rows, rejected uint64)

// Load brings a campaign into the ledger, or finds it there: the same id goes
// on and never starts over. What is frozen must not have changed since; what
// may change is taken over. A mistake of the person's is a problem.List.
//
// ErrPartly: a load beside sending was cut short; Stream goes on with it.
func (e *Engine) Load(ctx context.Context, c *campaign.Campaign, stdin io.Reader, progress LoadProgress) (*ledger.Campaign, error) {
	loaded, err := e.found(ctx, c)
	switch {
	case errors.Is(err, ledger.ErrNoCampaign):
		return e.load(ctx, c, stdin, progress)
	case err != nil:
		return nil, err
	case loaded.Totals().Streaming:
		return nil, fmt.Errorf("campaign %s: %w", c.ID, ErrPartly)
	}
	return loaded, nil
}

// found is the campaign that is there under the same id, if nothing frozen of
// it has changed; what may change is taken over.
func (e *Engine) found(ctx context.Context, c *campaign.Campaign) (*ledger.Campaign, error) {
	loaded, err := e.ledger.Campaign(c.ID)
	if err != nil {
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
	in, err := e.openRows(c, stdin, progress)
	if err != nil {
		return nil, err
	}
	defer in.rows.Close()
	if err := e.create(ctx, c, in); err != nil {
		return nil, err
	}
	if _, err := in.copy(ctx, 0); err != nil {
		return nil, errors.Join(err, in.loader.Abort())
	}
	loaded, err := in.commit(ctx)
	if err != nil {
		return nil, fmt.Errorf("load campaign %s: %w", c.ID, err)
	}
	return loaded, nil
}

// intake is rows on their way from the recipient files to the ledger.
type intake struct {
	rows     *campaign.Reader
	never    []*campaign.Suppression
	progress LoadProgress
	loader   *ledger.Loader
	rejected uint64
}

// openRows readies the rows; their Close must follow.
func (e *Engine) openRows(c *campaign.Campaign, stdin io.Reader, progress LoadProgress) (*intake, error) {
	never, problems := e.suppression(c.Settings)
	if len(c.Suppress) > 0 {
		own, found := campaign.ReadSuppressionFiles(c.Suppress...)
		never, problems = append(never, own), append(problems, found...)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	rows, err := campaign.Open(c, stdin)
	if err != nil {
		return nil, err
	}
	return &intake{rows: rows, never: never, progress: progress}, nil
}

// create begins a new campaign.
func (e *Engine) create(ctx context.Context, c *campaign.Campaign, in *intake) error {
	snapshot, err := campaign.Freeze(c)
	if err != nil {
		return err
	}
	frozen, err := snapshot.Encode()
	if err != nil {
		return err
	}
	in.loader, err = e.ledger.Create(ctx, ledger.Meta{Name: c.ID, Snapshot: frozen, Settings: c.Settings.Encode()})
	return err
}

// commit ends the load.
func (in *intake) commit(ctx context.Context) (*ledger.Campaign, error) {
	columns, err := json.Marshal(in.rows.Columns())
	if err != nil {
		return nil, errors.Join(err, in.loader.Abort())
	}
	return in.loader.Commit(ctx, columns, in.rows.Rows())
}

// copy reads rows into the loader: accepted or rejected, none is lost. It stops
// behind row until, or at the end of all; 0: only there.
func (in *intake) copy(ctx context.Context, until uint64) (end bool, err error) {
	const often = 1 << 14
	for until == 0 || in.rows.Rows() < until {
		row, reject, err := in.rows.Next()
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return false, err
		case reject != nil:
			in.rejected++
			err = in.loader.Reject(ledger.Reject{
				Seq: ledger.Seq(reject.Seq), File: reject.File, Line: reject.Line,
				Reason: string(reject.Reason), Detail: reject.Detail, Address: reject.Address,
			})
		default:
			err = in.loader.Add(ledger.Row{
				Seq: ledger.Seq(row.Seq), File: row.File, Line: row.Line,
				Local: row.Local, Domain: row.Domain, Fields: row.Fields,
				Suppressed: suppressed(in.never, row.Local, row.Domain),
			})
		}
		if err != nil {
			return false, err
		}
		if n := in.rows.Rows(); n%often == 0 {
			if in.progress != nil {
				in.progress(n, in.rejected)
			}
			if err := ctx.Err(); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// ownSuppression reads the lists of a loaded campaign as they are now, for whom
// they name since it was loaded. Who was suppressed then stays so in the ledger
// and in every copy, which takes nobody over who is. So a list that is gone only
// adds nobody any more, and does not keep what is loaded from being sent; one
// that is there and cannot be read does.
func (e *Engine) ownSuppression(id string, s campaign.Settings) (*campaign.Suppression, problem.List) {
	var there []string
	for _, name := range s.Suppress {
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			e.log.Warn("suppression list is gone: it holds as it was when the campaign was loaded", "campaign", id, "list", name)
			continue
		}
		there = append(there, name)
	}
	return campaign.ReadSuppression(there...)
}

// suppression is the lists that apply to rows from files: the configuration's
// and the campaign's own.
func (e *Engine) suppression(s campaign.Settings) ([]*campaign.Suppression, problem.List) {
	own, problems := campaign.ReadSuppression(s.Suppress...)
	return []*campaign.Suppression{e.never.Load(), own}, problems
}

func suppressed(lists []*campaign.Suppression, local, domain []byte) bool {
	for _, l := range lists {
		if l.Suppressed(local, domain) {
			return true
		}
	}
	return false
}
