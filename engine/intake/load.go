package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/problem"
)

// loadAgain is how long a load waits that could not be done now, such as for
// want of space.
const loadAgain = 5 * time.Second

// run loads what is whole, one campaign after another, until Close.
func (s *Store) run() {
	for s.ctx.Err() == nil {
		in, wait := s.next(time.Now())
		if in != nil {
			s.load(in)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-s.wake:
		case <-timer.C:
		case <-s.ctx.Done():
		}
		timer.Stop()
	}
}

// next is the oldest intake that can be loaded now; nil: none can, and wait is
// when to look again.
func (s *Store) next(now time.Time) (best *intake, wait time.Duration) {
	s.mu.Lock()
	all := make([]*intake, 0, len(s.intakes))
	for _, in := range s.intakes {
		all = append(all, in)
	}
	s.mu.Unlock()
	wait = time.Hour // a poke comes before
	var since time.Time
	for _, in := range all {
		in.mu.Lock()
		switch {
		case in.manifest.State != Loading || in.dropped:
		case in.again.After(now):
			wait = min(wait, in.again.Sub(now))
		case best == nil || in.manifest.Created.Before(since):
			best, since = in, in.manifest.Created
		}
		in.mu.Unlock()
	}
	return best, wait
}

// load makes a campaign of an intake, or finds out why not.
func (s *Store) load(in *intake) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	in.mu.Lock()
	if in.dropped {
		in.mu.Unlock()
		return
	}
	in.cancel, in.loaded = cancel, make(chan struct{})
	in.rows, in.rejected, in.waits = 0, 0, ""
	in.mu.Unlock()
	defer func() {
		in.mu.Lock()
		in.cancel = nil
		close(in.loaded)
		in.mu.Unlock()
	}()
	c, err := s.take(ctx, in)
	wasLoaded := err == nil
	if wasLoaded {
		err = s.finish(in, c)
	}
	switch {
	case err == nil:
		s.log.Info("campaign loaded", "campaign", in.id, "recipients", c.Totals().Loaded)
	case ctx.Err() != nil && !wasLoaded:
		// Dropped, or the process ends: the next one loads it again.
	case wasLoaded || passing(err):
		s.log.Warn("campaign cannot be loaded now", "campaign", in.id, "error", err)
		again := loadAgain
		if s.tuning.again > 0 {
			again = s.tuning.again
		}
		in.mu.Lock()
		in.settled = false
		in.waits, in.again = "it is not loaded yet: "+err.Error(), time.Now().Add(again)
		in.mu.Unlock()
	default:
		s.log.Warn("campaign is broken: nothing of it was loaded", "campaign", in.id, "error", err)
		in.breaks(err)
	}
}

// passing reports whether an error may be none the next time: it has nothing to
// do with what was sent.
func passing(err error) bool {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return true
	}
	return errors.Is(err, ledger.ErrLowSpace) || errors.Is(err, ledger.ErrExists) || errors.Is(err, ledger.ErrClosed)
}

// breaks notes why the campaign can never be loaded.
func (in *intake) breaks(err error) {
	var problems problem.List
	one, isOne := errors.AsType[problem.Problem](err)
	switch {
	case errors.As(err, &problems):
	case isOne:
		problems = problem.List{one}
	default:
		problems.Add("", 0, 0, "", "%v", err)
	}
	// Warnings were told of when it was created.
	problems = slices.DeleteFunc(slices.Clone(problems), func(p problem.Problem) bool { return p.Warning })
	in.mu.Lock()
	defer in.mu.Unlock()
	in.manifest.State, in.manifest.Problems = Broken, problems
	if err := in.manifest.write(in.dir); err != nil {
		// It is broken as long as this process lives, and found so by the next.
		in.store.log.Error("it cannot be noted that a campaign is broken", "campaign", in.id, "error", err)
	}
}

