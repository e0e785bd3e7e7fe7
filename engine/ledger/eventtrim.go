package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// The event log is trimmed by whole segments: runs of numbers that begin with a
// mark which tells when that was and how large the log had become. What goes is
// the log's own records, by one range mark; the history that they point at
// stays. For the proof a campaign keeps a sum of those of its events that were
// trimmed.

// A segment ends after so many events, or so long, with the next group; where
// none comes, with a mark behind the last event, for which trimming looks.
const (
	segmentEvents = 1 << 16
	segmentSpan   = time.Hour
)

// stepSegments is how many segments are trimmed with one group: their events
// are read for the sums.
const stepSegments = 16

// segment is the mark at the beginning of one.
type segment struct {
	first uint64
	at    time.Time
	// bytes is what all records before it took.
	bytes uint64
}

// over reports whether the segment's time is.
func (s segment) over(now time.Time) bool { return now.Sub(s.at) >= segmentSpan }

func (s segment) append(dst []byte) []byte {
	return binary.AppendUvarint(appendTime(dst, s.at), s.bytes)
}

// eachSegment walks the marks in order.
func eachSegment(r pebble.Reader, fn func(segment) error) (err error) {
	iter, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceSegment}, UpperBound: []byte{spaceSegment + 1}})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	for ok := iter.First(); ok; ok = iter.Next() {
		first, err := eventNumber(iter.Key())
		if err != nil {
			return err
		}
		d := decoder{b: iter.Value()}
		s := segment{first: first, at: d.time(), bytes: d.uint()}
		if err := d.err(); err != nil {
			return fmt.Errorf("event segment %d: %w", first, err)
		}
		if err := fn(s); err != nil {
			return err
		}
	}
	return iter.Error()
}

// oldestEvent is the number of the oldest event that is kept.
func oldestEvent(r pebble.Reader) (uint64, error) {
	v, err := getCopy(r, keyOldestEvent)
	if err != nil || v == nil {
		return 1, err
	}
	d := decoder{b: v}
	oldest := d.uint()
	if err := d.err(); err != nil {
		return 0, fmt.Errorf("read number of the oldest event: %w", err)
	}
	return oldest, nil
}

// told is what of a campaign the event log tells of: attempts and rejects.
type told struct {
	attempts sum
	rejects  uint64
}

func (t *told) add(u told) {
	t.attempts.n += u.attempts.n
	t.attempts.hash += u.attempts.hash
	t.rejects += u.rejects
}

func (t told) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, t.attempts.n)
	dst = binary.AppendUvarint(dst, t.attempts.hash)
	return binary.AppendUvarint(dst, t.rejects)
}

// trimmedOf is what was told of a campaign and is trimmed.
func trimmedOf(r pebble.Reader, campaign uint32) (told, error) {
	v, err := getCopy(r, campaignPart(campaign, partTrimmed))
	if err != nil || v == nil {
		return told{}, err
	}
	d := decoder{b: v}
	t := told{sum{d.uint(), d.uint()}, d.uint()}
	if err := d.err(); err != nil {
		return told{}, fmt.Errorf("trimmed events of campaign %d: %w", campaign, err)
	}
	return t, nil
}

// tally adds up what records tell of, by campaign.
type tally struct {
	by  map[uint32]*told
	key []byte
}

func (t *tally) count(e *entry) {
	if e.kind == eventNotice {
		return
	}
	of := t.by[e.campaign]
	if of == nil {
		of = new(told)
		t.by[e.campaign] = of
	}
	if e.kind == eventRejects {
		of.rejects += uint64(e.rejects.n)
		return
	}
	t.key = appendHistoryKey(t.key[:0], e.campaign, string(e.domain), e.seq, e.n)
	of.attempts.add(t.key)
}

