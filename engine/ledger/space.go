package ledger

import (
	"sync"
	"sync/atomic"
	"time"
)

// spaceWatch looks at the free space every second, and when much was written
// since: Pebble cannot be relied on to survive a full disk, so nothing new is
// begun before it is full. It also closes idle readers.
type spaceWatch struct {
	ledger *Ledger
	low    atomic.Bool
	// written is the bytes committed since the last look.
	written atomic.Int64
	soon    chan struct{}
	quit    chan struct{}
	stopped sync.WaitGroup
}

const spaceInterval = time.Second

func newSpaceWatch(l *Ledger) *spaceWatch {
	w := &spaceWatch{ledger: l, soon: make(chan struct{}, 1), quit: make(chan struct{})}
	w.stopped.Add(1)
	w.look()
	return w
}

func (w *spaceWatch) run() {
	defer w.stopped.Done()
	tick := time.NewTicker(spaceInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.closeReaders()
		case <-w.soon:
		case <-w.quit:
			return
		}
		w.look()
	}
}

// wrote is told of every commit.
func (w *spaceWatch) wrote(bytes int) {
	limit := w.ledger.opt.MinFree / 8
	if limit > 0 && uint64(w.written.Add(int64(bytes))) > limit {
		w.written.Store(0)
		select {
		case w.soon <- struct{}{}:
		default:
		}
	}
}

// look compares the free space with the bound. A directory whose free space
// cannot be told counts as having room: the write itself will say.
func (w *spaceWatch) look() {
	l := w.ledger
	if l.opt.MinFree == 0 {
		return
	}
	usage, err := l.fs.GetDiskUsage(l.dir)
	if err != nil {
		return
	}
	low := usage.AvailBytes < l.opt.MinFree
	if w.low.Swap(low) != low && l.opt.LowSpace != nil {
		l.opt.LowSpace(low)
	}
}

func (w *spaceWatch) closeReaders() {
	l := w.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	before := time.Now().Add(-readerMaxAge)
	for _, c := range l.campaigns {
		c.readers.closeIdle(before)
	}
}

// LowSpace reports whether there is less free space than Options.MinFree.
func (l *Ledger) LowSpace() bool { return l.space.low.Load() }

func (w *spaceWatch) stop() {
	close(w.quit)
	w.stopped.Wait()
}