// take has the campaign in the ledger when it returns.
func (s *Store) take(ctx context.Context, in *intake) (*ledger.Campaign, error) {
	loaded, err := s.engine.Ledger().Campaign(in.id)
	switch {
	case errors.Is(err, ledger.ErrNoCampaign):
	case err != nil:
		return nil, err
	default:
		// A crash came between the load and the end of the intake; or it was loaded
		// another way meanwhile, from the same files or others.
		if own, err := in.made(loaded); own || err != nil {
			return loaded, err
		}
	}
	sums, err := in.sums(ctx)
	if err != nil {
		return nil, err
	}
	c, problems := s.parse([]byte(in.manifest.Definition), in.sources())
	for _, was := range in.manifest.OnServer {
		if change := s.serverChange(was); change != "" {
			problems.Add(was.Name, 0, 0, "", "%s", change)
		}
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	for i := range c.Recipients {
		c.Recipients[i].SHA256 = sums[c.Recipients[i].Name]
	}
	if loaded != nil {
		snapshot, err := snapshotOf(loaded)
		if err != nil {
			return nil, err
		}
		return loaded, asDiffers(snapshot.Compare(c))
	}
	if err := s.step("load"); err != nil {
		return nil, err
	}
	in.mu.Lock()
	c.Settings.OnDemand, c.Settings.Intake = !in.manifest.Start, in.manifest.Token
	in.mu.Unlock()
	return s.engine.Load(ctx, c, nil, func(rows, rejected uint64) {
		in.mu.Lock()
		in.rows, in.rejected = rows, rejected
		in.mu.Unlock()
	})
}

// made reports whether the campaign came of this intake.
func (in *intake) made(c *ledger.Campaign) (bool, error) {
	meta, err := c.Meta()
	if err != nil {
		return false, err
	}
	settings, err := campaign.DecodeSettings(meta.Settings)
	in.mu.Lock()
	defer in.mu.Unlock()
	return settings.Intake == in.manifest.Token, err
}

// sums makes out the SHA-256 of each upload and holds it against what was
// announced.
func (in *intake) sums(ctx context.Context) (map[string]string, error) {
	var problems problem.List
	sums := make(map[string]string)
	in.mu.Lock()
	uploads := slices.Clone(in.manifest.Uploads)
	in.mu.Unlock()
	for i := range uploads {
		u := &uploads[i]
		sum, err := sumOf(ctx, in.uploads[i].path)
		if err != nil {
			return nil, err
		}
		if u.SHA256 != "" && u.SHA256 != sum {
			problems.Add(u.Name, 0, 0, "", "is not what was announced: its SHA-256 is %s, not %s; it changed while it was sent", sum, u.SHA256)
		}
		u.SHA256, sums[u.Name] = sum, sum
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	in.mu.Lock()
	in.manifest.Uploads = uploads
	in.mu.Unlock()
	return sums, nil
}

func sumOf(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h, buf := sha256.New(), make([]byte, 1<<20)
	for ctx.Err() == nil {
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", ctx.Err()
}

// finish ends an intake whose campaign is in the ledger: a record of it is
// remembered there, the campaign begins if it was to, and the folder goes. A
// crash between any of these is made good by the next process.
func (s *Store) finish(in *intake, c *ledger.Campaign) error {
	if err := s.step("loaded"); err != nil {
		return err
	}
	in.mu.Lock()
	in.settled = true
	record := in.manifest
	in.mu.Unlock()
	record.State, record.Number = Loaded, c.Number()
	l := s.engine.Ledger()
	if err := errors.Join(l.Learn(learned, in.id, record.encode()), l.Flush(context.Background())); err != nil {
		return fmt.Errorf("remember what campaign %s was made of: %w", in.id, err)
	}
	if err := s.step("remembered"); err != nil {
		return err
	}
	if t := c.Totals(); record.Start && t.Cancelled.IsZero() && t.Finished.IsZero() {
		if _, err := s.engine.Start(context.Background(), c); err != nil {
			s.log.Error("campaign was loaded, but does not start", "campaign", in.id, "error", err)
		}
	}
	if err := s.step("started"); err != nil {
		return err
	}
	return s.remove(in)
}

var _ campaign.Files = (*sources)(nil)
