package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Record is everything known about one recipient.
type Record struct {
	Campaign      string
	Seq           Seq
	Local, Domain string
	Fields        []byte
	State         State
	Attempts      []Attempt
}

// ErrNoRecipient is returned by Lookup.
var ErrNoRecipient = errors.New("no such recipient")

// Lookup finds what became of an address; the domain in lower-case A-label
// form. ErrNoRecipient: the campaign has none with that address.
func (c *Campaign) Lookup(local, domain string) (*Record, error) {
	snap, end, err := c.view()
	if err != nil {
		return nil, err
	}
	defer end()
	seq, value, err := c.ledger.find(snap, c.number, []byte(local), domain)
	if err != nil {
		return nil, fmt.Errorf("look up in campaign %s: %w", c.name, err)
	}
	if value == nil {
		return nil, fmt.Errorf("campaign %s: %w", c.name, ErrNoRecipient)
	}
	return c.recordOf(snap, seq, value, local, domain)
}

// history reads a recipient's attempts and its state. Marks of having been
// handed back are left out: they are the ledger's own.
func (l *Ledger) history(r pebble.Reader, campaign uint32, domain string, seq Seq) (state State, list []Attempt, err error) {
	iter, err := r.NewIter(&pebble.IterOptions{
		LowerBound: appendHistoryKey(nil, campaign, domain, seq, 0),
		UpperBound: append(appendHistoryKey(nil, campaign, domain, seq, ^uint16(0)), 0),
	})
	if err != nil {
		return 0, nil, err
	}
	defer closeIter(iter, &err)
	for ok := iter.First(); ok; ok = iter.Next() {
		_, _, n, err := splitHistoryKey(iter.Key())
		if err != nil {
			return 0, nil, err
		}
		e, err := decodeEvent(iter.Value())
		if err != nil {
			return 0, nil, fmt.Errorf("history of %s %d: %w", domain, seq, err)
		}
		state = e.state
		if e.returned {
			continue
		}
		a, err := l.attempt(r, n, iter.Value())
		if err != nil {
			return 0, nil, fmt.Errorf("history of %s %d: %w", domain, seq, err)
		}
		list = append(list, a)
	}
	return state, list, iter.Error()
}

// Rejects calls fn for every row that was not loaded, in file order. fn may
// end it with ErrStop.
func (c *Campaign) Rejects(ctx context.Context, fn func(*Reject) error) (err error) {
	snap, end, err := c.view()
	if err != nil {
		return err
	}
	defer end()
	err = eachReject(snap, c.number, func(_ []byte, r *Reject) error {
		if err := errors.Join(ctx.Err(), c.exists()); err != nil {
			return err
		}
		return fn(r)
	})
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

// eachReject walks a campaign's rejects; the key dies with the call.
func eachReject(r pebble.Reader, campaign uint32, fn func(key []byte, r *Reject) error) (err error) {
	lower, upper := campaignBounds(spaceReject, campaign)
	iter, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	for ok := iter.First(); ok; ok = iter.Next() {
		k := iter.Key()
		if len(k) != campaignPrefix+4 {
			return errKey
		}
		rej, err := decodeReject(iter.Value())
		if err != nil {
			return fmt.Errorf("reject %x: %w", k, err)
		}
		rej.Seq = Seq(binary.BigEndian.Uint32(k[campaignPrefix:]))
		if err := fn(k, &rej); err != nil {
			return err
		}
	}
	return iter.Error()
}

// Learn remembers a value for (kind, key) across restarts; nil forgets it.
// kind has no zero byte. On disk with one of the next groups.
func (l *Ledger) Learn(kind, key string, value []byte) error {
	return l.learn(kind, key, value)
}

// Tell is Learn, together with what the event log tells of it: after a crash
// both are there or neither.
func (l *Ledger) Tell(kind, key string, value []byte, n Notice) error {
	return l.learn(kind, key, value, n)
}

func (l *Ledger) learn(kind, key string, value []byte, news ...Notice) error {
	k := appendLearnedKey(nil, kind, key)
	v := bytes.Clone(value)
	return l.writer.put(false, func(in *inbox) {
		in.changes = append(in.changes, change{done: make(chan error, 1), apply: func(g *group) error {
			for i := range news {
				if err := g.tell(news[i]); err != nil {
					return err
				}
			}
			if v == nil {
				return g.batch.Delete(k, nil)
			}
			return g.batch.Set(k, v, nil)
		}})
	})
}

// Learned is the value remembered for (kind, key); nil: there is none. What was
// handed to Learn counts once it is on disk, see Flush.
func (l *Ledger) Learned(kind, key string) ([]byte, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	return getCopy(l.db, appendLearnedKey(nil, kind, key))
}

// ForEachLearned calls fn for everything learned of a kind, in key order.
func (l *Ledger) ForEachLearned(kind string, fn func(key string, value []byte) error) (err error) {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	lower := appendLearnedKey(nil, kind, "")
	upper := append(appendLearnedKey(nil, kind, "")[:len(lower)-1], 1)
	iter, err := l.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	for ok := iter.First(); ok; ok = iter.Next() {
		if err := fn(string(iter.Key()[len(lower):]), bytes.Clone(iter.Value())); err != nil {
			return err
		}
	}
	return iter.Error()
}
