package ledger

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// A campaign can be loaded in segments: the first makes it exist, and each one
// after it is taken in whole at one moment, while the recipients before it are
// being sent to. Recipients, index, rejects, the records of the domains that
// grow and the campaign's record are sorted tables that Pebble takes in
// together, so that no crash, snapshot or backup sees a part of a segment, and
// there is nothing to recover. Only the domain records need the writer to stand
// still: it makes them from what it has just committed.

// growth is what a segment adds to a domain.
type growth struct {
	name               string
	loaded, suppressed uint32
}

// of is the domain's record with what is added.
func (w *growth) of(r domainRecord) domainRecord {
	fresh := w.loaded - w.suppressed
	r.loaded += w.loaded
	r.fresh += fresh
	r.counts[Pending] += fresh
	r.counts[Suppressed] += w.suppressed
	return r
}

// Segment makes what was added so far part of the campaign, which is streaming
// from then on, until Commit: after a crash the segments that were made are
// there, and [Ledger.Continue] goes on behind them. Columns count in the first
// segment only. ErrCancelled: the campaign was cancelled meanwhile. After an
// error only Abort is left.
//
// Handles learn of what is new: domains appear, and Fresh rises. Segments
// should grow with the campaign, since each looks its addresses up among those
// that are there, and stops the writer for about a microsecond per domain.
func (ld *Loader) Segment(ctx context.Context, columns []byte) (*Campaign, error) {
	l := ld.ledger
	if ld.ended {
		return nil, errLoaded
	}
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	if err := ld.segment(ctx, columns); err != nil {
		return nil, fmt.Errorf("load a part of campaign %s: %w", ld.record.Name, err)
	}
	return ld.campaign, nil
}

func (ld *Loader) segment(ctx context.Context, columns []byte) (err error) {
	l := ld.ledger
	rows := ld.added + ld.record.Rejected
	if ld.campaign == nil {
		ld.record.Streaming = true
		if err := ld.commit(ctx, columns, rows); err != nil {
			return err
		}
	} else if err := ld.extend(ctx, false); err != nil {
		return err
	}
	next := newLoader(l, &campaignRecord{Name: ld.record.Name, Number: ld.record.Number, Created: ld.record.Created})
	next.files, next.last, next.before = ld.files, ld.last, ld.before+rows
	next.campaign = ld.campaign
	if next.campaign == nil {
		if next.campaign, err = l.Campaign(ld.record.Name); err != nil {
			return err
		}
	}
	*ld = *next
	ld.index.loader, ld.rejects.loader = ld, ld
	return l.fs.RemoveAll(ld.dir)
}

// Continue goes on with a campaign whose load was cut short between segments.
// The rows that it has, counted from the first, come not again: rows is how
// many those are. ErrNoCampaign: there is none of that name; ErrExists: it is
// complete, or being loaded.
func (l *Ledger) Continue(name string) (ld *Loader, rows uint64, err error) {
	c, err := l.Campaign(name)
	if err != nil {
		return nil, 0, err
	}
	c.mu.Lock()
	rec := c.record
	c.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !rec.Streaming || l.loading[name] {
		return nil, 0, fmt.Errorf("%q: %w", name, ErrExists)
	}
	l.loading[name] = true
	ld = newLoader(l, &campaignRecord{Name: rec.Name, Number: rec.Number, Created: rec.Created})
	ld.campaign, ld.before, ld.last = c, rec.Rows, Seq(rec.Rows)
	return ld, rec.Rows, nil
}

// extend takes in what was added since the segment before.
func (ld *Loader) extend(ctx context.Context, last bool) error {
	l, c := ld.ledger, ld.campaign
	if l.space.low.Load() {
		return ErrLowSpace
	}
	if err := c.load(); err != nil {
		return err
	}
	rows := ld.added + ld.record.Rejected
	if len(ld.runs) > 0 {
		if err := ld.spill(); err != nil {
			return err
		}
		ld.chunk.drop()
	}
	if err := l.fs.MkdirAll(ld.dir, 0o700); err != nil {
		return err
	}
	out := newTables(l, ld.dir)
	defer out.close()
	rejected, err := ld.index.writeNew(ctx, out)
	if err != nil {
		return err
	}
	if err := ld.merge(ctx, out, rejected); err != nil {
		return err
	}
	told, err := ld.writeRejects(out)
	if err != nil {
		return err
	}
	if _, err := out.finish(); err != nil {
		return err
	}
	// Not cut short by ctx: whether it happened must be known.
	return l.writer.change(context.Background(), change{after: func() error {
		return c.grow(ld, out, rows, last, told)
	}})
}

