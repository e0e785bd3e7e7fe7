package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// ErrNotResumed is returned for reading from a campaign before Resume.
var ErrNotResumed = errors.New("campaign was not resumed")

// readers are a campaign's idle iterators over its recipients. Recipients
// never change (an erased one is looked at again when it is leased), so an
// iterator stays right for as long as it is kept, but it holds on to files
// that compactions have replaced: the space watch closes idle ones, and old
// ones are not given out again.
type readers struct {
	db           *pebble.DB
	lower, upper []byte
	// turn keeps two readers out of the same domain, without a lock in each.
	turn [16]sync.Mutex

	mu   sync.Mutex
	idle []reader // guarded by mu
	// erasures makes iterators from before an erasure, or before a segment was
	// taken in, unfit. Guarded by mu.
	erasures int
}

type reader struct {
	*pebble.Iterator
	made     time.Time
	erasures int
}

const (
	idleReaders  = 4
	readerMaxAge = 10 * time.Second
)

func (r *readers) open(db *pebble.DB, campaign uint32) {
	r.db = db
	r.lower, r.upper = campaignBounds(spaceRecipient, campaign)
}

func (r *readers) get() (reader, error) {
	now := time.Now()
	r.mu.Lock()
	for len(r.idle) > 0 {
		it := r.idle[len(r.idle)-1]
		r.idle = r.idle[:len(r.idle)-1]
		if now.Sub(it.made) < readerMaxAge {
			r.mu.Unlock()
			return it, nil
		}
		it.Close()
	}
	erasures := r.erasures
	r.mu.Unlock()
	it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: r.lower, UpperBound: r.upper})
	return reader{it, now, erasures}, err
}

