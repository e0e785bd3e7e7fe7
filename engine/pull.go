package engine

import (
	"time"

	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/pool/smtp"
)

// A lane is what its connections pull from (pool.Queue). Pull and Settle run on
// event loops: they take the lane's lock, touch memory, and return.

// Pull implements pool.Queue.
func (l *lane) Pull(dst []*smtp.Message, via *pool.Connection, n int) []*smtp.Message {
	return l.pull(dst, via.Source(), via.Capabilities(), n)
}

// pull is Pull from a source, for a server with these capabilities. A source that
// is held gets nothing, and so does not hand out what others could: its
// connection is on its way out.
func (l *lane) pull(dst []*smtp.Message, source string, caps *smtp.Capabilities, n int) []*smtp.Message {
	var misfits []*envelope
	l.mu.Lock()
	if l.engine.sourceHeld(source) {
		l.mu.Unlock()
		return dst
	}
	for n > 0 {
		e, ok := l.ready.pop()
		if !ok {
			break
		}
		l.readyBytes -= e.Size
		if e.EightBit && !caps.EightBitMIME {
			l.sevenBit = true
			misfits = append(misfits, e)
			continue
		}
		dst = append(dst, &e.Message)
		n--
	}
	var next *Run
	if l.ready.len() < batchSize {
		next = l.wants()
	}
	l.mu.Unlock()
	for _, e := range misfits {
		l.engine.handBack(e)
	}
	if next != nil {
		l.engine.work.put(next, l)
	}
	return dst
}

// Settle implements pool.Queue.
func (l *lane) Settle(via *pool.Connection, m *smtp.Message, out *smtp.Outcome, took time.Duration) {
	l.engine.settle(via, m.Tag.(*envelope), out, took)
}

// Backlog implements pool.Queue.
func (l *lane) Backlog() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.flows) == 0 && l.preparing.len() == 0 && l.ready.len() == 0 {
		return -1
	}
	waiting, held := l.waiting, 0
	for _, f := range l.flows {
		if f.held {
			waiting -= f.waiting
			held++
		}
	}
	n := max(waiting, len(l.flows)-held) + l.ready.len()
	for t := range l.preparing.all() {
		n += len(t.batch.Recipients)
	}
	return n
}

// Unreachable implements pool.Queue.
func (l *lane) Unreachable(f pool.Failure, retry time.Time) {
	l.engine.unreachable(l, f, retry)
}
