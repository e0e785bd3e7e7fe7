package ledger

import (
	"slices"
	"sort"
	"time"
)

// queue is a domain's retry queue in memory: marks and bucket counts, never
// the entries. A paused campaign with a million deferred is some thousand
// buckets.
type queue struct {
	buckets []bucket // ascending, n > 0
	// read is the reader's cursor. While a reader is at work it stands at the
	// end of what that reader may take, so that no entry is added before it.
	read place
	// low and high are the durable marks: see Domain.
	low, high place
	// barrier is the first entry of the group that is being committed: readers
	// cannot see it yet and must not pass it. Zero: none.
	barrier place
	// passed are entries at or below low that are still on disk.
	passed []place
	// hastened is a durable mark, too: entries up to it are due at once, whatever
	// they say themselves. Zero: none.
	hastened place
	// shift is added to the second in which a new entry falls due, so that those
	// behind the mark stay in the order of their times. It costs only keys.
	shift uint32
}

// bucket counts the unread entries of one second.
type bucket struct {
	key, n uint32
	// due is when all of them may be tried, in Unix milliseconds: the latest of
	// the entries, since trying too early costs a recipient an attempt.
	due int64
}

func (q *queue) due(now int64) (n int) {
	for _, b := range q.buckets {
		if b.due > now {
			break
		}
		n += int(b.n)
	}
	return n
}

// hasten makes everybody in the queue due at once and says how many were not.
// No entry is rewritten: a mark says it of all up to the last.
func (q *queue) hasten(now int64) (n int) {
	for i := range q.buckets {
		if b := &q.buckets[i]; b.due > now {
			b.due = now
			n += int(b.n)
		}
	}
	if n > 0 {
		q.hastened = place{q.buckets[len(q.buckets)-1].key, lastSeq}
		q.shiftBehind(now)
	}
	return n
}

// shiftBehind has what falls due from now on take places behind the marks. Else
// all of it would share the first place that is free, and be due together when
// the last of it is.
func (q *queue) shiftBehind(now int64) {
	floor := q.floor()
	if second := uint64(max(now, 0) / 1000); uint64(floor.bucket) >= second {
		q.shift = max(q.shift, uint32(uint64(floor.bucket)-second)+1)
	}
}

// floor is the place behind which new entries go.
func (q *queue) floor() place {
	if q.hastened.compare(q.read) > 0 {
		return q.hastened
	}
	return q.read
}

// add chooses the place of a new entry, behind the cursor, and counts it.
func (q *queue) add(seq Seq, bucket uint32, due int64) place {
	at := place{uint32(min(uint64(bucket)+uint64(q.shift), uint64(lastBucket))), seq}
	if floor := q.floor(); at.compare(floor) <= 0 {
		at.bucket = floor.bucket
		if at.compare(floor) <= 0 {
			at.bucket++
		}
	}
	q.count(at.bucket, due, 1)
	if q.barrier == (place{}) || at.compare(q.barrier) < 0 {
		q.barrier = at
	}
	return at
}

// count adds n entries to a bucket.
func (q *queue) count(key uint32, due int64, n uint32) {
	i := len(q.buckets)
	if i > 0 && q.buckets[i-1].key >= key {
		i = sort.Search(i, func(i int) bool { return q.buckets[i].key >= key })
	}
	if i < len(q.buckets) && q.buckets[i].key == key {
		q.buckets[i].n += n
		q.buckets[i].due = max(q.buckets[i].due, due)
		return
	}
	q.buckets = slices.Insert(q.buckets, i, bucket{key, n, due})
}

// claim reserves what may be read now: entries in (from, to], want of them at
// most. It moves the cursor to the end of the claim; release gives back.
func (q *queue) claim(now int64, n int) (from, to place, want int) {
	from = q.read
	for _, b := range q.buckets {
		if b.due > now || want >= n {
			break
		}
		end := place{b.key, lastSeq}
		if q.barrier != (place{}) && end.compare(q.barrier) >= 0 {
			// Count unknown: part of this bucket is not visible yet.
			if b.key == q.barrier.bucket && q.barrier.seq > 0 {
				to = place{b.key, q.barrier.seq - 1}
				want += int(b.n)
			}
			break
		}
		to = end
		want += int(b.n)
	}
	if to.compare(from) <= 0 {
		return from, from, 0
	}
	q.read = to
	return from, to, min(want, n)
}

// release ends a claim: items were read, the last of them at q.read from now
// on. An empty read gives the cursor back.
func (q *queue) release(from place, items []item) {
	q.read = from
	if len(items) == 0 {
		return
	}
	last := items[len(items)-1]
	q.read = place{last.bucket, last.seq}
	i := 0
	for _, it := range items {
		for i < len(q.buckets) && q.buckets[i].key < it.bucket {
			i++
		}
		if i < len(q.buckets) && q.buckets[i].key == it.bucket {
			q.buckets[i].n--
		}
	}
	q.buckets = slices.DeleteFunc(q.buckets, func(b bucket) bool { return b.n == 0 })
}

// recount takes an unread entry that an earlier process left.
func (q *queue) recount(at place, due, now time.Time) {
	if at.compare(q.hastened) <= 0 {
		q.count(at.bucket, min(millis(due), millis(now)), 1)
		return
	}
	if own := bucketOf(due); at.bucket > own {
		q.shift = max(q.shift, at.bucket-own)
	}
	q.count(at.bucket, millis(due), 1)
}
