package ledger

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// eventLog numbers what happened and writes one record a group, in the order in
// which it happened. An attempt is the key of its history record, as what
// differs from the one before: the history is the event's content, so that an
// event costs a few bytes. Rejected rows are ranges of the rejects, and take a
// number each; changes of campaigns and sites are notices, which hold all they
// say. Marks of returned recipients are no events, hence every event's record
// stays as it is. Writer only.
type eventLog struct {
	next uint64
	// bytes is what all records ever took, segment where the newest segment
	// begins; see eventtrim.go.
	bytes   uint64
	segment segment

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

// The entries of a record begin with one of these.
const (
	eventSame      = 0 // an attempt; same campaign and domain as the last one
	eventNewDomain = 1 // an attempt
	eventNotice    = 2
	eventRejects   = 3
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

// notice tells of a change of a campaign or site.
func (l *eventLog) notice(n *Notice) error {
	text, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("write an event of %s: %w", n.Change, err)
	}
	l.record = appendBytes(append(l.record, eventNotice), text)
	l.n++
	return nil
}

// rejectRange is rejected rows that follow one another.
type rejectRange struct {
	first, last Seq
	n           uint32
}

// mostRejects is the most in one range: whoever goes on within one passes over
// those before.
const mostRejects = 1024

// rejectRanges puts rows that come in order into ranges.
type rejectRanges []rejectRange

func (r *rejectRanges) add(seq Seq) {
	list := *r
	if len(list) == 0 || list[len(list)-1].n == mostRejects {
		*r = append(list, rejectRange{first: seq, last: seq, n: 1})
		return
	}
	at := &list[len(list)-1]
	at.last = seq
	at.n++
}

func (l *eventLog) rejects(campaign uint32, ranges rejectRanges, at time.Time) {
	for _, r := range ranges {
		l.record = append(l.record, eventRejects)
		l.record = binary.AppendUvarint(l.record, uint64(campaign))
		l.record = appendTime(l.record, at)
		l.record = binary.AppendUvarint(l.record, uint64(r.first))
		l.record = binary.AppendUvarint(l.record, uint64(r.last))
		l.record = binary.AppendUvarint(l.record, uint64(r.n))
		l.n += uint64(r.n)
	}
}

// seal writes the record, and a mark where a segment begins with it.
func (l *eventLog) seal(out table, now time.Time) error {
	if l.n == 0 {
		return nil
	}
	if s := &l.segment; s.first == 0 || l.next-s.first >= segmentEvents || s.over(now) {
		if err := l.mark(out, now); err != nil {
			return err
		}
	}
	return l.write(out)
}

// mark begins a segment with the next event.
func (l *eventLog) mark(out table, now time.Time) error {
	l.segment = segment{first: l.next, at: now, bytes: l.bytes}
	return out.set(appendEventKey(nil, spaceSegment, l.next), l.segment.append(nil))
}

// end ends the newest segment if that has events and its time is over. What is
// in the group does so by itself.
func (l *eventLog) end(out table, now time.Time) error {
	if s := &l.segment; l.n > 0 || s.first == 0 || s.first == l.next || !s.over(now) {
		return nil
	}
	return l.mark(out, now)
}

func (l *eventLog) write(out table) error {
	if l.n == 0 {
		return nil
	}
	return out.set(appendEventKey(nil, spaceEvents, l.next), l.record)
}

// committed makes the next event the one after those written.
func (l *eventLog) committed() {
	if l.n == 0 {
		return
	}
	l.next += l.n
	l.bytes += eventKeyBytes + uint64(len(l.record))
	l.begin()
}

// entry is one entry of a record: an attempt, a notice, or rejected rows.
type entry struct {
	kind byte
	// What an attempt or a range of rejects belongs to; domain lies in the
	// record.
	campaign uint32
	domain   []byte
	seq      Seq
	n        uint16
	notice   []byte // JSON, lies in the record
	rejects  rejectRange
	at       time.Time // of rejects
}

// numbers is how many events the entry stands for.
func (e *entry) numbers() uint64 {
	if e.kind == eventRejects {
		return uint64(e.rejects.n)
	}
	return 1
}

// eachEntry walks one record. The entry dies with the call.
func eachEntry(v []byte, fn func(*entry) error) error {
	d := decoder{b: v}
	var last, other entry
	for len(d.b) > 0 {
		e := &last
		switch kind := d.byte(); kind {
		case eventSame, eventNewDomain:
			if kind == eventNewDomain {
				last = entry{campaign: d.uint32(), domain: d.bytes()}
			}
			last.kind = kind
			last.seq = Seq(int64(last.seq) + d.int())
			last.n = d.uint16()
		case eventNotice:
			other = entry{kind: kind, notice: d.bytes()}
			e = &other
		case eventRejects:
			other = entry{
				kind: kind, campaign: d.uint32(), at: d.time(),
				rejects: rejectRange{Seq(d.uint32()), Seq(d.uint32()), d.uint32()},
			}
			e = &other
		default:
			d.bad = true
		}
		if err := d.err(); err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// recover finds the number of the next event, and the newest segment.
func (l *eventLog) recover(r pebble.Reader) error {
	l.next = 1
	from := []byte{spaceEvents}
	if err := eachSegment(r, func(s segment) error {
		l.segment = s
		return nil
	}); err != nil {
		return err
	}
	l.bytes = l.segment.bytes
	if l.segment.first != 0 {
		l.next = l.segment.first
		from = appendEventKey(nil, spaceEvents, l.segment.first)
	}
	return eachEventRecord(r, from, func(first uint64, v []byte) error {
		l.next = first
		l.bytes += eventKeyBytes + uint64(len(v))
		return eachEntry(v, func(e *entry) error {
			l.next += e.numbers()
			return nil
		})
	})
}

// eachEventRecord walks the log's records from a key on; v dies with the call.
func eachEventRecord(r pebble.Reader, from []byte, fn func(first uint64, v []byte) error) (err error) {
	iter, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: []byte{spaceEvents + 1}})
	if err != nil {
		return err
	}
	defer closeIter(iter, &err)
	for ok := iter.First(); ok; ok = iter.Next() {
		first, err := eventNumber(iter.Key())
		if err != nil {
			return err
		}
		if err := fn(first, iter.Value()); err != nil {
			return fmt.Errorf("event record %d: %w", first, err)
		}
	}
	return iter.Error()
}

// eventKeyBytes is the length of a key of the log.
const eventKeyBytes = 9

func appendEventKey(dst []byte, space byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, space), number)
}

func eventNumber(key []byte) (uint64, error) {
	if len(key) != eventKeyBytes {
		return 0, errKey
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}
