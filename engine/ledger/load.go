package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Loader takes a campaign's rows in. One goroutine. It ends with Commit or
// Abort.
//
// Pebble's own writes would sort the recipients several times over in
// compactions. So rows are grouped by domain in memory, chunk by chunk, each
// full chunk becomes a sorted run in a file, and Commit merges the runs into
// tables that Pebble takes in as they are. Duplicates are found by sorting
// address hashes, not by a set of all addresses: memory stays bounded
// whatever the list's size. A row whose hash occurs twice is compared exactly.
type Loader struct {
	ledger *Ledger
	record campaignRecord
	dir    string
	ended  bool

	chunk   chunk
	runs    []string
	index   *indexer
	rejects *sorter
	files   fileNames
	last    Seq
	added   uint64

	// campaign is there once the first segment is; before is the rows of those
	// that are, and grown what the next one adds to which domain.
	campaign *Campaign
	before   uint64
	grown    []growth
}

// Errors of Loader.Add and Loader.Reject that are the caller's mistakes.
var (
	errOrder  = errors.New("sequence numbers must rise")
	errDomain = errors.New("domain must be 1 to 253 bytes without a zero byte")
	errLoaded = errors.New("load has ended")
)

const maxName = 1000

// Create begins a campaign. ErrExists: there is one of that name, or it is
// being loaded. Columns are taken from Commit if they are not known yet.
func (l *Ledger) Create(ctx context.Context, m Meta) (_ *Loader, err error) {
	if m.Name == "" || len(m.Name) > maxName {
		return nil, fmt.Errorf("create campaign: its name must have 1 to %d bytes", maxName)
	}
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	if l.space.low.Load() {
		return nil, ErrLowSpace
	}
	l.mu.Lock()
	if l.loading[m.Name] {
		l.mu.Unlock()
		return nil, fmt.Errorf("%q: %w", m.Name, ErrExists)
	}
	l.loading[m.Name] = true
	l.mu.Unlock()
	defer func() {
		if err != nil {
			l.endLoad(m.Name)
		}
	}()
	rec := campaignRecord{Name: m.Name, Created: l.opt.Now()}
	// The number is taken on the writer's goroutine, so that two loads that
	// begin at once get two.
	if err := l.writer.do(ctx, func(g *group) error {
		old, err := readCampaign(l.db, m.Name)
		if err != nil {
			return err
		}
		if old != nil {
			return fmt.Errorf("%q: %w", m.Name, ErrExists)
		}
		return l.begin(g, &rec, &m)
	}); err != nil {
		return nil, err
	}
	return newLoader(l, &rec), nil
}

func newLoader(l *Ledger, rec *campaignRecord) *Loader {
	ld := &Loader{
		ledger: l, record: *rec,
		dir: l.fs.PathJoin(l.dir, loadFolder+strconv.FormatUint(uint64(rec.Number), 10)),
	}
	ld.chunk.domains = make(map[string]uint32)
	ld.index = &indexer{loader: ld}
	ld.rejects = &sorter{loader: ld, name: "rejects"}
	return ld
}

// begin takes the next number and writes the campaign down as not loaded.
// Nobody but the writer reads the next number, so a read of the store is
// right unless the same group took one: the group remembers.
func (l *Ledger) begin(g *group, rec *campaignRecord, m *Meta) error {
	if g.nextCampaign == 0 {
		v, err := l.get(keyNext)
		if err != nil {
			return err
		}
		d := decoder{b: v}
		g.nextCampaign = d.uint32()
		if err := d.err(); err != nil {
			return fmt.Errorf("read next campaign number: %w", err)
		}
	}
	rec.Number = g.nextCampaign
	g.nextCampaign++
	if err := rec.set(g.batch); err != nil {
		return err
	}
	return errors.Join(
		g.batch.Set(keyNext, binary.AppendUvarint(nil, uint64(g.nextCampaign)), nil),
		g.batch.Set(appendNameKey(nil, m.Name), binary.AppendUvarint(nil, uint64(rec.Number)), nil),
		g.batch.Set(campaignPart(rec.Number, partSnapshot), m.Snapshot, nil),
		g.batch.Set(campaignPart(rec.Number, partSettings), m.Settings, nil),
		g.batch.Set(campaignPart(rec.Number, partColumns), m.Columns, nil))
}

