package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Meta is what a campaign is, opaque here.
type Meta struct {
	// Name is the user's id of the campaign, 1 to 1,000 bytes.
	Name string
	// Snapshot is frozen at Create, Columns at Commit; Settings may change.
	Snapshot, Settings, Columns []byte
}

// campaignRecord is a campaign on disk. It changes rarely, hence JSON.
type campaignRecord struct {
	Name   string
	Number uint32
	Loaded bool
	// Streaming: more segments follow, see Loader.Segment.
	Streaming bool `json:",omitempty"`
	Rows      uint64
	Rejected  uint64
	// Recipients is how many were loaded, Domains in how many domains.
	Recipients uint64
	Domains    int
	Rejects    map[string]uint64 `json:",omitempty"`
	// Suppressed is how many were loaded with that outcome.
	Suppressed                 uint64
	UncertainAttempts          uint64
	Anomalies                  map[uint8]uint64 `json:",omitempty"`
	Created, Started, Finished time.Time
	// Told: the event log tells of the rejected rows; format 1 did not.
	Told bool `json:",omitempty"`
	// Cancelled is the mark that makes pending and deferred recipients
	// cancelled ones, see shown. Their own records stay as they are.
	Cancelled time.Time `json:",omitzero"`
}

// Campaign is a loaded campaign. There is one handle for each; any goroutine
// may use it.
type Campaign struct {
	ledger *Ledger
	number uint32
	name   string

	// counts are all domains' together. Written by the writer alone.
	counts [NumStates]atomic.Uint64
	// troubled is how many of those pending are at domains in trouble.
	troubled atomic.Int64
	// attempts since this handle was made. Written by the writer alone.
	attempts atomic.Uint64

	readers readers

	mu sync.Mutex
	// record is changed by the writer only, under mu.
	record campaignRecord
	// sites holds one copy of each site's name. Guarded by mu.
	sites map[string]string

	// open is held while domains and what Resume adds to them are made.
	open sync.Mutex
	// domains in key order, set before loaded is; each domain has a lock of its
	// own. A segment replaces the list, so that whoever walks over one may go
	// on.
	domains atomic.Pointer[[]*Domain]
	loaded  atomic.Bool
	// canRead: resumed.
	canRead atomic.Bool
	// gone: deleted. Set by the writer, before that is on disk.
	gone atomic.Bool

	// Writer only.
	replies map[replyKey]*replyCount
	dirty   bool
}

func eachCampaign(r pebble.Reader, fn func(*campaignRecord) error) (err error) {
	iter, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceCampaign}, UpperBound: []byte{spaceCampaign + 1}})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	for ok := iter.First(); ok; ok = iter.Next() {
		if k := iter.Key(); k[len(k)-1] != partRecord {
			continue
		}
		var rec campaignRecord
		if err := json.Unmarshal(iter.Value(), &rec); err != nil {
			return fmt.Errorf("read campaign %x: %w", iter.Key(), err)
		}
		if err := fn(&rec); err != nil {
			return err
		}
	}
	return nil
}

// eachName walks over the names of all campaigns, loads under way included.
func eachName(r pebble.Reader, fn func(name string, number uint32) error) (err error) {
	iter, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceName}, UpperBound: []byte{spaceName + 1}})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	for ok := iter.First(); ok; ok = iter.Next() {
		d := decoder{b: iter.Value()}
		number := d.uint32()
		if err := d.err(); err != nil {
			return fmt.Errorf("read number of campaign %q: %w", iter.Key()[1:], err)
		}
		if err := fn(string(iter.Key()[1:]), number); err != nil {
			return err
		}
	}
	return iter.Error()
}

// closeIter closes an iterator and keeps the first error.
func closeIter(iter *pebble.Iterator, err *error) {
	if cerr := iter.Close(); *err == nil {
		*err = cerr
	}
}

func campaignPart(number uint32, part byte) []byte {
	return append(appendCampaignKey(nil, spaceCampaign, number), part)
}

func (r *campaignRecord) encode() ([]byte, error) { return json.Marshal(r) }

func (r *campaignRecord) set(b *pebble.Batch) error {
	v, err := r.encode()
	if err != nil {
		return err
	}
	return b.Set(campaignPart(r.Number, partRecord), v, nil)
}

// readCampaign finds a campaign's record by name; nil if there is none.
func readCampaign(r pebble.Reader, name string) (*campaignRecord, error) {
	v, err := getCopy(r, appendNameKey(nil, name))
	if err != nil || v == nil {
		return nil, err
	}
	d := decoder{b: v}
	number := d.uint32()
	if err := d.err(); err != nil {
		return nil, fmt.Errorf("read number of campaign %q: %w", name, err)
	}
	return readCampaignNumber(r, number)
}

func readCampaignNumber(r pebble.Reader, number uint32) (*campaignRecord, error) {
	v, err := getCopy(r, campaignPart(number, partRecord))
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, fmt.Errorf("number %d: %w", number, ErrNoCampaign)
	}
	rec := new(campaignRecord)
	if err := json.Unmarshal(v, rec); err != nil {
		return nil, fmt.Errorf("read campaign %d: %w", number, err)
	}
	return rec, nil
}

