package ledger

import (
	"encoding/binary"
	"time"
)

// formatVersion is written into every data directory. It rises when an older
// program could misread what a newer one wrote.
const formatVersion = 2

// Flags of a recipient record.
const (
	// rowSuppressed: loaded with that outcome; the cursor passes over it.
	rowSuppressed = 1 << iota
	// rowErased: address and fields were removed; it is never handed out.
	rowErased
)

// appendRecipient is a recipient's record: flags, local part, fields.
func appendRecipient(dst []byte, flags byte, local, fields []byte) []byte {
	dst = append(dst, flags)
	dst = appendBytes(dst, local)
	return append(dst, fields...)
}

func decodeRecipient(v []byte) (flags byte, local, fields []byte, err error) {
	d := decoder{b: v}
	flags, local = d.byte(), d.bytes()
	return flags, local, d.b, d.err()
}

// event is one history record: an attempt, the end of a recipient without one
// (not attempted), or the mark of one that came back unsent (returned).
//
// Its number n in the key is one more than the attempts before it. So a
// returned mark is overwritten by the attempt that follows, and only there.
type event struct {
	state     State // the state after it
	attempted bool
	returned  bool
	// queued: there is a queue entry in this bucket because of this record.
	queued bool
	bucket uint32
	due    time.Time

	at       time.Time
	took     time.Duration
	command  uint8
	code     uint16
	enhanced [3]uint16
	peer     uint32
	anomaly  uint8
	// counted: its reply is in the campaign's reply counts. So are attempts'
	// replies always, and reasons without an attempt.
	counted bool
	// text is the encoded reply text (see reply.go), empty for none.
	text []byte
}

const (
	eventState     = 0x07
	eventAttempted = 0x08
	eventReturned  = 0x10
	eventQueued    = 0x20
	eventText      = 0x40

	detailCode     = 0x01
	detailEnhanced = 0x02
	detailPeer     = 0x04
	detailAnomaly  = 0x08
	detailCommand  = 0x10
	detailCounted  = 0x20
)

// appendHeader appends all of the event but its text.
func (e *event) appendHeader(dst []byte, hasText bool) []byte {
	flags, detail := byte(e.state), byte(0)
	for _, f := range [...]struct {
		on   bool
		to   *byte
		flag byte
	}{
		{e.attempted, &flags, eventAttempted}, {e.returned, &flags, eventReturned},
		{e.queued, &flags, eventQueued}, {hasText, &flags, eventText},
		{e.code != 0, &detail, detailCode}, {e.enhanced != [3]uint16{}, &detail, detailEnhanced},
		{e.peer != 0, &detail, detailPeer}, {e.anomaly != 0, &detail, detailAnomaly},
		{e.command != 0, &detail, detailCommand}, {e.counted, &detail, detailCounted},
	} {
		if f.on {
			*f.to |= f.flag
		}
	}
	dst = append(dst, flags, detail)
	dst = appendTime(dst, e.at)
	if e.attempted {
		dst = binary.AppendUvarint(dst, uint64(max(e.took, 0)/time.Microsecond))
	}
	if e.queued {
		dst = binary.AppendVarint(dst, millis(e.due)-millis(e.at))
		dst = binary.AppendVarint(dst, int64(e.bucket)-int64(bucketOf(e.due)))
	}
	if detail&detailCode != 0 {
		dst = binary.AppendUvarint(dst, uint64(e.code))
	}
	if detail&detailEnhanced != 0 {
		for _, v := range e.enhanced {
			dst = binary.AppendUvarint(dst, uint64(v))
		}
	}
	if detail&detailPeer != 0 {
		dst = binary.AppendUvarint(dst, uint64(e.peer))
	}
	if detail&detailAnomaly != 0 {
		dst = append(dst, e.anomaly)
	}
	if detail&detailCommand != 0 {
		dst = append(dst, e.command)
	}
	return dst
}

// append appends the whole record.
func (e *event) append(dst []byte) []byte {
	return append(e.appendHeader(dst, len(e.text) > 0), e.text...)
}

