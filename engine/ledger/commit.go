package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Commit makes the campaign exist: wholly, or after a crash not at all.
// Columns replace those of Create unless nil; rows is how many rows were read,
// and must be what was added and rejected. After an error only Abort is left.
// Of a campaign that is there in part it takes the rest in, and ends that; its
// columns are those of the first segment.
func (ld *Loader) Commit(ctx context.Context, columns []byte, rows uint64) (*Campaign, error) {
	l := ld.ledger
	if ld.ended {
		return nil, errLoaded
	}
	if got := ld.before + ld.added + ld.record.Rejected; got != rows {
		return nil, fmt.Errorf("load campaign %s: %d rows read, but %d added or rejected", ld.record.Name, rows, got)
	}
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	commit := func() error { return ld.commit(ctx, columns, rows) }
	if ld.campaign != nil {
		commit = func() error { return ld.extend(ctx, true) }
	}
	if err := commit(); err != nil {
		return nil, fmt.Errorf("load campaign %s: %w", ld.record.Name, err)
	}
	ld.ended = true
	l.endLoad(ld.record.Name)
	if err := l.fs.RemoveAll(ld.dir); err != nil {
		return nil, fmt.Errorf("load campaign %s: %w", ld.record.Name, err)
	}
	return l.Campaign(ld.record.Name)
}

func (ld *Loader) commit(ctx context.Context, columns []byte, rows uint64) error {
	l := ld.ledger
	if len(ld.runs) > 0 {
		if err := ld.spill(); err != nil {
			return err
		}
		ld.chunk.drop()
	}
	var out table
	var tables *tables
	if len(ld.runs) == 0 && rows <= uint64(l.opt.smallLoad) {
		out = &small{batch: l.db.NewBatch()}
	} else {
		if err := l.fs.MkdirAll(ld.dir, 0o700); err != nil {
			return err
		}
		tables = newTables(l, ld.dir)
		out = tables
	}
	defer out.close()
	rejected, late, err := ld.index.write(ctx, out)
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
	var last *pebble.Batch
	if s, ok := out.(*small); ok {
		last = s.batch
	} else {
		paths, err := tables.finish()
		if err != nil {
			return err
		}
		if len(paths) > 0 {
			if err := l.guard(func() error { return l.db.Ingest(ctx, paths) }); err != nil {
				return fmt.Errorf("take in tables: %w", err)
			}
		}
		last = l.db.NewBatch()
		defer last.Close()
	}
	// Rows that share a hash with another address: hardly ever any.
	for _, e := range late {
		if err := last.Set(appendIndexKey(nil, ld.record.Number, e.hash, e.seq), nil, nil); err != nil {
			return err
		}
	}
	rec := &ld.record
	rec.Loaded, rec.Rows, rec.Recipients = true, rows, rows-rec.Rejected
	rec.Told = true
	if columns != nil {
		if err := last.Set(campaignPart(rec.Number, partColumns), columns, nil); err != nil {
			return err
		}
	}
	if err := rec.set(last); err != nil {
		return err
	}
	// Not cut short by ctx: whether it happened must be known.
	return l.writer.do(context.Background(), func(g *group) error {
		if err := g.batch.Apply(last, nil); err != nil {
			return err
		}
		return g.events.tellLoaded(rec, told, true, g.now)
	})
}

// writeRejects gives the rows, for the event log.
func (ld *Loader) writeRejects(out table) (told rejectRanges, err error) {
	err = ld.rejects.each(func(key, value []byte) error {
		told.add(Seq(binary.BigEndian.Uint32(key)))
		return out.set(append(appendCampaignKey(nil, spaceReject, ld.record.Number), key...), value)
	})
	return told, err
}

// merge writes recipients, the history of suppressed ones, and domain records.
func (ld *Loader) merge(ctx context.Context, out table, rejected seqSet) error {
	m, err := ld.openRuns()
	if err != nil {
		return err
	}
	defer m.close()
	number := ld.record.Number
	suppressed := event{state: Suppressed, at: time.UnixMilli(ld.record.Created.UnixMilli())}
	history := suppressed.append(nil)
	var key, hkey, value []byte
	ld.record.Domains, ld.record.Suppressed = 0, 0
	rows := 0
	for {
		name, ok, err := m.nextDomain()
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		var rec domainRecord
		key = appendDomainKey(key[:0], spaceRecipient, number, name)
		prefix := len(key)
		for {
			row, ok, err := m.nextRow()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if rows++; rows%8192 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if rejected.has(row.seq) {
				continue
			}
			key = binary.BigEndian.AppendUint32(key[:prefix], uint32(row.seq))
			if err := out.set(key, row.value); err != nil {
				return err
			}
			rec.loaded++
			if row.value[0]&rowSuppressed == 0 {
				continue
			}
			rec.counts[Suppressed]++
			hkey = appendHistoryKey(hkey[:0], number, name, row.seq, 1)
			if err := out.set(hkey, history); err != nil {
				return err
			}
		}
		if rec.loaded == 0 {
			continue
		}
		rec.fresh = rec.loaded - rec.counts[Suppressed]
		rec.counts[Pending] = rec.fresh
		ld.record.Domains++
		ld.record.Suppressed += uint64(rec.counts[Suppressed])
		if ld.campaign != nil {
			ld.grown = append(ld.grown, growth{name, rec.loaded, rec.counts[Suppressed]})
			continue
		}
		value = rec.append(value[:0])
		key = appendDomainKey(key[:0], spaceDomain, number, name)
		if err := out.set(key, value); err != nil {
			return err
		}
	}
}
