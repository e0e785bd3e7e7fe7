package ledger

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// writer makes every change while campaigns run: callers put leases,
// settlements and other changes into its inbox, and its one goroutine commits
// what has gathered as one batch with one fdatasync.
//
// A lease is waited for, so it is committed at once, but two commits are at
// least half of SyncEvery apart: at full speed that gathers leases into few
// commits, and leases are made ahead of the wire. Outcomes alone wait for
// SyncEvery.
//
// The inbox needs no bound of its own: leases and settlements are bounded by
// what readers took, and so by the engine's read-ahead.
type writer struct {
	ledger *Ledger
	// wake holds a token when there may be something to do.
	wake chan struct{}
	done chan struct{}

	mu    sync.Mutex
	inbox inbox // guarded by mu
	// firstAt is when the inbox got its first entry. Guarded by mu.
	firstAt time.Time
	closing bool // guarded by mu
	failed  error
	// failing is closed with failed set: whoever waits gives up.
	failing chan struct{}
	// committing is what the goroutine works on, for fail. Guarded by mu.
	committing *inbox
	// fatal is Options.Fatal once the ledger is open. Guarded by mu.
	fatal func(error)

	// The goroutine's own.
	last  time.Time
	spare inbox
	group group

	stats counters
}

// inbox is what was handed in since the last commit.
type inbox struct {
	leases   []lease
	settle   []Settlement
	returns  []returned
	touched  []*Domain
	changes  []change
	urgent   bool
	overflow bool
}

type lease struct {
	batch *Batch
	done  func(*Batch, error)
}

type returned struct {
	domain *Domain
	seq    Seq
	tag    any
}

// change is any other write, waited for.
type change struct {
	apply func(*group) error
	// after is called once the group is on disk and before any other begins.
	after func() error
	err   error
	done  chan error
}

// manySettlements makes a commit urgent whatever the clock says.
const manySettlements = 4096

func (in *inbox) empty() bool {
	return len(in.leases)+len(in.settle)+len(in.returns)+len(in.touched)+len(in.changes) == 0
}

func (in *inbox) reset() {
	clear(in.leases)
	clear(in.settle)
	clear(in.changes)
	clear(in.touched)
	clear(in.returns)
	*in = inbox{
		leases: in.leases[:0], settle: in.settle[:0], returns: in.returns[:0],
		touched: in.touched[:0], changes: in.changes[:0],
	}
}

func newWriter(l *Ledger) *writer {
	return &writer{
		ledger:  l,
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		failing: make(chan struct{}),
	}
}

// put adds to the inbox; false when the ledger is closed or broken.
func (w *writer) put(urgent bool, add func(*inbox)) error {
	w.mu.Lock()
	if w.failed != nil || w.closing {
		err := w.failed
		w.mu.Unlock()
		if err == nil {
			err = ErrClosed
		}
		return err
	}
	wake := w.inbox.empty() || urgent && !w.inbox.urgent
	if w.inbox.empty() {
		w.firstAt = time.Now()
	}
	add(&w.inbox)
	if len(w.inbox.settle) >= manySettlements && !w.inbox.overflow {
		w.inbox.overflow, wake = true, true
	}
	w.inbox.urgent = w.inbox.urgent || urgent
	w.mu.Unlock()
	if wake {
		w.signal()
	}
	return nil
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Lease writes down that a batch is about to be tried. done is called on the
// writer's goroutine once that is on disk, or with the reason why it is not
// (ErrLowSpace, ErrClosed, ErrNoCampaign, a failed write): then nobody in it may be tried. A
// refusal may come before Lease returns. done must not block. A batch without
// recipients that is not Empty is leased like any other. Batches of one domain should be leased in the order they
// were read: leasing one leases those read before it.
func (l *Ledger) Lease(b *Batch, done func(*Batch, error)) {
	if l.space.low.Load() {
		done(b, ErrLowSpace)
		return
	}
	if err := l.writer.put(true, func(in *inbox) { in.leases = append(in.leases, lease{b, done}) }); err != nil {
		done(b, err)
	}
}

// Settle writes down the end of an attempt, or of a recipient without one. It
// copies s and never waits. The recipient must come from a batch that was
// handed to Lease; everybody leased is settled or handed back exactly once, and
// a second time is ignored (Stats.Strays).
func (l *Ledger) Settle(s *Settlement) {
	l.writer.put(false, func(in *inbox) { in.settle = append(in.settle, *s) })
}

// SettleAll settles many; it copies the slice and never waits.
func (l *Ledger) SettleAll(list []Settlement) {
	if len(list) > 0 {
		l.writer.put(false, func(in *inbox) { in.settle = append(in.settle, list...) })
	}
}

// Return hands leased recipients back that were not tried: they keep their
// state and attempts and are due at once. It never waits.
func (l *Ledger) Return(d *Domain, seqs ...Seq) {
	if len(seqs) == 0 {
		return
	}
	l.writer.put(false, func(in *inbox) {
		for _, seq := range seqs {
			in.returns = append(in.returns, returned{domain: d, seq: seq})
		}
	})
}

// HandBack is Return for one recipient, and tells Options.Durable of it once
// it is on disk: by a Settlement with Domain, Seq, Due and Tag, not Attempted.
func (l *Ledger) HandBack(d *Domain, seq Seq, tag any) {
	l.writer.put(false, func(in *inbox) { in.returns = append(in.returns, returned{d, seq, tag}) })
}

// touch has a domain's record written with the next group.
func (w *writer) touch(d *Domain) {
	w.put(false, func(in *inbox) { in.touched = append(in.touched, d) })
}

// do has apply add to a group, and waits until that group is on disk.
func (w *writer) do(ctx context.Context, apply func(*group) error) error {
	return w.change(ctx, change{apply: apply})
}

func (w *writer) change(ctx context.Context, c change) error {
	done := make(chan error, 1)
	c.done = done
	if err := w.put(true, func(in *inbox) { in.changes = append(in.changes, c) }); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-w.failing:
		return w.failure()
	}
}