// decodeEvent reads a history record; text lies in v.
func decodeEvent(v []byte) (e event, err error) {
	d := decoder{b: v}
	flags, detail := d.byte(), d.byte()
	e.state = State(flags & eventState)
	e.attempted = flags&eventAttempted != 0
	e.returned = flags&eventReturned != 0
	e.queued = flags&eventQueued != 0
	e.counted = detail&detailCounted != 0
	e.at = d.time()
	if e.attempted {
		e.took = time.Duration(d.uint()) * time.Microsecond
	}
	if e.queued {
		e.due = fromMillis(millis(e.at) + d.int())
		e.bucket = uint32(int64(bucketOf(e.due)) + d.int())
	}
	if detail&detailCode != 0 {
		e.code = d.uint16()
	}
	if detail&detailEnhanced != 0 {
		for i := range e.enhanced {
			e.enhanced[i] = d.uint16()
		}
	}
	if detail&detailPeer != 0 {
		e.peer = d.uint32()
	}
	if detail&detailAnomaly != 0 {
		e.anomaly = d.byte()
	}
	if detail&detailCommand != 0 {
		e.command = d.byte()
	}
	if flags&eventText != 0 {
		e.text = d.b
	}
	return e, d.err()
}

// attempts is how many attempts the recipient has behind it when this record,
// numbered n, is its last.
func (e *event) attempts(n uint16) uint16 {
	if e.attempted {
		return n
	}
	return n - 1
}

// waiting is a queue entry's value: what the reader needs to hand the
// recipient out without looking at its history.
type waiting struct {
	was      State
	attempts uint16
	due      time.Time
}

func (w waiting) append(dst []byte) []byte {
	dst = append(dst, byte(w.was))
	dst = binary.AppendUvarint(dst, uint64(w.attempts))
	return appendTime(dst, w.due)
}

func decodeWaiting(v []byte) (w waiting, err error) {
	d := decoder{b: v}
	w.was, w.attempts, w.due = State(d.byte()), d.uint16(), d.time()
	if w.was > Uncertain {
		d.bad = true
	}
	return w, d.err()
}

// domainRecord is what a domain of a campaign is on disk.
type domainRecord struct {
	loaded, fresh uint32
	counts        [NumStates]uint32
	low, high     Seq
	// qlow and qhigh are the same marks for the retry queue.
	qlow, qhigh place
	site        string
	trouble     *Trouble
	// hastened is the queue's third mark. An older program takes no notice of it:
	// what was hastened is tried at its own time then.
	hastened place
}

func (r *domainRecord) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(r.loaded))
	dst = binary.AppendUvarint(dst, uint64(r.fresh))
	for _, n := range r.counts {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	for _, v := range [...]uint32{uint32(r.low), uint32(r.high), r.qlow.bucket, uint32(r.qlow.seq), r.qhigh.bucket, uint32(r.qhigh.seq)} {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	dst = appendBytes(dst, r.site)
	if r.trouble == nil {
		dst = append(dst, 0)
	} else {
		dst = append(dst, 1)
		dst = appendBytes(dst, r.trouble.Reason)
		dst = appendTime(dst, r.trouble.Since)
		dst = appendTime(dst, r.trouble.Next)
	}
	if r.hastened != (place{}) {
		dst = binary.AppendUvarint(dst, uint64(r.hastened.bucket))
		dst = binary.AppendUvarint(dst, uint64(r.hastened.seq))
	}
	return dst
}

// decodeDomain reads a domain's record; site, which repeats, is given as bytes
// so that the caller can intern it.
func decodeDomain(v []byte) (r domainRecord, site []byte, err error) {
	d := decoder{b: v}
	r.loaded, r.fresh = d.uint32(), d.uint32()
	for i := range r.counts {
		r.counts[i] = d.uint32()
	}
	r.low, r.high = Seq(d.uint32()), Seq(d.uint32())
	r.qlow = place{d.uint32(), Seq(d.uint32())}
	r.qhigh = place{d.uint32(), Seq(d.uint32())}
	site = d.bytes()
	if d.byte() == 1 {
		r.trouble = &Trouble{Reason: d.string(), Since: d.time(), Next: d.time()}
	}
	if len(d.b) > 0 {
		r.hastened = place{d.uint32(), Seq(d.uint32())}
	}
	return r, site, d.err()
}

func appendReject(dst []byte, r *Reject) []byte {
	dst = appendBytes(dst, r.Reason)
	dst = appendBytes(dst, r.File)
	dst = binary.AppendUvarint(dst, uint64(max(r.Line, 0)))
	dst = appendBytes(dst, r.Address)
	return appendBytes(dst, r.Detail)
}

func decodeReject(v []byte) (r Reject, err error) {
	d := decoder{b: v}
	r = Reject{Reason: d.string(), File: d.string(), Line: int(d.uint32()), Address: d.string(), Detail: d.string()}
	return r, d.err()
}
