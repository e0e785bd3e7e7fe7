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
	p := &proof{ledger: l, snap: snap, ctx: ctx, made: make(map[uint32]string), happened: make(map[uint32]*told)}
	err := eachCampaign(snap, func(rec *campaignRecord) error {
		p.made[rec.Number] = rec.Name
		if !rec.Loaded {
			return nil
		}
		p.report.Campaigns++
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
	// made is the name of every campaign that has a record, loads under way
	// included.
	made map[uint32]string
	// next is the number that the next campaign gets.
	next uint32
	// happened is what the event log must tell of, by campaign.
	happened map[uint32]*told
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
	if p.next, err = nextCampaign(p.snap); err != nil {
		return err
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

// eventLog compares the log, and what was trimmed of it, with what it tells of.
func (p *proof) eventLog() error {
	oldest, err := oldestEvent(p.snap)
	if err != nil {
		return err
	}
	logged := tally{by: make(map[uint32]*told)}
	next := oldest
	if err := eachEventRecord(p.snap, []byte{spaceEvents}, func(first uint64, v []byte) error {
		if first != next {
			p.wrong("events %d to %d are missing", next, first-1)
			next = first
		}
		return eachEntry(v, func(e *entry) error {
			next += e.numbers()
			p.report.Events += e.numbers()
			if e.campaign >= p.next || e.campaign == 0 && e.kind != eventNotice {
				p.wrong("event %d is of campaign %d, which never was", next-1, e.campaign)
			}
			logged.count(e)
			return p.step()
		})
	}); err != nil {
		return err
	}
	for number, happened := range p.happened {
		found, err := trimmedOf(p.snap, number)
		if err != nil {
			return err
		}
		if of := logged.by[number]; of != nil {
			found.add(*of)
		}
		if found.attempts != happened.attempts {
			p.wrong("campaign %d: the event log has %d events that are not those of the history's %d", number, found.attempts.n, happened.attempts.n)
		}
		if found.rejects != happened.rejects {
			p.wrong("campaign %d: the event log tells of %d rejected rows, there are %d", number, found.rejects, happened.rejects)
		}
	}
	return eachSegment(p.snap, func(s segment) error {
		v, err := getCopy(p.snap, appendEventKey(nil, spaceEvents, s.first))
		if err == nil && v == nil && s.first != next { // the newest may have no event yet
			p.wrong("a segment of the event log begins with event %d, where no record does", s.first)
		}
		return err
	})
}