// grow takes a segment in and has the handles know of it. Writer only, with
// nothing built that is not committed: so memory is what is on disk.
func (c *Campaign) grow(ld *Loader, out *tables, rows uint64, last bool, told rejectRanges) error {
	old := *c.domains.Load()
	list := make([]*Domain, 0, len(old)+len(ld.grown))
	grown := make([]*Domain, len(ld.grown))
	var names nameBlock
	var key, value []byte
	added := 0
	for i := range ld.grown {
		w := &ld.grown[i]
		for len(old) > 0 && old[0].name < w.name {
			list, old = append(list, old[0]), old[1:]
		}
		var d *Domain
		if len(old) > 0 && old[0].name == w.name {
			d, old = old[0], old[1:]
		} else {
			d = &Domain{campaign: c, name: names.add([]byte(w.name))}
			added++
		}
		list, grown[i] = append(list, d), d
		d.mu.Lock()
		r := w.of(d.record())
		d.mu.Unlock()
		key = appendDomainKey(key[:0], spaceDomain, c.number, d.name)
		value = r.append(value[:0])
		if err := out.set(key, value); err != nil {
			return err
		}
	}
	list = append(list, old...)

	c.mu.Lock()
	rec := c.record.extended(&ld.record, rows, added)
	c.mu.Unlock()
	if !rec.Cancelled.IsZero() {
		return ErrCancelled
	}
	rec.Streaming = !last
	encoded, err := rec.encode()
	if err != nil {
		return err
	}
	if err := out.set(campaignPart(c.number, partRecord), encoded); err != nil {
		return err
	}
	l := ld.ledger
	log, now := &l.writer.group.events, l.opt.Now()
	if !rec.Told {
		told = nil // those before were not told of either
	}
	log.begin()
	if err := log.tellLoaded(&rec, told, false, now); err != nil {
		return err
	}
	if err := log.write(out); err != nil {
		return err
	}
	paths, err := out.finish()
	if err != nil {
		return err
	}
	if err := l.guard(func() error { return l.db.Ingest(context.Background(), paths) }); err != nil {
		return fmt.Errorf("take in tables: %w", err)
	}

	// Iterators from before do not see the new rows: they go first.
	c.readers.renew()
	for i, d := range grown {
		w := &ld.grown[i]
		d.mu.Lock()
		r := w.of(d.record())
		d.loaded, d.fresh, d.counts = r.loaded, r.fresh, r.counts
		d.unread += w.loaded - w.suppressed
		if d.trouble != nil {
			c.troubled.Add(int64(w.loaded - w.suppressed))
		}
		d.mu.Unlock()
		c.counts[Pending].Add(uint64(w.loaded - w.suppressed))
		c.counts[Suppressed].Add(uint64(w.suppressed))
	}
	c.mu.Lock()
	c.record = rec
	c.mu.Unlock()
	c.domains.Store(&list)
	log.committed()
	return nil
}

// extended is the record with a segment's rows, of which so many domains are
// new.
func (r campaignRecord) extended(by *campaignRecord, rows uint64, domains int) campaignRecord {
	rejects := make(map[string]uint64, len(r.Rejects)+len(by.Rejects))
	for _, m := range []map[string]uint64{r.Rejects, by.Rejects} {
		for reason, n := range m {
			rejects[reason] += n
		}
	}
	r.Rejects = rejects
	r.Rows += rows
	r.Rejected += by.Rejected
	r.Recipients += rows - by.Rejected
	r.Suppressed += by.Suppressed
	r.Domains += domains
	return r
}

// writeNew writes the index of a segment and gives back which of its rows are
// duplicates, of one another or of rows that are there already.
func (x *indexer) writeNew(ctx context.Context, out table) (duplicates seqSet, err error) {
	shared, err := x.shared(ctx)
	if err != nil {
		return nil, err
	}
	if shared != nil {
		if duplicates, _, err = x.compare(ctx, shared, nil); err != nil {
			return nil, err
		}
	}
	var key []byte
	return duplicates, x.each(ctx, func(list []hashed) error {
		for _, e := range list {
			if duplicates.has(e.seq) {
				continue
			}
			key = appendIndexKey(key[:0], x.loader.record.Number, e.hash, e.seq)
			if err := out.set(key, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// shared finds the rows whose hash another row has, of the segment or before.
func (x *indexer) shared(ctx context.Context) (shared seqSet, err error) {
	number := x.loader.record.Number
	lower, upper := campaignBounds(spaceIndex, number)
	iter, err := x.loader.ledger.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, err
	}
	defer closeIter(iter, &err)
	there := iter.First()
	var key []byte
	err = x.each(ctx, func(list []hashed) error {
		for i := 0; i < len(list); {
			hash, from := list[i].hash, i
			for i++; i < len(list) && list[i].hash == hash; i++ {
			}
			key = appendIndexKey(key[:0], number, hash, 0)
			// Both are in order: a few steps are cheaper than a search.
			const steps = 4
			for n := 0; there && bytes.Compare(iter.Key(), key) < 0; n++ {
				if n == steps {
					there = iter.SeekGE(key)
					break
				}
				there = iter.Next()
			}
			if i-from > 1 || there && bytes.HasPrefix(iter.Key(), key[:len(key)-4]) {
				for _, e := range list[from:i] {
					shared.add(e.seq)
				}
			}
		}
		return iter.Error()
	})
	return shared, err
}

// known finds the row of an earlier segment with that very address; 0: none.
func (ld *Loader) known(s *suspect) (Seq, error) {
	if ld.campaign == nil {
		return 0, nil
	}
	seq, value, err := ld.ledger.find(ld.ledger.db, ld.record.Number, s.local(), string(s.domain()))
	if err != nil || value == nil {
		return 0, err
	}
	return seq, nil
}
