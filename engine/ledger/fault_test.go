package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// faultyRun loads and sends a campaign on a disk that fails at one write, and
// tells what was acknowledged.
type faultyRun struct {
	// segments: it is loaded in two.
	segments bool

	mu     sync.Mutex
	loaded bool
	leased map[Seq]bool
	acked  map[Seq]State
	fatal  error
	failed chan struct{}
}

func (r *faultyRun) run(disk vfs.FS) error {
	l, err := Open("data", Options{
		fs: disk, smallLoad: 5, chunkBytes: 300,
		Durable: func(g []Settlement) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, s := range g {
				r.acked[s.Seq] = s.State
			}
		},
		Fatal: func(err error) {
			r.mu.Lock()
			r.fatal = err
			r.mu.Unlock()
			close(r.failed)
		},
	})
	if err != nil {
		return err
	}
	defer func() {
		err := l.Close()
		if l.writer.failure() != nil {
			// Fatal is promised, once.
			<-r.failed
		} else if err == nil {
			close(r.failed)
		}
	}()
	ld, err := l.Create(context.Background(), Meta{Name: "c"})
	if err != nil {
		return err
	}
	for i, p := range people(40, 3) {
		if err := ld.Add(p); err != nil {
			return err
		}
		if r.segments && i == 20 {
			if _, err := ld.Segment(context.Background(), nil); err != nil {
				return err
			}
		}
	}
	c, err := ld.Commit(context.Background(), nil, 40)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.loaded = true
	r.mu.Unlock()
	if _, err := c.Resume(context.Background(), day, Retry); err != nil {
		return err
	}
	return eachOf(c, func(d *Domain) error {
		for d.Fresh() > 0 {
			var b Batch
			if err := d.ReadFresh(&b, 5); err != nil {
				return err
			}
			done := make(chan error, 1)
			l.Lease(&b, func(_ *Batch, err error) { done <- err })
			if err := <-done; err != nil {
				return err
			}
			for i, p := range b.Recipients {
				r.mu.Lock()
				r.leased[p.Seq] = true
				r.mu.Unlock()
				s := Settlement{Domain: d, Seq: p.Seq, State: State(1 + i%3), Attempted: true, At: day, Code: 250, Due: day, Text: "x"}
				l.Settle(&s)
			}
			if err := l.Flush(context.Background()); err != nil {
				return err
			}
		}
		// Have Pebble write tables too.
		return l.guard(l.db.Flush)
	})
}

// until runs until the end, or until the ledger has failed and nothing comes back
// any more: a goroutine that met the failure goes no further, and may hold locks of
// Pebble that a reader waits for. A process ends then.
func (r *faultyRun) until(disk vfs.FS) error {
	r.leased, r.acked, r.failed = make(map[Seq]bool), make(map[Seq]State), make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- r.run(disk) }()
	select {
	case err := <-done:
		return err
	case <-r.failed:
	}
	select {
	case err := <-done:
		return err
	case <-time.After(2 * time.Second):
		return errors.New("the ledger has failed, and a reader waits for it")
	}
}

// eachOf walks the domains until an error.
func eachOf(c *Campaign, fn func(*Domain) error) (err error) {
	return errors.Join(c.Domains(func(d *Domain) bool { err = fn(d); return err == nil }), err)
}

func TestNothingAcknowledgedIsLostWhenAWriteFails(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name     string
		segments bool
		fails    func(n int64) bool
	}{
		{"once", false, func(n int64) bool { return n == 0 }},
		{"for good", false, func(n int64) bool { return n <= 0 }},
		{"once, in segments", true, func(n int64) bool { return n == 0 }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			faults := 0
			for at := int64(1); ; at += 1 + at/40 {
				var left atomic.Int64
				left.Store(at)
				disk := vfs.NewCrashableMem()
				inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
					if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && kind.fails(left.Add(-1)) {
						return fmt.Errorf("no space left on %s", op.Path)
					}
					return nil
				})
				r := faultyRun{segments: kind.segments}
				err := r.until(errorfs.Wrap(disk, inject))
				fired := left.Load() <= 0
				if !fired {
					if err != nil {
						t.Fatalf("without a fault: %v", err)
					}
					break
				}
				faults++
				r.check(t, at, disk.CrashClone(vfs.CrashCloneCfg{}))
				if t.Failed() {
					return
				}
			}
			if faults < 50 {
				t.Errorf("only %d faults", faults)
			}
		})
	}
}

// check opens what survived.
func (r *faultyRun) check(t *testing.T, at int64, disk vfs.FS) {
	t.Helper()
	r.mu.Lock()
	loaded := r.loaded
	r.mu.Unlock()
	l, err := Open("data", Options{fs: disk})
	if err != nil {
		t.Fatalf("fault %d: open after it: %v", at, err)
	}
	defer l.Close()
	c, err := l.Campaign("c")
	if errors.Is(err, ErrNoCampaign) && !loaded {
		return
	}
	if err != nil {
		t.Fatalf("fault %d: %v", at, err)
	}
	resume(t, c, day, Hold)
	verify(t, l)
	if c.Totals().Streaming && r.segments && !loaded {
		if n := c.Totals().Rows; n != 21 {
			t.Errorf("fault %d: %d rows of the first segment's 21", at, n)
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range people(40, 3) {
		seq := Seq(i + 1)
		rec, err := c.Lookup(string(p.Local), string(p.Domain))
		if err != nil {
			t.Fatalf("fault %d: recipient %d: %v", at, seq, err)
		}
		if want, ok := r.acked[seq]; ok && rec.State != want {
			t.Errorf("fault %d: recipient %d was acknowledged as %d and is %d", at, seq, want, rec.State)
		}
		if r.leased[seq] && rec.State == Pending {
			t.Errorf("fault %d: recipient %d was leased, and nothing tells of it", at, seq)
		}
	}
}

// Whoever waits for a lease hears of the failure, and later calls do at once.
func TestFailedWriteIsToldToEverybody(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return errors.New("input/output error")
		}
		return nil
	})
	fatal := make(chan error, 2)
	l := newLedger(t, Options{fs: errorfs.Wrap(vfs.NewMem(), inject), Fatal: func(err error) { fatal <- err }})
	c := load(t, l, "c", people(10, 1))
	resume(t, c, day, Retry)
	d := c.domain("d0.example")
	var one, two Batch
	if err := errors.Join(d.ReadFresh(&one, 3), d.ReadFresh(&two, 3)); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	done := make(chan error, 2)
	l.Lease(&one, func(_ *Batch, err error) { done <- err })
	if err := <-done; err == nil {
		t.Error("a lease that could not be written was given")
	}
	if err := <-fatal; err == nil {
		t.Error("Fatal without an error")
	}
	l.Lease(&two, func(_ *Batch, err error) { done <- err })
	if err := <-done; err == nil {
		t.Error("a lease after the failure was given")
	}
	if err := l.Flush(t.Context()); err == nil {
		t.Error("flush after the failure")
	}
	if _, err := c.Report(t.Context()); err == nil {
		t.Error("report after the failure")
	}
	if err := l.Close(); err == nil {
		t.Error("close after the failure tells of nothing")
	}
}