// TrimEvents forgets the oldest events: those older than keep, and those beyond
// the newest most octets of the log (some five for each attempt); 0 keeps all.
// It goes by segments of an hour or 65,536 events, and the one that has not
// ended stays. So asked at least once an hour it forgets an event at most two
// hours after its time, also where nothing happens any more. It gives how many
// were forgotten. Any goroutine; two at once are no harm.
func (l *Ledger) TrimEvents(ctx context.Context, now time.Time, keep time.Duration, most int64) (n uint64, err error) {
	if err := l.enter(); err != nil {
		return 0, err
	}
	defer l.leave()
	l.trimming.Lock()
	defer l.trimming.Unlock()
	if err := l.endSegment(ctx, now); err != nil {
		return 0, fmt.Errorf("trim the event log: %w", err)
	}
	for {
		step, err := l.trimStep(ctx, now, keep, most)
		if n += step; err != nil {
			return n, fmt.Errorf("trim the event log: %w", err)
		}
		if step == 0 {
			return n, nil
		}
	}
}

// endSegment ends the newest segment if its time is over and no group does.
func (l *Ledger) endSegment(ctx context.Context, now time.Time) error {
	var newest segment
	if err := eachSegment(l.db, func(s segment) error {
		newest = s
		return nil
	}); err != nil {
		return err
	}
	if newest.first == 0 || !newest.over(now) || l.NextEvent() == newest.first {
		return nil
	}
	return l.writer.do(ctx, func(g *group) error { return g.events.end(&small{g.batch}, now) })
}

// trimStep trims some segments; 0: there are none to be trimmed.
func (l *Ledger) trimStep(ctx context.Context, now time.Time, keep time.Duration, most int64) (uint64, error) {
	snap := l.db.NewSnapshot()
	defer snap.Close()
	oldest, err := oldestEvent(snap)
	if err != nil {
		return 0, err
	}
	to, err := trimTo(snap, l.tip.bytes.Load(), oldest, now, keep, most)
	if err != nil || to <= oldest {
		return 0, err
	}
	gone := tally{by: make(map[uint32]*told)}
	if err := eachEventRecord(snap, appendEventKey(nil, spaceEvents, oldest), func(first uint64, v []byte) error {
		if first >= to {
			return ErrStop
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return eachEntry(v, func(e *entry) error {
			gone.count(e)
			return nil
		})
	}); err != nil && !errors.Is(err, ErrStop) {
		return 0, err
	}
	return to - oldest, l.writer.do(ctx, func(g *group) error { return g.trim(to, gone.by) })
}

// trimTo is the mark up to which to trim, some segments on at most; 0: none.
// size is what all records ever took.
func trimTo(r pebble.Reader, size, oldest uint64, now time.Time, keep time.Duration, most int64) (to uint64, err error) {
	var before uint64 // octets ahead of the segment that ends with the mark
	steps := 0
	err = eachSegment(r, func(s segment) error {
		if s.first <= oldest {
			before = s.bytes
			return nil
		}
		// What lies before the mark is at least as old as the mark.
		aged := keep > 0 && now.Sub(s.at) > keep
		over := most > 0 && size-before > uint64(most)
		if steps++; !aged && !over || steps > stepSegments {
			return ErrStop
		}
		to, before = s.first, s.bytes
		return nil
	})
	if errors.Is(err, ErrStop) {
		err = nil
	}
	return to, err
}

// trim forgets the events before a mark.
func (g *group) trim(to uint64, gone map[uint32]*told) error {
	for campaign, more := range gone {
		there, err := g.there(campaign)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		sum, err := trimmedOf(g.w.ledger.db, campaign)
		if err != nil {
			return err
		}
		sum.add(*more)
		if err := g.batch.Set(campaignPart(campaign, partTrimmed), sum.append(nil), nil); err != nil {
			return err
		}
	}
	return errors.Join(
		g.batch.DeleteRange([]byte{spaceEvents}, appendEventKey(nil, spaceEvents, to), nil),
		g.batch.DeleteRange([]byte{spaceSegment}, appendEventKey(nil, spaceSegment, to), nil),
		g.batch.Set(keyOldestEvent, binary.AppendUvarint(nil, to), nil))
}
