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

// hold makes the last n bytes wait until due, and never less than what was
// appended before them.
func (o *outbox) hold(n int, due time.Duration) {
	due = max(due, o.close(len(o.buf)-n))
	o.marks = append(o.marks, mark{len(o.buf), due})
}

// drip holds the last n bytes so that one leaves every gap, the first at due.
func (o *outbox) drip(n int, due, gap time.Duration) {
	due = max(due, o.close(len(o.buf)-n))
	for i := len(o.buf) - n + 1; i <= len(o.buf); i++ {
		o.marks = append(o.marks, mark{i, due})
		due += gap
	}
}

// close gives the bytes before end that have no time yet that of their
// predecessors, and returns it.
func (o *outbox) close(end int) time.Duration {
	marked, due := o.head, time.Duration(0)
	if n := len(o.marks); n > o.next {
		marked, due = o.marks[n-1].end, o.marks[n-1].due
	}
	if end > marked {
		o.marks = append(o.marks, mark{end, due})
	}
	return due
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
