package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// ErrNotEnded is returned by Delete for a campaign that may still change.
var ErrNotEnded = errors.New("campaign has not ended")

// Delete removes a campaign that is marked finished, with all that is known of
// its recipients: one range mark in each keyspace, in one commit, so that after
// a crash it is there wholly or not at all. Under each of the kinds, what was
// learned for the campaign goes with it: keys that are its name, a zero byte
// and more. ErrNotEnded: it is not finished, or rows of it are being loaded;
// ErrNoCampaign: it is gone already.
//
// Whoever holds a handle gets ErrNoCampaign from then on, reads under way
// included. The name is free for another campaign, which has a number of its
// own. What stays: the events of its recipients, which point at nothing and are passed over, and
// peers and reply shapes, which other campaigns share. The space on disk comes
// back within seconds, once nobody reads from before.
func (c *Campaign) Delete(ctx context.Context, kinds ...string) error {
	l := c.ledger
	if err := c.enter(); err != nil {
		return err
	}
	defer l.leave()
	// No load begins, or goes on, under the name of what is being removed.
	l.mu.Lock()
	if l.loading[c.name] {
		l.mu.Unlock()
		return fmt.Errorf("delete campaign %s: %w: rows of it are being loaded", c.name, ErrNotEnded)
	}
	l.loading[c.name] = true
	l.mu.Unlock()
	defer l.endLoad(c.name)
	// Not cut short by ctx: whether it happened must be known.
	if err := ctx.Err(); err != nil {
		return err
	}
	err := l.writer.change(context.Background(), change{
		apply: func(g *group) error { return g.remove(c, kinds) },
		after: func() error {
			l.mu.Lock()
			delete(l.campaigns, c.name)
			l.mu.Unlock()
			l.revision.Add(1)
			c.readers.renew() // iterators keep files that are to go
			return nil
		},
	})
	if err != nil {
		return fmt.Errorf("delete campaign %s: %w", c.name, err)
	}
	// Pebble drops the tables that the marks cover once the marks are in a table
	// themselves.
	if err := l.guard(l.db.Flush); err != nil {
		return fmt.Errorf("campaign %s is deleted, but its space was not freed: %w", c.name, err)
	}
	return nil
}

// remove adds the end of a campaign to the group, and takes out of the group
// what would write to it again.
func (g *group) remove(c *Campaign, kinds []string) error {
	c.mu.Lock()
	rec := c.record
	c.mu.Unlock()
	switch {
	case c.gone.Load():
		return ErrNoCampaign
	case rec.Finished.IsZero():
		return ErrNotEnded
	}
	if err := dropCampaign(g.batch, &rec); err != nil {
		return err
	}
	for _, kind := range kinds {
		lower := appendLearnedKey(nil, kind, c.name+"\x00")
		upper := bytes.Clone(lower)
		upper[len(upper)-1]++
		if err := g.batch.DeleteRange(lower, upper, nil); err != nil {
			return err
		}
	}
	c.gone.Store(true)
	g.forget(c)
	return g.tell(Notice{Change: ChangeDeleted, Campaign: c.name})
}

// forget drops what the group still had to write for a campaign.
func (g *group) forget(c *Campaign) {
	domains := g.domains[:0]
	for _, d := range g.domains {
		if d.campaign == c {
			d.touched = false
			continue
		}
		domains = append(domains, d)
	}
	clear(g.domains[len(domains):])
	g.domains = domains
	campaigns := g.campaigns[:0]
	for _, other := range g.campaigns {
		if other != c {
			campaigns = append(campaigns, other)
		}
	}
	clear(g.campaigns[len(campaigns):])
	g.campaigns = campaigns
	replies := g.replies[:0]
	for _, r := range g.replies {
		if r.campaign != c {
			replies = append(replies, r)
		}
	}
	clear(g.replies[len(replies):])
	g.replies = replies
	c.replies = nil
}

// enter is the ledger's, for calls that read the campaign: ErrNoCampaign once
// it is deleted.
func (c *Campaign) enter() error {
	if err := c.exists(); err != nil {
		return err
	}
	return c.ledger.enter()
}

// view is enter, with what is on disk at one moment, in which the campaign is
// there: whoever looked first and took his view then could find nothing of a
// campaign deleted between, and tell of an empty one. end must be called.
func (c *Campaign) view() (snap *pebble.Snapshot, end func(), err error) {
	if err := c.ledger.enter(); err != nil {
		return nil, nil, err
	}
	snap = c.ledger.db.NewSnapshot()
	end = func() {
		_ = snap.Close() // it only counts
		c.ledger.leave()
	}
	// The mark comes before the deletion is on disk.
	if err := c.exists(); err != nil {
		end()
		return nil, nil, err
	}
	return snap, end, nil
}

// exists is nil until the campaign is deleted. Long reads ask now and then, so
// that they end with the reason instead of telling of what is gone.
func (c *Campaign) exists() error {
	if c.gone.Load() {
		return fmt.Errorf("campaign %q: %w", c.name, ErrNoCampaign)
	}
	return nil
}

// leaving reports whether a group that is not on disk yet deletes the campaign.
func (l *Ledger) leaving(number uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.campaigns {
		if c.number == number {
			return c.gone.Load()
		}
	}
	return false
}

// there reports whether a campaign is on disk, and will be when the group is.
func (g *group) there(campaign uint32) (bool, error) {
	rec, err := getCopy(g.w.ledger.db, campaignPart(campaign, partRecord))
	return rec != nil && !g.w.ledger.leaving(campaign), err
}

// dropCampaign removes a campaign with one range mark in each keyspace.
func dropCampaign(b *pebble.Batch, r *campaignRecord) error {
	for _, space := range campaignSpaces {
		lower, upper := campaignBounds(space, r.Number)
		if err := b.DeleteRange(lower, upper, nil); err != nil {
			return err
		}
	}
	return b.Delete(appendNameKey(nil, r.Name), nil)
}
