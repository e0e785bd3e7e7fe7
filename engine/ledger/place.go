package ledger

import (
	"cmp"
	"time"
)

// place is a position in a domain's retry queue. A bucket is the second in
// which an entry falls due (Unix time, until 2106), or a later one: entries
// are only ever added behind the cursor's place, so that what was handed out
// is everything up to a mark, as it is for first attempts.
type place struct {
	bucket uint32
	seq    Seq
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.bucket, q.bucket), cmp.Compare(p.seq, q.seq))
}

// lastSeq is above every recipient's number.
const lastSeq = ^Seq(0)

// lastBucket is the latest second that an entry is given; there is one more
// behind it.
const lastBucket = 1<<32 - 2

func bucketOf(due time.Time) uint32 {
	if due.IsZero() {
		return 0
	}
	return uint32(min(max(due.Unix(), 0), lastBucket))
}
