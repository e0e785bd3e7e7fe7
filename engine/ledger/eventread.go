package ledger

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// MissingEvents is the error of a read that begins before the oldest event
// that is kept.
type MissingEvents struct{ From, Oldest uint64 }

func (e *MissingEvents) Error() string {
	return fmt.Sprintf("events %d to %d are no longer kept", e.From, e.Oldest-1)
}

// EventReader reads the event log a batch at a time. It keeps memory for the
// next batch, and nothing open between two. One goroutine at a time.
//
// History and recipients are read in the order in which they lie on disk, so
// that two iterators pass over each place once; the events come in the order of
// their numbers.
type EventReader struct {
	ledger *Ledger
	filter eventFilter

	events   []Event
	attempts []attemptOf
	runs     []eventRun
	byRun    map[string]int32
	names    map[uint32]string // of the batch; empty: deleted
	locals   nameBlock
	key      []byte
}

// eventRun is a domain of a campaign that events of a batch are of.
type eventRun struct {
	campaign           uint32
	name, domain, site string
	chosen             bool
	rank               int32 // in the order of the keys
}

// attemptOf is an attempt whose record is to be read.
type attemptOf struct {
	event, run int32
	seq        Seq
	n          uint16
}

// EventReader gives a reader of those events that the filter chooses. The error
// is a mistake in the filter.
func (l *Ledger) EventReader(f EventFilter) (*EventReader, error) {
	c, err := f.compile()
	if err != nil {
		return nil, err
	}
	return &EventReader{ledger: l, filter: c, byRun: make(map[string]int32), names: make(map[uint32]string)}, nil
}

// Read looks at up to most events on disk from a number on, and gives those
// chosen, which are good until the next Read, and the number to go on from. That
// is from itself when there are no more. *MissingEvents: they begin later.
func (r *EventReader) Read(ctx context.Context, from uint64, most int) (_ []Event, next uint64, err error) {
	l := r.ledger
	if err := l.enter(); err != nil {
		return nil, from, err
	}
	defer l.leave()
	snap := l.db.NewSnapshot()
	defer snap.Close()
	oldest, err := oldestEvent(snap)
	if err != nil {
		return nil, from, err
	}
	from = max(from, 1)
	if from < oldest {
		return nil, from, &MissingEvents{From: from, Oldest: oldest}
	}
	r.begin()
	if next, err = r.collect(ctx, snap, from, from+uint64(most)); err != nil {
		return nil, from, fmt.Errorf("read events: %w", err)
	}
	if err := r.resolve(snap); err != nil {
		return nil, from, fmt.Errorf("read events: %w", err)
	}
	return slices.DeleteFunc(r.events, func(e Event) bool { return e.Number == 0 }), next, nil
}

func (r *EventReader) begin() {
	clear(r.events[:cap(r.events)])
	r.events, r.attempts, r.runs = r.events[:0], r.attempts[:0], r.runs[:0]
	clear(r.byRun)
	clear(r.names)
	r.locals = nameBlock{}
}

// collect goes over the log's records and notes what is chosen of them, as far
// as that can be told without looking elsewhere.
func (r *EventReader) collect(ctx context.Context, snap pebble.Reader, from, until uint64) (next uint64, err error) {
	iter, err := snap.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceEvents}, UpperBound: []byte{spaceEvents + 1}})
	if err != nil {
		return from, err
	}
	defer closeIter(iter, &err)
	rejects := rejectWalk{reader: snap}
	defer rejects.close(&err)
	next = from
	// The record before may reach beyond its own number.
	ok := iter.SeekLT(append(appendEventKey(nil, spaceEvents, from), 0))
	if !ok {
		ok = iter.First()
	}
	for ; ok && next < until; ok = iter.Next() {
		if err := ctx.Err(); err != nil {
			return next, err
		}
		number, err := eventNumber(iter.Key())
		if err != nil {
			return next, err
		}
		if err := eachEntry(iter.Value(), func(e *entry) error {
			first := number
			number += e.numbers()
			if number <= from {
				return nil
			}
			if first > next && next < until {
				// Whoever goes on from here would come back here for ever.
				return fmt.Errorf("events %d to %d are missing: %w", next, first-1, errDamaged)
			}
			if first >= until {
				return ErrStop
			}
			next = min(number, until)
			switch e.kind {
			case eventNotice:
				return r.addNotice(first, e)
			case eventRejects:
				return r.addRejects(snap, &rejects, e, first, from, until)
			default:
				return r.addAttempt(snap, first, e)
			}
		}); err != nil && err != ErrStop {
			return next, fmt.Errorf("event record %x: %w", iter.Key(), err)
		}
	}
	return next, iter.Error()
}

