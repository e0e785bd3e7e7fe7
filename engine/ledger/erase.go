package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// Erase removes an address and its merge fields from every campaign: the
// recipient, the index, rejects, and reply texts and examples that quote the
// address or its local part. Counts stay, and so do attempts, without a name.
// Somebody who was still to be tried is cancelled when next read; whoever is
// in flight is not called back, and its last answer may quote the address: then
// erase again. Domain in lower-case A-label form; n is how many recipients and
// rejects there were.
//
// When it returns the tables that held the address are rewritten. Pebble's log
// files, which are reused, may hold bytes of past loads and replies until they
// are written over; a local part that a server put into its answer as a plain
// word may remain in the dictionary of reply shapes, with nothing that leads
// from it to the address.
func (l *Ledger) Erase(ctx context.Context, local, domain string) (n int, err error) {
	if err := l.enter(); err != nil {
		return 0, err
	}
	defer l.leave()
	e := &erasure{ledger: l, local: []byte(local), domain: domain}
	defer e.close()
	if err := eachCampaign(l.db, e.campaign); err != nil {
		return 0, fmt.Errorf("erase an address: %w", err)
	}
	if e.found == 0 {
		return 0, nil
	}
	if err := l.writer.do(ctx, e.apply); err != nil {
		return 0, fmt.Errorf("erase an address: %w", err)
	}
	l.revision.Add(1)
	l.mu.Lock()
	for _, c := range l.campaigns {
		c.readers.renew()
	}
	l.mu.Unlock()
	for _, key := range e.keys {
		if err := l.guard(func() error { return l.db.Compact(ctx, key, append(bytes.Clone(key), 0), false) }); err != nil {
			return e.found, fmt.Errorf("erase an address: removed, but its old table was not rewritten: %w", err)
		}
	}
	return e.found, nil
}

type erasure struct {
	ledger *Ledger
	local  []byte
	domain string
	// parts are what is written to each campaign; batch is the last one's.
	parts []erasurePart
	batch *pebble.Batch
	keys  [][]byte
	found int
}

type erasurePart struct {
	campaign uint32
	batch    *pebble.Batch
}

// apply adds the erasure to a group, but for campaigns that were deleted since
// they were looked at: nothing of them may come back.
func (e *erasure) apply(g *group) error {
	for _, part := range e.parts {
		there, err := g.there(part.campaign)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if err := g.batch.Apply(part.batch, nil); err != nil {
			return err
		}
	}
	return nil
}

func (e *erasure) close() {
	for _, part := range e.parts {
		_ = part.batch.Close() // frees memory, and never fails
	}
}

func (e *erasure) set(key, value []byte) error {
	e.keys = append(e.keys, key)
	return e.batch.Set(key, value, nil)
}

func (e *erasure) campaign(rec *campaignRecord) error {
	if !rec.Loaded {
		return nil
	}
	l := e.ledger
	e.batch = l.db.NewBatch()
	e.parts = append(e.parts, erasurePart{rec.Number, e.batch})
	seq, value, err := l.find(l.db, rec.Number, e.local, e.domain)
	if err != nil {
		return err
	}
	if value != nil {
		e.found++
		index := appendIndexKey(nil, rec.Number, l.opt.hash(e.local, []byte(e.domain)), seq)
		e.keys = append(e.keys, index)
		if err := errors.Join(
			e.set(appendSeqKey(nil, spaceRecipient, rec.Number, e.domain, seq), appendRecipient(nil, value[0]|rowErased, nil, nil)),
			e.batch.Delete(index, nil),
			e.history(rec.Number, seq)); err != nil {
			return err
		}
	}
	if err := e.examples(rec.Number); err != nil {
		return err
	}
	return eachReject(l.db, rec.Number, func(key []byte, r *Reject) error {
		at := strings.LastIndexByte(r.Address, '@')
		if at < 0 || r.Address[:at] != string(e.local) || !strings.EqualFold(r.Address[at+1:], e.domain) {
			return nil
		}
		e.found++
		r.Address = ""
		return e.set(bytes.Clone(key), appendReject(nil, r))
	})
}

// quotes tells whether a text names the address.
func (e *erasure) quotes(text string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(string(e.local)))
}

// history takes the texts that name the recipient out of its records. Records
// with a text are final, so nobody else writes them.
func (e *erasure) history(campaign uint32, seq Seq) (err error) {
	l := e.ledger
	iter, err := l.db.NewIter(&pebble.IterOptions{
		LowerBound: appendHistoryKey(nil, campaign, e.domain, seq, 0),
		UpperBound: append(appendHistoryKey(nil, campaign, e.domain, seq, ^uint16(0)), 0),
	})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	for ok := iter.First(); ok; ok = iter.Next() {
		v, err := decodeEvent(iter.Value())
		if err != nil {
			return err
		}
		text, err := l.shapes.decodeText(v.text)
		if err != nil {
			return err
		}
		if text == "" || !e.quotes(text) {
			continue
		}
		v.text = nil
		if err := e.set(bytes.Clone(iter.Key()), v.append(nil)); err != nil {
			return err
		}
	}
	return iter.Error()
}

// examples replaces a reply's example that names the whole address by its
// shape.
func (e *erasure) examples(campaign uint32) error {
	address := strings.ToLower(string(e.local) + "@" + e.domain)
	return eachReply(e.ledger.db, campaign, func(key replyKey, _ uint64, example string) error {
		if !strings.Contains(strings.ToLower(example), address) {
			return nil
		}
		shape, _ := e.ledger.shapes.text(key.shape)
		return e.set(key.append(nil, campaign, partExample), []byte(readable(shape)))
	})
}
