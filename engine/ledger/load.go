package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

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
		var err error
		if g.nextCampaign, err = nextCampaign(l.db); err != nil {
			return err
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

// nextCampaign is the number that the next campaign will have.
func nextCampaign(r pebble.Reader) (uint32, error) {
	v, err := getCopy(r, keyNext)
	if err != nil {
		return 0, err
	}
	d := decoder{b: v}
	number := d.uint32()
	if err := d.err(); err != nil {
		return 0, fmt.Errorf("read next campaign number: %w", err)
	}
	return number, nil
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
