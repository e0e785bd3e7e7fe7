package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// eventLog numbers what happened and writes one record a group: the history
// keys of the group, in order, each as what differs from the one before. The
// history is the event's content, so an event costs a few bytes. Marks of
// returned recipients are no events, hence every event's record stays as it
// is. Writer only.
type eventLog struct {
	next uint64

	record   []byte
	n        uint64
	campaign uint32
	domain   string
	seq      Seq
}

func (l *eventLog) begin() {
	l.record, l.n = l.record[:0], 0
	l.campaign, l.domain, l.seq = 0, "", 0
}

const (
	eventSame      = 0 // same campaign and domain
	eventNewDomain = 1
)

func (l *eventLog) add(campaign uint32, domain string, seq Seq, n uint16) {
	if campaign == l.campaign && domain == l.domain {
		l.record = append(l.record, eventSame)
	} else {
		l.record = append(l.record, eventNewDomain)
		l.record = binary.AppendUvarint(l.record, uint64(campaign))
		l.record = appendBytes(l.record, domain)
		l.campaign, l.domain = campaign, domain
		l.seq = 0
	}
	l.record = binary.AppendVarint(l.record, int64(seq)-int64(l.seq))
	l.record = binary.AppendUvarint(l.record, uint64(n))
	l.seq = seq
	l.n++
}

func (l *eventLog) seal(b *pebble.Batch) error {
	if l.n == 0 {
		return nil
	}
	key := binary.BigEndian.AppendUint64([]byte{spaceEvents}, l.next)
	return b.Set(key, l.record, nil)
}

func (l *eventLog) committed() {
	l.next += l.n
	l.n = 0
}

// eventKey is what an event points at; domain lies in the record.
type eventKey struct {
	campaign uint32
	domain   []byte
	seq      Seq
	n        uint16
}

// eachEventKey walks one record.
func eachEventKey(v []byte, fn func(eventKey) error) error {
	d := decoder{b: v}
	var k eventKey
	for len(d.b) > 0 {
		switch d.byte() {
		case eventSame:
		case eventNewDomain:
			k.campaign, k.domain, k.seq = d.uint32(), d.bytes(), 0
		default:
			d.bad = true
		}
		k.seq = Seq(int64(k.seq) + d.int())
		k.n = d.uint16()
		if err := d.err(); err != nil {
			return err
		}
		if err := fn(k); err != nil {
			return err
		}
	}
	return nil
}

// recover finds the number of the next event.
func (l *eventLog) recover(r pebble.Reader) (err error) {
	iter, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceEvents}, UpperBound: []byte{spaceEvents + 1}})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	l.next = 1
	if !iter.Last() {
		return iter.Error()
	}
	first, err := eventNumber(iter.Key())
	if err != nil {
		return err
	}
	l.next = first
	return eachEventKey(iter.Value(), func(eventKey) error { l.next++; return nil })
}

func eventNumber(key []byte) (uint64, error) {
	if len(key) != 9 {
		return 0, errKey
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

// Event is one recipient's attempt, or its end without one.
type Event struct {
	// Number rises by one from event to event, without gaps, from 1. Those of
	// deleted campaigns are not seen.
	Number   uint64
	Campaign string
	Domain   string
	Seq      Seq
	Attempt  Attempt
}

// ErrStop ends a walk early without an error.
var ErrStop = errors.New("stop")

// Events calls fn for every event on disk from a number on, in order, until fn
// returns an error (ErrStop ends without one), and gives the number to go on
// from. Events of campaigns that were deleted are passed over. What is committed meanwhile is left for the next call: Options.Durable
// says when there is more.
func (l *Ledger) Events(ctx context.Context, from uint64, fn func(*Event) error) (next uint64, err error) {
	if err := l.enter(); err != nil {
		return from, err
	}
	defer l.leave()
	snap := l.db.NewSnapshot()
	defer snap.Close()
	iter, err := snap.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceEvents}, UpperBound: []byte{spaceEvents + 1}})
	if err != nil {
		return from, err
	}
	defer closeIter(iter, &err)
	from = max(from, 1)
	seek := binary.BigEndian.AppendUint64([]byte{spaceEvents}, from)
	// The record before may reach beyond its own number.
	ok := iter.SeekLT(append(seek, 0))
	if !ok {
		ok = iter.First()
	}
	names := make(map[uint32]string)
	var key []byte
	for ; ok; ok = iter.Next() {
		if err := ctx.Err(); err != nil {
			return from, err
		}
		number, err := eventNumber(iter.Key())
		if err != nil {
			return from, err
		}
		err = eachEventKey(iter.Value(), func(k eventKey) error {
			defer func() { number++ }()
			if number < from {
				return nil
			}
			name, err := l.campaignName(snap, names, k.campaign)
			if err != nil {
				return err
			}
			if name == "" {
				from = number + 1
				return nil // it was deleted
			}
			e := &Event{Number: number, Campaign: name, Domain: string(k.domain), Seq: k.seq}
			key = appendHistoryKey(key[:0], k.campaign, e.Domain, k.seq, k.n)
			v, err := getCopy(snap, key)
			if err != nil {
				return err
			}
			if e.Attempt, err = l.attempt(snap, k.n, v); err != nil {
				return fmt.Errorf("event %d: %w", number, err)
			}
			if err := fn(e); err != nil {
				return err
			}
			from = number + 1
			return nil
		})
		if errors.Is(err, ErrStop) {
			return from, nil
		}
		if err != nil {
			return from, err
		}
	}
	return from, iter.Error()
}

// campaignName is empty for a campaign that was deleted.
func (l *Ledger) campaignName(r pebble.Reader, names map[uint32]string, number uint32) (string, error) {
	if name, ok := names[number]; ok {
		return name, nil
	}
	rec, err := readCampaignNumber(r, number)
	if errors.Is(err, ErrNoCampaign) {
		names[number] = ""
		return "", nil
	}
	if err != nil {
		return "", err
	}
	names[number] = rec.Name
	return rec.Name, nil
}

// attempt is a history record as the API shows it.
func (l *Ledger) attempt(r pebble.Reader, n uint16, v []byte) (Attempt, error) {
	e, err := decodeEvent(v)
	if err != nil {
		return Attempt{}, err
	}
	a := Attempt{
		Number: int(e.attempts(n)), Attempted: e.attempted, At: e.at, Took: e.took, State: e.state,
		Command: e.command, Code: int(e.code), Enhanced: e.enhanced, Anomaly: e.anomaly, Due: e.due,
	}
	if a.Text, err = l.shapes.decodeText(e.text); err != nil {
		return a, err
	}
	if e.peer != 0 {
		p, err := l.peerByID(r, e.peer)
		if err != nil {
			return a, err
		}
		a.Host, a.Addr, a.Source, a.TLS = p.Host, p.Addr, p.Source, p.TLS
	}
	return a, nil
}