// Campaign returns a loaded campaign, or ErrNoCampaign.
func (l *Ledger) Campaign(name string) (*Campaign, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.campaigns[name]; c != nil {
		if err := c.exists(); err != nil {
			return nil, err // on its way out
		}
		return c, nil
	}
	rec, err := readCampaign(l.db, name)
	if err != nil {
		return nil, err
	}
	if rec == nil || !rec.Loaded {
		return nil, fmt.Errorf("campaign %q: %w", name, ErrNoCampaign)
	}
	c := &Campaign{ledger: l, number: rec.Number, name: rec.Name, record: *rec}
	c.readers.open(l.db, rec.Number)
	l.campaigns[name] = c
	return c, nil
}

// Campaigns returns the loaded campaigns in the order of their creation.
func (l *Ledger) Campaigns() ([]*Campaign, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	var names []string
	if err := eachCampaign(l.db, func(r *campaignRecord) error {
		if r.Loaded {
			names = append(names, r.Name)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	var list []*Campaign
	for _, name := range names {
		c, err := l.Campaign(name)
		if errors.Is(err, ErrNoCampaign) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// Name is the user's id of the campaign.
func (c *Campaign) Name() string { return c.name }

// Number identifies the campaign inside this ledger. Never used again.
func (c *Campaign) Number() uint32 { return c.number }

// Meta reads what was given to Create and Commit, with the newest Settings.
func (c *Campaign) Meta() (Meta, error) {
	snap, end, err := c.view()
	if err != nil {
		return Meta{}, err
	}
	defer end()
	m := Meta{Name: c.name}
	for part, to := range map[byte]*[]byte{partSnapshot: &m.Snapshot, partSettings: &m.Settings, partColumns: &m.Columns} {
		v, err := getCopy(snap, campaignPart(c.number, part))
		if err != nil {
			return Meta{}, err
		}
		*to = v
	}
	return m, nil
}

// Totals are the facts about a campaign that are cheap to have.
type Totals struct {
	// Rows read = Loaded + Rejected.
	Rows, Loaded, Rejected uint64
	// Streaming: more rows follow, so all these figures may grow.
	Streaming bool
	// UncertainAttempts is how many attempts ever were uncertain.
	UncertainAttempts          uint64
	Created, Started, Finished time.Time
	// Cancelled is zero unless the campaign was cancelled.
	Cancelled time.Time
}

// Totals are from memory.
func (c *Campaign) Totals() Totals {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.record
	return Totals{r.Rows, r.Recipients, r.Rejected, r.Streaming, r.UncertainAttempts, r.Created, r.Started, r.Finished, r.Cancelled}
}

// SetSettings replaces the settings; on disk when it returns.
func (c *Campaign) SetSettings(ctx context.Context, settings []byte) error {
	return c.ledger.writer.do(ctx, func(g *group) error {
		if err := c.exists(); err != nil {
			return err
		}
		return g.batch.Set(campaignPart(c.number, partSettings), settings, nil)
	})
}

// MarkStarted notes when sending began; only the first counts.
func (c *Campaign) MarkStarted(ctx context.Context, t time.Time) error {
	return c.change(ctx, func(r *campaignRecord) Change {
		if !r.Started.IsZero() {
			return ChangeUnset
		}
		r.Started = t
		return ChangeStarted
	})
}

// MarkFinished notes when the last recipient became final; the zero time takes
// it back.
func (c *Campaign) MarkFinished(ctx context.Context, t time.Time) error {
	return c.change(ctx, func(r *campaignRecord) Change {
		was := r.Finished
		r.Finished = t
		switch {
		case was.IsZero() == t.IsZero():
			return ChangeUnset
		case t.IsZero():
			return ChangeReopened
		default:
			return ChangeFinished
		}
	})
}

// MarkCancelled cancels the campaign: from now on, whoever is pending or
// deferred is shown as cancelled, and no segment is taken in any more. Only the
// first mark counts.
func (c *Campaign) MarkCancelled(ctx context.Context, t time.Time) error {
	return c.change(ctx, func(r *campaignRecord) Change {
		if !r.Cancelled.IsZero() {
			return ChangeUnset
		}
		r.Cancelled, r.Streaming = t, false
		return ChangeCancelled
	})
}

// cancelled reports whether the mark is set.
func (c *Campaign) cancelled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.record.Cancelled.IsZero()
}

// change changes the record, and tells of it what fn says.
func (c *Campaign) change(ctx context.Context, fn func(*campaignRecord) Change) error {
	return c.ledger.writer.do(ctx, func(g *group) error {
		if err := c.exists(); err != nil {
			return err
		}
		c.mu.Lock()
		what := fn(&c.record)
		c.mu.Unlock()
		g.touchCampaign(c)
		if what == ChangeUnset {
			return nil
		}
		return g.tell(Notice{Change: what, Campaign: c.name})
	})
}

// Untried is how many are pending on record: those at domains in trouble are
// among them. From memory, once the campaign's domains were asked for.
func (c *Campaign) Untried() uint64 { return c.counts[Pending].Load() }

// Attempts is how many were settled since the ledger was opened.
func (c *Campaign) Attempts() uint64 { return c.attempts.Load() }

// Counts are the campaign's recipients by state, from memory: as people are
// shown them, like those of Report.
func (c *Campaign) Counts() (Counts, error) {
	if err := errors.Join(c.load(), c.exists()); err != nil {
		return Counts{}, err
	}
	var out Counts
	for i := range out {
		out[i] = c.counts[i].Load()
	}
	return out.shown(uint64(max(c.troubled.Load(), 0)), c.cancelled()), nil
}
