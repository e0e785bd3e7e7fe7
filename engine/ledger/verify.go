package ledger

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
)

// VerifyReport is the ledger's proof, or what speaks against it.
type VerifyReport struct {
	Campaigns  int
	Recipients uint64
	// Records is history records, attempts and others.
	Records uint64
	Events  uint64
	// Problems are empty in a sound ledger; the list ends after some hundred.
	Problems []string
}

// OK reports that nothing was found wrong.
func (r *VerifyReport) OK() bool { return len(r.Problems) == 0 }

const maxProblems = 200

// Verify proves, from one consistent state on disk and without stopping
// anything, that of every campaign: rows = loaded + rejected, and
// loaded = pending + all outcomes; nobody is in two states; the counts are
// those of the recipients; everybody who waits for a retry is in the queue
// exactly once and nobody else is; marks, address index, event log, reply
// counts, rejects and dictionaries agree with the history; of campaigns that
// were deleted nothing is left.
//
// It reads everything once. Sets are compared by count and by a sum of hashes
// that does not depend on the order, so it needs no memory for them. The error
// is for what could not be read; what is wrong is in the report.
func (l *Ledger) Verify(ctx context.Context) (VerifyReport, error) {
	if err := l.enter(); err != nil {
		return VerifyReport{}, err
	}
	defer l.leave()
	snap := l.db.NewSnapshot()
	defer snap.Close()
	p := &proof{ledger: l, snap: snap, ctx: ctx, known: make(map[uint32]bool), made: make(map[uint32]string)}
	err := eachCampaign(snap, func(rec *campaignRecord) error {
		p.made[rec.Number] = rec.Name
		if !rec.Loaded {
			return nil
		}
		p.report.Campaigns++
		p.known[rec.Number] = true
		return p.campaign(rec)
	})
	if err == nil {
		err = p.ghosts()
	}
	if err == nil {
		err = p.eventLog()
	}
	if err != nil {
		return p.report, fmt.Errorf("verify %s: %w", l.dir, err)
	}
	return p.report, nil
}

// sum is a set of records without their order.
type sum struct{ n, hash uint64 }

func (s *sum) add(key []byte) {
	s.n++
	s.hash += xxhash.Sum64(key)
}

type proof struct {
	ledger *Ledger
	snap   *pebble.Snapshot
	ctx    context.Context
	report VerifyReport
	known  map[uint32]bool
	// made is the name of every campaign that has a record, loads under way
	// included.
	made map[uint32]string
	// next is the number that the next campaign gets.
	next uint32
	// happened is the events that history speaks of.
	happened sum
	steps    int
}

func (p *proof) wrong(format string, args ...any) {
	if len(p.report.Problems) < maxProblems {
		p.report.Problems = append(p.report.Problems, fmt.Sprintf(format, args...))
	}
}

func (p *proof) step() error {
	if p.steps++; p.steps%4096 == 0 {
		return p.ctx.Err()
	}
	return nil
}

// ghosts looks for keys of campaigns that have no record, and for names that
// lead to none.
func (p *proof) ghosts() (err error) {
	v, err := getCopy(p.snap, keyNext)
	if err != nil {
		return err
	}
	d := decoder{b: v}
	if p.next = d.uint32(); d.err() != nil {
		return fmt.Errorf("read next campaign number: %w", errDamaged)
	}
	for _, space := range campaignSpaces {
		if err := p.ghostsIn(space); err != nil {
			return err
		}
	}
	names := 0
	if err := eachName(p.snap, func(name string, number uint32) error {
		if names++; p.made[number] != name {
			p.wrong("the name %q leads to campaign %d, which has another or is not there", name, number)
		}
		return nil
	}); err != nil {
		return err
	}
	if names != len(p.made) {
		p.wrong("%d campaigns have %d names", len(p.made), names)
	}
	return nil
}

// ghostsIn looks at one key of each campaign in a keyspace.
func (p *proof) ghostsIn(space byte) (err error) {
	iter, err := p.snap.NewIter(&pebble.IterOptions{LowerBound: []byte{space}, UpperBound: []byte{space + 1}})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	for ok := iter.First(); ok; {
		if len(iter.Key()) < campaignPrefix {
			return errKey
		}
		number := binary.BigEndian.Uint32(iter.Key()[1:])
		if _, there := p.made[number]; !there {
			p.wrong("keyspace %q has keys of campaign %d, which is not there", space, number)
		}
		_, after := campaignBounds(space, number)
		ok = iter.SeekGE(after)
	}
	return iter.Error()
}

// eventLog compares the log with the history it points at.
func (p *proof) eventLog() (err error) {
	iter, err := p.snap.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceEvents}, UpperBound: []byte{spaceEvents + 1}})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	var logged sum
	var key []byte
	next := uint64(1)
	for ok := iter.First(); ok; ok = iter.Next() {
		if len(iter.Key()) != 9 {
			return errKey
		}
		if first := binary.BigEndian.Uint64(iter.Key()[1:]); first != next {
			p.wrong("events %d to %d are missing", next, first-1)
			next = first
		}
		if err := eachEventKey(iter.Value(), func(k eventKey) error {
			next++
			if !p.known[k.campaign] {
				if k.campaign == 0 || k.campaign >= p.next {
					p.wrong("event %d is of campaign %d, which never was", next-1, k.campaign)
				}
				return p.step() // it was deleted
			}
			key = appendHistoryKey(key[:0], k.campaign, string(k.domain), k.seq, k.n)
			logged.add(key)
			return p.step()
		}); err != nil {
			return fmt.Errorf("event record %d: %w", next, err)
		}
	}
	p.report.Events = logged.n
	if logged != p.happened {
		p.wrong("the event log has %d events that are not those of the history's %d", logged.n, p.happened.n)
	}
	return iter.Error()
}
