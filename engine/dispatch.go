package engine

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-mail/penstock/engine/compose"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/pool/smtp"
)

// envelope is one recipient's message between lease and outcome.
type envelope struct {
	smtp.Message
	composed    compose.Message
	signed      []byte // memory of its signatures
	replaced    bool   // line breaks in its header values became spaces
	flow        *flow
	destination *destination
	seq         ledger.Seq
	was         ledger.State
	attempts    uint16
	// held: its place was given back already. Whoever settles it.
	held bool
}

var envelopes = sync.Pool{New: func() any {
	e := new(envelope)
	e.Tag = e
	return e
}}

// emptied gives the content's memory back once its fate is known; the envelope
// itself lives on until the outcome is on disk.
func (e *envelope) emptied() {
	e.composed.Reset()
	e.Content = nil
}

// free gives e back. REQUIRES: nothing else refers to it.
func (e *envelope) free() {
	e.flow, e.destination, e.held = nil, nil, false
	envelopes.Put(e)
}

// task is a batch of one destination's recipients on its way from the ledger
// to the lane: its lease and its composition run side by side.
type task struct {
	lane        *lane
	flow        *flow
	destination *destination
	batch       ledger.Batch
	envelopes   []*envelope
	// waits is what is still under way: the sum of leasing and composing. At 0
	// the task may be made ready.
	waits atomic.Int32
}

// What a task waits for.
const (
	leasing   = 1
	composing = 2
)

var tasks = sync.Pool{New: func() any { return new(task) }}

func newTask(l *lane, f *flow, d *destination) *task {
	t := tasks.Get().(*task)
	t.lane, t.flow, t.destination = l, f, d
	return t
}

// done ends one of the things waited for. Once all have ended, whoever goes
// through the lane may free the task, so it is not touched after that.
func (t *task) done(what int32) {
	l := t.lane
	if t.waits.Add(-what) == 0 {
		l.prepared()
	}
}

// free gives the task back, and the batch's memory with it.
func (t *task) free() {
	t.lane, t.flow, t.destination = nil, nil, nil
	clear(t.envelopes)
	t.envelopes = t.envelopes[:0]
	tasks.Put(t)
}

// worker reads, leases and composes for lanes that have room. There is one per
// core; it owns a composer per template.
type worker struct {
	engine    *Engine
	composers map[*Run]*compose.Composer
	signer    *signer
	domain    []byte            // of the task in work
	to        compose.Recipient // whom it composes for; its composer looks at it until the next
}

func (w *worker) run() {
	for {
		l, turn, ok := w.engine.work.take()
		if !ok {
			return
		}
		l.queued.Store(false)
		began := w.engine.now()
		if r := w.fill(l); r != nil {
			w.engine.work.spent(turn, r, w.engine.now().Sub(began))
		}
	}
}

// fill takes one batch for l, and puts l back in line at once when there is
// room for more, so that another worker may go on with it. It returns whose
// batch it was; nil: there was none to take.
func (w *worker) fill(l *lane) *Run {
	f, d, n, ok := l.reserve()
	if !ok {
		return nil
	}
	t := newTask(l, f, d)
	more, err := w.read(&t.batch, d, n)
	if err != nil {
		w.engine.fail(err)
		more = false
	}
	t.waits.Store(leasing + composing)
	l.release(t, n, more)
	if until, reason := f.run.restingUntil(l.site); until.After(w.engine.now()) {
		// It was being read when the breaker emptied the lane.
		w.engine.rest(l, f.run, reason, until)
	}
	l.offer()
	if t.batch.Empty() {
		t.free()
		return f.run
	}
	w.engine.lease(t)
	w.compose(t)
	t.done(composing)
	return f.run
}

// lease has the task's recipients written down as about to be sent. Without
// that none of them may be: when space is short the task waits for it, and
// when the ledger has failed, or is closing, it never becomes ready.
func (e *Engine) lease(t *task) {
	e.ledger.Lease(&t.batch, func(_ *ledger.Batch, err error) {
		switch {
		case err == nil:
			t.done(leasing)
		case errors.Is(err, ledger.ErrLowSpace):
			e.starving.put(t)
		default:
			e.fail(err)
		}
	})
}

// starved holds the tasks whose lease waits for free space.
type starved struct {
	mu    sync.Mutex
	tasks []*task // guarded by mu
}

func (s *starved) put(t *task) {
	s.mu.Lock()
	s.tasks = append(s.tasks, t)
	s.mu.Unlock()
}