func (l *Ledger) endLoad(name string) {
	l.mu.Lock()
	delete(l.loading, name)
	l.mu.Unlock()
}

// Add takes one row; what it points at is copied. Rows come in ascending Seq,
// together with those rejected. ErrLowSpace: abort, or go on when there is
// room.
func (ld *Loader) Add(r Row) error {
	if ld.ended {
		return errLoaded
	}
	if r.Seq <= ld.last {
		return fmt.Errorf("row %d after %d: %w", r.Seq, ld.last, errOrder)
	}
	if len(r.Domain) == 0 || len(r.Domain) > 253 || bytes.IndexByte(r.Domain, 0) >= 0 {
		return fmt.Errorf("row %d: %w", r.Seq, errDomain)
	}
	limit := ld.ledger.opt.chunkBytes
	if ld.campaign != nil {
		limit /= 4 // sending needs memory, too
	}
	if ld.chunk.full(limit) {
		if err := ld.spill(); err != nil {
			return err
		}
	}
	ld.last = r.Seq
	ld.added++
	if r.Suppressed {
		ld.record.Suppressed++
	}
	ld.chunk.add(&r, ld.files.id(r.File))
	ld.index.add(ld.ledger.opt.hash(r.Local, r.Domain), r.Seq)
	return nil
}

// Reject notes a row that is not loaded.
func (ld *Loader) Reject(r Reject) error {
	if ld.ended {
		return errLoaded
	}
	if r.Seq <= ld.last {
		return fmt.Errorf("row %d after %d: %w", r.Seq, ld.last, errOrder)
	}
	ld.last = r.Seq
	return ld.reject(&r)
}

func (ld *Loader) reject(r *Reject) error {
	if ld.record.Rejects == nil {
		ld.record.Rejects = make(map[string]uint64)
	}
	ld.record.Rejects[r.Reason]++
	ld.record.Rejected++
	return ld.rejects.add(binary.BigEndian.AppendUint32(nil, uint32(r.Seq)), appendReject(nil, r))
}

// spill writes the chunk as a run and the hashes to their partitions.
func (ld *Loader) spill() error {
	if ld.ledger.space.low.Load() {
		return ErrLowSpace
	}
	if err := ld.ledger.fs.MkdirAll(ld.dir, 0o700); err != nil {
		return fmt.Errorf("load campaign %s: %w", ld.record.Name, err)
	}
	name := ld.path("run", len(ld.runs))
	if err := ld.chunk.spill(ld.ledger.fs, name); err != nil {
		return fmt.Errorf("load campaign %s: write %s: %w", ld.record.Name, name, err)
	}
	ld.runs = append(ld.runs, name)
	return ld.index.spill()
}

func (ld *Loader) path(kind string, n int) string {
	return ld.ledger.fs.PathJoin(ld.dir, kind+"-"+strconv.Itoa(n))
}

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
	if err := ld.writeRejects(out); err != nil {
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
	if columns != nil {
		if err := last.Set(campaignPart(rec.Number, partColumns), columns, nil); err != nil {
			return err
		}
	}
	if err := rec.set(last); err != nil {
		return err
	}
	// Not cut short by ctx: whether it happened must be known.
	return l.writer.do(context.Background(), func(g *group) error { return g.batch.Apply(last, nil) })
}

func (ld *Loader) writeRejects(out table) error {
	return ld.rejects.each(func(key, value []byte) error {
		return out.set(append(appendCampaignKey(nil, spaceReject, ld.record.Number), key...), value)
	})
}

// Abort drops the load, or of one whose segments are there what follows them.
func (ld *Loader) Abort() error {
	if ld.ended {
		return nil
	}
	l := ld.ledger
	ld.ended = true
	defer l.endLoad(ld.record.Name)
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	ld.chunk.drop()
	if ld.campaign != nil {
		return l.fs.RemoveAll(ld.dir)
	}
	return errors.Join(l.fs.RemoveAll(ld.dir), l.writer.do(context.Background(), func(g *group) error {
		return dropCampaign(g.batch, &ld.record)
	}))
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