func (r *EventReader) addNotice(number uint64, e *entry) error {
	n := new(Notice)
	if err := json.Unmarshal(e.notice, n); err != nil {
		return fmt.Errorf("event %d: %w", number, err)
	}
	if r.filter.notice(n) {
		r.events = append(r.events, Event{Number: number, Kind: n.kind(), At: n.At, Campaign: n.Campaign, Site: n.Site, Notice: n})
	}
	return nil
}

func (r *EventReader) addAttempt(snap pebble.Reader, number uint64, e *entry) error {
	if !r.filter.kinds[EventAttempt] {
		return nil
	}
	at, err := r.runOf(snap, e)
	if err != nil || !r.runs[at].chosen {
		return err
	}
	r.attempts = append(r.attempts, attemptOf{event: int32(len(r.events)), run: at, seq: e.seq, n: e.n})
	r.events = append(r.events, Event{Number: number, Kind: EventAttempt, Seq: e.seq})
	return nil
}

// runOf finds the domain of an attempt, and whether it is chosen.
func (r *EventReader) runOf(snap pebble.Reader, e *entry) (int32, error) {
	if n := len(r.attempts); n > 0 {
		last := r.attempts[n-1].run
		if run := &r.runs[last]; run.campaign == e.campaign && run.domain == string(e.domain) {
			return last, nil
		}
	}
	r.key = append(binary.BigEndian.AppendUint32(r.key[:0], e.campaign), e.domain...)
	if at, ok := r.byRun[string(r.key)]; ok {
		return at, nil
	}
	run := eventRun{campaign: e.campaign, domain: string(e.domain)}
	var err error
	if run.name, err = r.nameOf(snap, e.campaign); err != nil {
		return 0, err
	}
	f := &r.filter
	run.chosen = run.name != "" && (f.campaigns == nil || f.campaigns[run.name]) && (f.domains == nil || f.domains[run.domain])
	if run.chosen {
		v, err := getCopy(snap, appendDomainKey(nil, spaceDomain, run.campaign, run.domain))
		if err != nil {
			return 0, err
		}
		_, site, err := decodeDomain(v)
		if err != nil {
			return 0, fmt.Errorf("domain %s of campaign %s: %w", run.domain, run.name, err)
		}
		run.site = string(site)
		run.chosen = f.sites == nil || f.sites[run.site]
	}
	at := int32(len(r.runs))
	r.runs = append(r.runs, run)
	r.byRun[string(r.key)] = at
	return at, nil
}

// nameOf is a campaign's name; empty: it was deleted.
func (r *EventReader) nameOf(snap pebble.Reader, campaign uint32) (string, error) {
	if name, ok := r.names[campaign]; ok {
		return name, nil
	}
	v, err := getCopy(snap, campaignPart(campaign, partRecord))
	if err != nil {
		return "", err
	}
	var rec campaignRecord
	if v != nil {
		if err := json.Unmarshal(v, &rec); err != nil {
			return "", fmt.Errorf("read campaign %d: %w", campaign, err)
		}
	}
	r.names[campaign] = rec.Name
	return rec.Name, nil
}

// addRejects takes those of a range that have numbers in [from, until).
func (r *EventReader) addRejects(snap pebble.Reader, walk *rejectWalk, e *entry, first, from, until uint64) error {
	if !r.filter.kinds[EventReject] {
		return nil
	}
	name, err := r.nameOf(snap, e.campaign)
	if err != nil || name == "" || r.filter.campaigns != nil && !r.filter.campaigns[name] {
		return err
	}
	return walk.each(e.campaign, &e.rejects, func(i uint64, rej *Reject) error {
		if number := first + i; number >= from && number < until {
			r.events = append(r.events, Event{Number: number, Kind: EventReject, At: e.at, Campaign: name, Seq: rej.Seq, Reject: rej})
		}
		return nil
	})
}

// rejectWalk reads ranges of rejects with one iterator.
type rejectWalk struct {
	reader pebble.Reader
	iter   *pebble.Iterator
}

