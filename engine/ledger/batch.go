package ledger

// Batch is recipients of one domain that were read together. It belongs to
// the caller, who may use it again once everybody in it is composed: Local and
// Fields of its recipients lie in its memory. Not safe for concurrent use.
type Batch struct {
	Domain *Domain
	// Recipients in the order to try them.
	Recipients []Recipient
	// Tag is the caller's.
	Tag any

	arena  []byte
	flight *flight
	retry  bool
	// erased: the flight holds recipients that are not among Recipients.
	erased bool
}

// Empty reports that the read found nobody, not even one to be passed over:
// there is nothing to lease.
func (b *Batch) Empty() bool { return b.flight == nil }

func (b *Batch) reset(d *Domain, retry bool) {
	b.Domain, b.retry = d, retry
	b.Recipients = b.Recipients[:0]
	b.arena = b.arena[:0]
	b.flight, b.erased = nil, false
}

// keep copies into the batch's memory. What was copied before stays where it
// is: a full arena is left to the recipients in it and a new one begun.
func (b *Batch) keep(v []byte) []byte {
	if len(v) == 0 {
		return nil
	}
	if len(b.arena)+len(v) > cap(b.arena) {
		b.arena = make([]byte, 0, max(2*cap(b.arena), len(v), 4<<10))
	}
	n := len(b.arena)
	b.arena = append(b.arena, v...)
	return b.arena[n:len(b.arena):len(b.arena)]
}