// failure is why writing ended, nil while it works.
func (w *writer) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// stop commits what is left and ends the goroutine.
func (w *writer) stop() error {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	w.signal()
	select {
	case <-w.done:
	case <-w.failing:
	}
	return w.failure()
}

// fail ends all writing: the first error counts. It answers everybody who
// waits, since the goroutine may be stuck inside Pebble. Any goroutine.
func (w *writer) fail(err error) {
	w.mu.Lock()
	if w.failed != nil {
		w.mu.Unlock()
		return
	}
	w.failed = fmt.Errorf("write to data directory %s: %w", w.ledger.dir, err)
	waiting := slices.Clone(w.inbox.leases)
	if w.committing != nil {
		waiting = append(waiting, w.committing.leases...)
		w.committing = nil
	}
	w.inbox = inbox{}
	failed, fatal := w.failed, w.fatal
	close(w.failing)
	w.mu.Unlock()
	go func() {
		for _, l := range waiting {
			l.done(l.batch, failed)
		}
		if fatal != nil {
			fatal(failed)
		}
	}()
}

func (w *writer) start(fatal func(error)) {
	w.mu.Lock()
	w.fatal = fatal
	w.mu.Unlock()
	go w.run()
}

// run is the writer's goroutine.
func (w *writer) run() {
	defer close(w.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait, more := w.wait()
		if !more {
			return
		}
		if wait != 0 {
			if wait > 0 {
				timer.Reset(wait)
			}
			select {
			case <-w.wake:
			case <-timer.C:
			case <-w.failing:
				return
			}
			continue
		}
		if !w.commit() {
			return
		}
	}
}

// wait says how long to wait before the next commit: 0 is now, below 0 until
// woken. more false: closed, and nothing is left.
func (w *writer) wait() (wait time.Duration, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil {
		return 0, false
	}
	empty := w.inbox.empty()
	if w.closing {
		return 0, !empty
	}
	if empty {
		return -1, true
	}
	every := w.ledger.opt.SyncEvery
	var at time.Time
	if w.inbox.urgent || w.inbox.overflow {
		at = w.last.Add(every / 2)
	} else {
		at = w.firstAt.Add(every)
	}
	return max(time.Until(at), 0), true
}

// commit makes one group of the inbox and commits it; false when that failed.
func (w *writer) commit() (ok bool) {
	w.mu.Lock()
	in := w.inbox
	w.inbox, w.spare = w.spare, inbox{}
	w.committing = &in
	w.mu.Unlock()
	defer func() {
		// Pebble panics on some failed writes; its state is unknown after that.
		if p := recover(); p != nil {
			w.fail(fmt.Errorf("%v", p))
			ok = false
		}
	}()
	g := &w.group
	if err := g.build(w, &in); err != nil {
		w.fail(err)
		return false
	}
	if !g.batch.Empty() {
		began := time.Now()
		if err := g.batch.Commit(pebble.Sync); err != nil {
			w.fail(err)
			return false
		}
		if f := w.ledger.opt.Committed; f != nil {
			f(time.Since(began))
		}
		w.stats.commits.Add(1)
		w.stats.bytes.Add(uint64(g.batch.Len()))
		w.ledger.space.wrote(g.batch.Len())
	}
	g.events.committed()
	for i := range in.changes {
		if c := &in.changes[i]; c.after != nil && c.err == nil {
			c.err = c.after()
		}
	}
	w.ledger.tip.move(&g.events)
	w.last = time.Now()
	w.mu.Lock()
	w.committing = nil
	failed := w.failed != nil
	w.mu.Unlock()
	if failed {
		return false
	}
	g.finish()
	for _, l := range in.leases {
		l.done(l.batch, l.batch.Domain.campaign.exists())
	}
	for i := range in.returns {
		if r := &in.returns[i]; r.tag != nil {
			in.settle = append(in.settle, Settlement{Domain: r.domain, Seq: r.seq, Due: g.now, Tag: r.tag})
		}
	}
	if f := w.ledger.opt.Durable; f != nil && len(in.settle) > 0 {
		f(in.settle)
	}
	for i := range in.changes {
		in.changes[i].done <- in.changes[i].err
	}
	in.reset()
	w.spare = in
	return true
}