func (w *rejectWalk) each(campaign uint32, of *rejectRange, fn func(i uint64, r *Reject) error) error {
	if w.iter == nil {
		var err error
		if w.iter, err = w.reader.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceReject}, UpperBound: []byte{spaceReject + 1}}); err != nil {
			return err
		}
	}
	prefix := appendCampaignKey(nil, spaceReject, campaign)
	var i uint64
	for ok := w.iter.SeekGE(binary.BigEndian.AppendUint32(prefix, uint32(of.first))); ok && bytes.HasPrefix(w.iter.Key(), prefix); ok = w.iter.Next() {
		rej, err := decodeReject(w.iter.Value())
		if err != nil {
			return fmt.Errorf("reject %x: %w", w.iter.Key(), err)
		}
		if rej.Seq = Seq(binary.BigEndian.Uint32(w.iter.Key()[campaignPrefix:])); rej.Seq > of.last {
			break
		}
		if err := fn(i, &rej); err != nil {
			return err
		}
		i++
	}
	return w.iter.Error()
}

func (w *rejectWalk) close(err *error) {
	if w.iter != nil {
		closeIter(w.iter, err)
	}
}

// resolve reads what the attempts point at.
func (r *EventReader) resolve(snap pebble.Reader) (err error) {
	if len(r.attempts) == 0 {
		return nil
	}
	r.order()
	var iters [2]*pebble.Iterator
	for i, space := range []byte{spaceHistory, spaceRecipient} {
		it, err := snap.NewIter(&pebble.IterOptions{LowerBound: []byte{space}, UpperBound: []byte{space + 1}})
		if err != nil {
			return err
		}
		defer closeIter(it, &err)
		iters[i] = it
	}
	history, rows := iters[0], iters[1]
	for i := range r.attempts {
		a := &r.attempts[i]
		run, e := &r.runs[a.run], &r.events[a.event]
		r.key = appendHistoryKey(r.key[:0], run.campaign, run.domain, a.seq, a.n)
		if err := advance(history, r.key); err != nil {
			return fmt.Errorf("event %d: %w", e.Number, err)
		}
		v := history.Value()
		if len(v) == 0 {
			return fmt.Errorf("event %d: %w", e.Number, errDamaged)
		}
		if !r.filter.states[v[0]&eventState] {
			e.Number = 0
			continue
		}
		if e.Attempt, err = r.ledger.attempt(snap, a.n, v); err != nil {
			return fmt.Errorf("event %d: %w", e.Number, err)
		}
		e.At, e.Campaign, e.Domain, e.Site = e.Attempt.At, run.name, run.domain, run.site
		r.key = appendSeqKey(r.key[:0], spaceRecipient, run.campaign, run.domain, a.seq)
		if err := advance(rows, r.key); err != nil {
			return fmt.Errorf("event %d: %w", e.Number, err)
		}
		flags, local, _, err := decodeRecipient(rows.Value())
		if err != nil {
			return fmt.Errorf("event %d: %w", e.Number, err)
		}
		e.Erased = flags&rowErased != 0
		e.Local = r.locals.add(local)
	}
	return nil
}

// order brings the attempts into the order of their keys.
func (r *EventReader) order() {
	ranks := make([]int32, len(r.runs))
	for i := range ranks {
		ranks[i] = int32(i)
	}
	slices.SortFunc(ranks, func(a, b int32) int {
		x, y := &r.runs[a], &r.runs[b]
		return cmp.Or(cmp.Compare(x.campaign, y.campaign), cmp.Compare(x.domain, y.domain))
	})
	for rank, i := range ranks {
		r.runs[i].rank = int32(rank)
	}
	slices.SortFunc(r.attempts, func(a, b attemptOf) int {
		return cmp.Or(cmp.Compare(r.runs[a.run].rank, r.runs[b.run].rank), cmp.Compare(a.seq, b.seq), cmp.Compare(a.n, b.n))
	})
}

// fewSteps is how many steps an iterator takes before it searches.
const fewSteps = 4

// advance moves an iterator on to a key, which must be there.
func advance(iter *pebble.Iterator, key []byte) error {
	for range fewSteps {
		if !iter.Valid() {
			break
		}
		switch c := bytes.Compare(iter.Key(), key); {
		case c == 0:
			return nil
		case c > 0:
			// Two attempts of one recipient have one row, so it never goes back.
			return fmt.Errorf("key %x: %w", key, errDamaged)
		}
		iter.Next()
	}
	if !iter.SeekGE(key) || !bytes.Equal(iter.Key(), key) {
		if err := iter.Error(); err != nil {
			return err
		}
		return fmt.Errorf("key %x: %w", key, errDamaged)
	}
	return nil
}
