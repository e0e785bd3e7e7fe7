package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Policy says what becomes of a recipient whose last attempt is uncertain.
type Policy uint8

const (
	// Retry tries again: due at once after a crash.
	Retry Policy = iota
	// Hold keeps the recipient uncertain for good.
	Hold
)

func (c *Campaign) isResumed() bool { return c.canRead.Load() }

// Resume makes the campaign ready for reading: it loads the retry queue's
// times, and settles whom a crash left leased: an uncertain attempt, to be
// tried again now or held, as the policy says. It gives how many those were.
// They are on disk when it returns. A second call does nothing.
func (c *Campaign) Resume(ctx context.Context, now time.Time, policy Policy) (uncertain int, err error) {
	if err := c.load(); err != nil {
		return 0, err
	}
	if err := c.enter(); err != nil {
		return 0, err
	}
	defer c.ledger.leave()
	c.open.Lock()
	defer c.open.Unlock()
	if c.canRead.Load() {
		return 0, nil
	}
	list, err := c.recover(now, policy)
	if err != nil {
		return 0, fmt.Errorf("resume campaign %s: %w", c.name, err)
	}
	c.ledger.SettleAll(list)
	if err := c.ledger.Flush(ctx); err != nil {
		return 0, fmt.Errorf("resume campaign %s: %w", c.name, err)
	}
	c.canRead.Store(true)
	return len(list), nil
}

// recover rebuilds what was in memory. Everybody between the low and the high
// marks without a record that ends the lease was leased: those become flights
// again, and settlements that end them.
func (c *Campaign) recover(now time.Time, policy Policy) ([]Settlement, error) {
	var list []Settlement
	settle := func(d *Domain, f *flight) {
		for i := range f.items {
			if f.items[i].settled {
				continue
			}
			s := Settlement{Domain: d, Seq: f.items[i].seq, State: Uncertain, Attempted: true, At: now, Text: crashText}
			if policy == Retry {
				s.Due = now
			}
			list = append(list, s)
		}
	}
	for _, d := range *c.domains.Load() {
		if d.low >= d.high {
			continue
		}
		f, err := c.leasedFresh(d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		d.mu.Lock()
		if len(f.items) == 0 {
			// Everybody was settled, only the mark lagged behind.
			d.low = d.high
		} else {
			d.activate().fresh = append(d.active.fresh, f)
		}
		d.mu.Unlock()
		settle(d, f)
	}
	err := c.recoverQueue(now, settle)
	return list, err
}

// crashText is the reply text of an attempt that a crash cut off.
const crashText = "the process ended before the answer"

// leasedFresh finds the recipients in (low, high] that have no history.
func (c *Campaign) leasedFresh(d *Domain) (_ *flight, err error) {
	bounds := func(space byte, tail ...byte) *pebble.IterOptions {
		return &pebble.IterOptions{
			LowerBound: appendSeqKey(nil, space, c.number, d.name, d.low+1),
			UpperBound: append(append(appendSeqKey(nil, space, c.number, d.name, d.high), tail...), 0),
		}
	}
	rows, err := c.ledger.db.NewIter(bounds(spaceRecipient))
	if err != nil {
		return nil, err
	}
	defer closeIter(rows, &err)
	history, err := c.ledger.db.NewIter(bounds(spaceHistory, 0xff, 0xff))
	if err != nil {
		return nil, err
	}
	defer closeIter(history, &err)
	f := &flight{leased: true}
	more := history.First()
	for ok := rows.First(); ok; ok = rows.Next() {
		_, seq, err := splitSeqKey(rows.Key())
		if err != nil {
			return nil, err
		}
		known := false
		for ; more; more = history.Next() {
			_, s, _, err := splitHistoryKey(history.Key())
			if err != nil {
				return nil, err
			}
			if s > seq {
				break
			}
			known = known || s == seq
		}
		if !known {
			f.items = append(f.items, item{seq: seq, was: Pending})
		}
	}
	f.open = len(f.items)
	return f, errors.Join(rows.Error(), history.Error())
}

// recoverQueue reads the retry queue: passed entries that are still there,
// those leased, and the times of the rest.
func (c *Campaign) recoverQueue(now time.Time, leased func(*Domain, *flight)) (err error) {
	lower, upper := campaignBounds(spaceQueue, c.number)
	iter, err := c.ledger.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	var d *Domain
	var f *flight
	finish := func() {
		if f != nil {
			d.mu.Lock()
			d.active.retry = append(d.active.retry, f)
			d.mu.Unlock()
			leased(d, f)
		}
		f = nil
	}
	for ok := iter.First(); ok; ok = iter.Next() {
		name, at, err := splitQueueKey(iter.Key())
		if err != nil {
			return err
		}
		w, err := decodeWaiting(iter.Value())
		if err != nil {
			return fmt.Errorf("retry queue of %s: %w", name, err)
		}
		if d == nil || string(name) != d.name {
			finish()
			if d = c.domain(string(name)); d == nil {
				return fmt.Errorf("retry queue of %s, which is no domain of it: %w", name, errDamaged)
			}
			d.mu.Lock()
			d.activate().queue.shiftBehind(millis(now))
			d.mu.Unlock()
		}
		d.mu.Lock()
		q := &d.activate().queue
		switch {
		case at.compare(q.low) <= 0:
			q.passed = append(q.passed, at)
		case at.compare(q.high) > 0:
			q.recount(at, w.due, now)
		default:
			if f == nil {
				f = &flight{leased: true}
			}
		}
		d.mu.Unlock()
		if f == nil || at.compare(q.low) <= 0 || at.compare(q.high) > 0 {
			continue
		}
		open, err := queueLeaseOpen(c.ledger.db, c.number, d.name, at, w)
		if err != nil {
			return err
		}
		f.items = append(f.items, item{
			seq: at.seq, bucket: at.bucket, attempts: w.attempts, was: w.was, settled: !open,
		})
		if open {
			f.open++
		}
	}
	finish()
	return iter.Error()
}

// queueLeaseOpen tells whether a queue entry that was leased is still without
// an end: no record of the attempt that followed, nor a mark of having been
// handed back since, which would name a later entry.
func queueLeaseOpen(r pebble.Reader, campaign uint32, domain string, at place, w waiting) (bool, error) {
	v, err := getCopy(r, appendHistoryKey(nil, campaign, domain, at.seq, w.attempts+1))
	if err != nil || v == nil {
		return v == nil, err
	}
	e, err := decodeEvent(v)
	if err != nil {
		return false, fmt.Errorf("history of %s %d: %w", domain, at.seq, err)
	}
	return e.returned && e.bucket == at.bucket, nil
}
