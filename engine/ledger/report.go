package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Report is what became of a campaign, as of one moment.
type Report struct {
	Name                   string
	Rows, Rejected, Loaded uint64
	// Streaming: more rows follow, so that none of these is the last word.
	Streaming bool
	// Counts are all recipients. Those pending at a domain in trouble count as
	// deferred here: the trouble is one record, not one for each of them.
	Counts Counts
	// UncertainAttempts counts the attempts that ever were uncertain, whatever
	// became of the recipient.
	UncertainAttempts uint64
	// Anomalies by smtp.Anomaly.
	Anomalies map[uint8]uint64
	// Rejects by reason.
	Rejects map[string]uint64
	// Sites in order of their recipients, most first. Domains whose site is not
	// known yet are under the empty name.
	Sites []SiteReport
	// Replies in order of their number, most first.
	Replies                    []ReplyGroup
	Created, Started, Finished time.Time
	// Cancelled is zero unless the campaign was cancelled.
	Cancelled time.Time
}

// SiteReport is one site's part of a campaign.
type SiteReport struct {
	Site    string
	Domains int
	Counts  Counts
	// Trouble is how many of the domains are in trouble, and Reason why one of
	// them is.
	Trouble int
	Reason  string
}

// ReplyGroup is the attempts that got the same answer, or the recipients that
// ended without an attempt for the same reason.
type ReplyGroup struct {
	State    State
	Code     int
	Enhanced [3]uint16
	// Text has … for what differs: ids, numbers, addresses.
	Text string
	// Example is the first one's text in full.
	Example string
	Count   uint64
}

// Report reads one consistent state from disk: what was handed in but is not
// committed yet is not in it.
func (c *Campaign) Report(ctx context.Context) (*Report, error) {
	snap, end, err := c.view()
	if err != nil {
		return nil, err
	}
	defer end()
	rec, err := readCampaignNumber(snap, c.number)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Name: rec.Name, Rows: rec.Rows, Rejected: rec.Rejected, Loaded: rec.Recipients, Streaming: rec.Streaming,
		UncertainAttempts: rec.UncertainAttempts, Anomalies: rec.Anomalies, Rejects: rec.Rejects,
		Created: rec.Created, Started: rec.Started, Finished: rec.Finished, Cancelled: rec.Cancelled,
	}
	sites := make(map[string]*SiteReport)
	if err := eachDomain(snap, c.number, func(name, value []byte) error {
		d, site, err := decodeDomain(value)
		if err != nil {
			return fmt.Errorf("domain %s: %w", name, err)
		}
		s := sites[string(site)]
		if s == nil {
			s = &SiteReport{Site: string(site)}
			sites[s.Site] = s
		}
		s.Domains++
		if d.trouble != nil {
			s.Trouble++
			s.Reason = d.trouble.Reason
		}
		show := showing{cancelled: !rec.Cancelled.IsZero(), troubled: d.trouble != nil}
		for i, n := range d.counts {
			state := show.of(State(i))
			s.Counts[state] += uint64(n)
			r.Counts[state] += uint64(n)
		}
		if s.Domains%8192 == 0 {
			return errors.Join(ctx.Err(), c.exists())
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("report on campaign %s: %w", c.name, err)
	}
	for _, s := range sites {
		if !rec.Cancelled.IsZero() {
			s.Trouble, s.Reason = 0, ""
		}
		r.Sites = append(r.Sites, *s)
	}
	slices.SortFunc(r.Sites, func(a, b SiteReport) int {
		return cmp.Or(cmp.Compare(b.Counts.Sum(), a.Counts.Sum()), cmp.Compare(a.Site, b.Site))
	})
	if err := eachReply(snap, c.number, func(key replyKey, n uint64, example string) error {
		g := ReplyGroup{
			State: key.state, Code: int(key.code), Enhanced: key.enhanced,
			Example: example, Count: n, Text: example,
		}
		if shape, ok := c.ledger.shapes.text(key.shape); ok {
			g.Text = readable(shape)
		}
		r.Replies = append(r.Replies, g)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("report on campaign %s: %w", c.name, err)
	}
	slices.SortStableFunc(r.Replies, func(a, b ReplyGroup) int { return cmp.Compare(b.Count, a.Count) })
	return r, nil
}

// Sum is how many recipients there are in all states.
func (c *Counts) Sum() (n uint64) {
	for _, v := range c {
		n += v
	}
	return n
}