func (r *readers) put(it reader) {
	r.mu.Lock()
	if len(r.idle) < idleReaders && it.erasures == r.erasures && it.Error() == nil {
		r.idle = append(r.idle, it)
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	it.Close()
}

// closeIdle closes those made before a time; the zero time closes all.
func (r *readers) closeIdle(before time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.idle[:0]
	for _, it := range r.idle {
		if before.IsZero() || it.made.Before(before) {
			it.Close()
			continue
		}
		kept = append(kept, it)
	}
	r.idle = kept
}

// renew makes sure that nobody reads on from before an erasure or a segment.
func (r *readers) renew() {
	r.mu.Lock()
	r.erasures++
	r.mu.Unlock()
	r.closeIdle(time.Time{})
}

// begin is what both kinds of reading start with; end undoes it.
func (d *Domain) begin() (end func(), err error) {
	c := d.campaign
	if err := c.enter(); err != nil {
		return nil, err
	}
	turn := &c.readers.turn[len(d.name)*31%16^int(d.name[0])%16]
	turn.Lock()
	return func() {
		turn.Unlock()
		c.ledger.leave()
	}, nil
}

// ReadFresh fills b with the next n recipients who were never tried, in file
// order; fewer at the domain's end. Lease the batch before anybody in it is
// tried. What is read but never leased is read again after a restart.
func (d *Domain) ReadFresh(b *Batch, n int) (err error) {
	b.reset(d, false)
	if !d.campaign.isResumed() {
		return ErrNotResumed
	}
	end, err := d.begin()
	if err != nil {
		return err
	}
	defer end()
	d.mu.Lock()
	from, left := d.read, int(d.unread)
	d.mu.Unlock()
	if n = min(n, left); n <= 0 {
		return nil
	}
	it, err := d.campaign.readers.get()
	if err != nil {
		return fmt.Errorf("read recipients of %s: %w", d.name, err)
	}
	defer d.campaign.readers.put(it)
	items := make([]item, 0, n)
	key := appendSeqKey(make([]byte, 0, 64), spaceRecipient, d.campaign.number, d.name, from+1)
	prefix := key[:len(key)-4]
	for ok := it.SeekGE(key); ok && len(items) < n; ok = it.Next() {
		k := it.Key()
		if len(k) != len(prefix)+4 || !bytes.Equal(k[:len(prefix)], prefix) {
			break
		}
		flags, local, fields, err := decodeRecipient(it.Value())
		if err != nil {
			return fmt.Errorf("recipient %x: %w", k, err)
		}
		if flags&rowSuppressed != 0 {
			continue
		}
		seq := Seq(binary.BigEndian.Uint32(k[len(prefix):]))
		items = append(items, item{seq: seq, was: Pending, erased: flags&rowErased != 0})
		b.take(&items[len(items)-1], local, fields)
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("read recipients of %s: %w", d.name, err)
	}
	if len(items) < n {
		if err := d.campaign.exists(); err != nil {
			return err
		}
		return fmt.Errorf("read recipients of %s: %d of %d are missing: %w", d.name, n-len(items), n, errDamaged)
	}
	f := &flight{items: items, open: len(items)}
	d.mu.Lock()
	d.read = f.last().seq
	d.unread -= uint32(n)
	d.activate().fresh = append(d.active.fresh, f)
	d.mu.Unlock()
	b.flight = f
	return nil
}

// take adds a recipient to the batch, unless it was erased.
func (b *Batch) take(it *item, local, fields []byte) {
	if it.erased {
		b.erased = true
		return
	}
	b.Recipients = append(b.Recipients, Recipient{
		Seq: it.seq, Local: b.keep(local), Fields: b.keep(fields),
		Was: it.was, Attempts: it.attempts,
	})
}

// ReadDue fills b with at most n recipients from the retry queue who are due:
// deferred, uncertain, or handed back. Lease the batch before anybody in it is
// tried. Entries that are just being committed may be left for the next call.
func (d *Domain) ReadDue(b *Batch, now time.Time, n int) (err error) {
	b.reset(d, true)
	if !d.campaign.isResumed() {
		return ErrNotResumed
	}
	end, err := d.begin()
	if err != nil {
		return err
	}
	defer end()
	d.mu.Lock()
	var from, to place
	want := 0
	if d.active != nil {
		from, to, want = d.active.queue.claim(millis(now), n)
	}
	partial := d.active != nil && d.active.queue.barrier != (place{})
	d.mu.Unlock()
	if want == 0 {
		return nil
	}
	items, err := d.readQueue(from, to, want)
	if err == nil && len(items) < want && !partial {
		err = fmt.Errorf("%d of %d entries are missing: %w", want-len(items), want, errDamaged)
	}
	if err == nil {
		err = d.readQueued(b, items)
	}
	if err != nil {
		items = nil
		b.reset(d, true)
	}
	d.mu.Lock()
	d.active.queue.release(from, items)
	if len(items) > 0 {
		b.flight = &flight{items: items, open: len(items)}
		d.active.retry = append(d.active.retry, b.flight)
	}
	d.mu.Unlock()
	if gone := d.campaign.exists(); err != nil && gone != nil {
		return gone // and what was read of it was missing
	}
	if err != nil {
		return fmt.Errorf("read retry queue of %s: %w", d.name, err)
	}
	return nil
}

// readQueue reads n entries in (from, to].
func (d *Domain) readQueue(from, to place, n int) (items []item, err error) {
	number := d.campaign.number
	lower := append(appendQueueKey(nil, number, d.name, from), 0)
	upper := append(appendQueueKey(nil, number, d.name, to), 0)
	iter, err := d.campaign.ledger.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, err
	}
	defer closeIter(iter, &err)
	items = make([]item, 0, n)
	for ok := iter.First(); ok && len(items) < n; ok = iter.Next() {
		_, at, err := splitQueueKey(iter.Key())
		if err != nil {
			return nil, err
		}
		w, err := decodeWaiting(iter.Value())
		if err != nil {
			return nil, err
		}
		items = append(items, item{seq: at.seq, bucket: at.bucket, attempts: w.attempts, was: w.was})
	}
	return items, iter.Error()
}

// readQueued reads the recipients of queue entries.
func (d *Domain) readQueued(b *Batch, items []item) error {
	it, err := d.campaign.readers.get()
	if err != nil {
		return err
	}
	defer d.campaign.readers.put(it)
	var key []byte
	for i := range items {
		key = appendSeqKey(key[:0], spaceRecipient, d.campaign.number, d.name, items[i].seq)
		if !it.SeekGE(key) || !bytes.Equal(it.Key(), key) {
			if err := it.Error(); err != nil {
				return err
			}
			return fmt.Errorf("recipient %d: %w", items[i].seq, errDamaged)
		}
		flags, local, fields, err := decodeRecipient(it.Value())
		if err != nil {
			return fmt.Errorf("recipient %d: %w", items[i].seq, err)
		}
		items[i].erased = flags&rowErased != 0
		b.take(&items[i], local, fields)
	}
	return nil
}
