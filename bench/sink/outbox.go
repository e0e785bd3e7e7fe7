package sink

import "time"

// outbox holds replies until they may leave. Bytes up to a mark's end leave at
// its due time, in order; bytes behind the last mark leave at once.
type outbox struct {
	buf   []byte
	head  int // buf[:head] has left
	marks []mark
	next  int // marks[:next] have passed
}

type mark struct {
	end int
	due time.Duration // since the sink's start
}

// hold makes everything appended so far wait until due, and never less than
// what was appended before it.
func (o *outbox) hold(due time.Duration) {
	if n := len(o.marks); n > o.next && o.marks[n-1].due > due {
		due = o.marks[n-1].due
	}
	o.marks = append(o.marks, mark{len(o.buf), due})
}

// drip holds the last n bytes so that one leaves every gap, the first at due.
func (o *outbox) drip(n int, due, gap time.Duration) {
	if m := len(o.marks); m > o.next && o.marks[m-1].due > due {
		due = o.marks[m-1].due
	}
	for i := len(o.buf) - n + 1; i <= len(o.buf); i++ {
		o.marks = append(o.marks, mark{i, due})
		due += gap
	}
}

// take returns what may leave now. The slice is good until the next append.
func (o *outbox) take(now time.Duration) []byte {
	end := o.head
	for o.next < len(o.marks) && o.marks[o.next].due <= now {
		end = o.marks[o.next].end
		o.next++
	}
	if o.next == len(o.marks) {
		end = len(o.buf)
		o.marks, o.next = o.marks[:0], 0
	}
	p := o.buf[o.head:end]
	o.head = end
	if end == len(o.buf) {
		o.buf, o.head = o.buf[:0], 0
	}
	return p
}

// due is when the next byte may leave; ok false: nothing waits.
func (o *outbox) due() (at time.Duration, ok bool) {
	if o.next < len(o.marks) {
		return o.marks[o.next].due, true
	}
	return 0, false
}

// empty reports whether everything has left.
func (o *outbox) empty() bool { return o.head == len(o.buf) && o.next == len(o.marks) }