// takeAll gives what waits, in order.
func (s *starved) takeAll() []*task {
	s.mu.Lock()
	defer s.mu.Unlock()
	tasks := s.tasks
	s.tasks = nil
	return tasks
}

// read takes the next n recipients of d: those that are due again first, then
// fresh ones in file order.
func (w *worker) read(b *ledger.Batch, d *destination, n int) (more bool, err error) {
	now := w.engine.now()
	// A batch is leased as a whole, either as retries or as a range of fresh
	// ones.
	if d.domain.DueCount(now) > 0 {
		err = d.domain.ReadDue(b, now, n)
	} else {
		err = d.domain.ReadFresh(b, n)
	}
	if err != nil {
		return false, err
	}
	return d.domain.Fresh() > 0 || d.domain.DueCount(now) > 0, nil
}

// compose makes the task's messages. A recipient that is not to be sent to
// after all is settled instead.
func (w *worker) compose(t *task) {
	run := t.flow.run
	c := w.composers[run]
	if c == nil {
		maps.DeleteFunc(w.composers, func(r *Run, _ *compose.Composer) bool { return r.Done() })
		c = run.template.NewComposer()
		w.composers[run] = c
	}
	caps := compose.Caps{EightBitMIME: !t.lane.composesSevenBit(), SMTPUTF8: true}
	expired := run.expired(t.destination.domain.Site(), w.engine.now())
	w.domain = append(w.domain[:0], t.destination.domain.Name()...)
	// What flows through the lane of refusals is settled, whatever is known of
	// its domain by now: nothing pulls from there.
	var refusal *unsent
	if t.lane == w.engine.refusals {
		refusal = t.destination.refusal.Load()
	}
	began := time.Now()
	for i := range t.batch.Recipients {
		r := &t.batch.Recipients[i]
		e := envelopes.Get().(*envelope)
		e.flow, e.destination = t.flow, t.destination
		e.seq, e.was, e.attempts = r.Seq, r.Was, r.Attempts
		switch {
		case refusal != nil:
			w.engine.settleUnsent(e, refusal.state(), refusal)
			continue
		case expired:
			w.engine.settleUnsent(e, ledger.Expired, expiredVerdict)
			continue
		case run.never.Suppressed(r.Local, w.domain) || run.engine.never.Load().Suppressed(r.Local, w.domain):
			w.engine.settleUnsent(e, ledger.Suppressed, suppressedVerdict)
			continue
		}
		w.to = run.recipient(r, w.domain)
		if err := c.Compose(&e.composed, &w.to, caps); err != nil {
			w.engine.settleUnsent(e, ledger.Bounced, &unsent{text: "not composed: " + err.Error()})
			continue
		}
		e.replaced = e.composed.Replaced > 0
		t.envelopes = append(t.envelopes, e)
	}
	composed := time.Now()
	w.engine.meters.made(len(t.envelopes), composed.Sub(began))
	if run.signatures != nil && len(t.envelopes) > 0 {
		if err := w.signer.sign(w.engine.ctx, run, t.envelopes, w.engine.now()); err != nil {
			// The process is ending, or a key does not work: either way nothing
			// goes out unsigned.
			w.engine.unsigned(t, err)
			return
		}
		w.engine.meters.sealed(len(t.envelopes), time.Since(composed))
	}
	for _, e := range t.envelopes {
		m := &e.composed
		e.From, e.To, e.Content, e.Size = m.From, m.To, m.Parts, m.Size
		e.EightBit, e.UTF8 = m.EightBit, m.UTF8
	}
}

// unsigned hands a task's recipients back whose messages could not be signed,
// and stops sending unless that was to end anyway.
func (e *Engine) unsigned(t *task, err error) {
	for _, env := range t.envelopes {
		e.handBack(env)
	}
	t.envelopes = t.envelopes[:0]
	if e.ctx.Err() == nil {
		e.fail(fmt.Errorf("sign messages of campaign %s: %w", t.flow.run.campaign.Name(), err))
	}
}

// unsent says why a recipient has an outcome without an attempt.
type unsent struct {
	code     uint16
	enhanced [3]uint16
	text     string
}

// state is the outcome that the reason stands for.
func (u *unsent) state() ledger.State {
	if u == expiredVerdict {
		return ledger.Expired
	}
	return ledger.Bounced
}

var (
	expiredVerdict    = &unsent{code: 550, enhanced: [3]uint16{5, 4, 7}, text: "expired before it could be delivered"} // RFC 3463 3.5: X.4.7
	suppressedVerdict = &unsent{text: "on a suppression list"}
)
