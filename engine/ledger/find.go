package ledger

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Find calls fn with what became of an address in every campaign that it is in,
// the newest first, until fn returns an error (ErrStop ends without one). before
// is a campaign's number, and only older ones are looked at; 0: all. Domain in
// lower-case A-label form.
//
// It costs one search in the address index for each campaign of the ledger, and
// three reads for each one that has the address.
func (l *Ledger) Find(ctx context.Context, local, domain string, before uint32, fn func(*Campaign, *Record) error) (err error) {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	snap := l.db.NewSnapshot()
	defer snap.Close()
	type named struct {
		number uint32
		name   string
	}
	var all []named
	if err := eachName(snap, func(name string, number uint32) error {
		if before == 0 || number < before {
			all = append(all, named{number, name})
		}
		return nil
	}); err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b named) int { return cmp.Compare(b.number, a.number) })
	index, err := snap.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceIndex}, UpperBound: []byte{spaceIndex + 1}})
	if err != nil {
		return err
	}
	defer closeIter(index, &err)
	hash := l.opt.hash([]byte(local), []byte(domain))
	for i, in := range all {
		if i%256 == 255 && ctx.Err() != nil {
			return ctx.Err()
		}
		seq, value, err := l.findIn(snap, index, in.number, hash, []byte(local), domain)
		if err != nil {
			return fmt.Errorf("look up in campaign %s: %w", in.name, err)
		}
		if value == nil {
			continue
		}
		// A load under way has no handle yet, and a deleted campaign has none any
		// more.
		c, err := l.Campaign(in.name)
		if errors.Is(err, ErrNoCampaign) {
			continue
		}
		if err != nil {
			return err
		}
		if c.number != in.number {
			continue // deleted meanwhile, and another one has the name
		}
		r, err := c.recordOf(snap, seq, value, local, domain)
		if err != nil {
			return err
		}
		if err := fn(c, r); errors.Is(err, ErrStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// find looks an address up in a campaign's index and compares it with the
// recipient; value nil: not there.
func (l *Ledger) find(r pebble.Reader, campaign uint32, local []byte, domain string) (_ Seq, value []byte, err error) {
	lower, upper := campaignBounds(spaceIndex, campaign)
	index, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return 0, nil, err
	}
	defer closeIter(index, &err)
	return l.findIn(r, index, campaign, l.opt.hash(local, []byte(domain)), local, domain)
}

// findIn is find by an iterator over the index.
func (l *Ledger) findIn(r pebble.Reader, index *pebble.Iterator, campaign uint32, hash uint64, local []byte, domain string) (_ Seq, value []byte, err error) {
	key := appendIndexKey(make([]byte, 0, campaignPrefix+12), campaign, hash, 0)
	prefix := key[:len(key)-4]
	for ok := index.SeekGE(key); ok && bytes.HasPrefix(index.Key(), prefix); ok = index.Next() {
		k := index.Key()
		if len(k) != len(key) {
			return 0, nil, errKey
		}
		seq := Seq(binary.BigEndian.Uint32(k[len(prefix):]))
		v, err := getCopy(r, appendSeqKey(nil, spaceRecipient, campaign, domain, seq))
		if err != nil {
			return 0, nil, err
		}
		if v == nil {
			continue // another domain with the same hash
		}
		flags, other, _, err := decodeRecipient(v)
		if err != nil {
			return 0, nil, err
		}
		if flags&rowErased == 0 && bytes.Equal(other, local) {
			return seq, v, nil
		}
	}
	return 0, nil, index.Error()
}

// recordOf is everything known about a recipient that was found.
func (c *Campaign) recordOf(r pebble.Reader, seq Seq, value []byte, local, domain string) (rec *Record, err error) {
	rec = &Record{Campaign: c.name, Seq: seq, Local: local, Domain: domain}
	if _, _, rec.Fields, err = decodeRecipient(value); err != nil {
		return nil, err
	}
	if rec.State, rec.Attempts, err = c.ledger.history(r, c.number, domain, seq); err != nil {
		return nil, err
	}
	v, err := getCopy(r, appendDomainKey(nil, spaceDomain, c.number, domain))
	if err != nil {
		return nil, err
	}
	d, _, err := decodeDomain(v)
	if err != nil {
		return nil, fmt.Errorf("domain %s: %w", domain, err)
	}
	rec.State = showing{c.cancelled(), d.trouble != nil}.of(rec.State)
	return rec, nil
}
