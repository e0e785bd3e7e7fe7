package wire

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2"
)

// ErrClosed is returned by Enroll after Close.
var ErrClosed = errors.New("transport is closed")

// MaxLoops is the most event loops a Wire may have.
const MaxLoops = 128

// Options of a Wire.
type Options struct {
	// Loops is the number of event loops, 1 to MaxLoops; 0 takes GOMAXPROCS.
	Loops int
	// Log takes what the event loop library has to say; nil: nothing is said.
	Log *slog.Logger
}

// Wire is a set of event loops that carry client connections. Its methods may
// be called from any goroutine.
type Wire struct {
	loops []*loop
	// pick spreads equally loaded loops.
	pick atomic.Uint32

	// enrolling is read-held while a connection is handed to a loop, so that
	// Close never stops a loop under an enrolment that waits for it.
	enrolling sync.RWMutex
	closed    bool // under enrolling
}

// New starts the event loops.
//
// Each loop is a gnet client of its own with a single event loop: gnet's own
// choice looks at counts that only move once a connection is registered, so
// connections enrolled together would pile onto one loop.
func New(opts Options) (*Wire, error) {
	if opts.Loops == 0 {
		opts.Loops = min(runtime.GOMAXPROCS(0), MaxLoops)
	}
	if opts.Loops < 1 || opts.Loops > MaxLoops {
		return nil, fmt.Errorf("transport: loops is %d, must be 1 to %d", opts.Loops, MaxLoops)
	}
	w := &Wire{}
	for range opts.Loops {
		l := newLoop()
		client, err := gnet.NewClient(l, gnet.WithNumEventLoop(1), gnet.WithLogger(logger{opts.Log}))
		if err == nil {
			l.client = client
			err = client.Start()
		}
		if err != nil {
			_ = w.Close()
			return nil, fmt.Errorf("transport: start event loop: %w", err)
		}
		w.loops = append(w.loops, l)
	}
	return w, nil
}

// Enroll hands a connection to the least loaded event loop: c is what Dial gave,
// or what TLS.Client made of it. It takes c over in every case: the descriptor
// is duplicated and c closed, also on error.
//
// When Enroll returns nil the handler's OnOpen has run, and OnClose may have.
// When it returns an error the handler was not and will not be called.
// Not to be called from an event loop: it waits for one.
func (w *Wire) Enroll(c net.Conn, h Handler) error {
	w.enrolling.RLock()
	defer w.enrolling.RUnlock()
	if w.closed {
		_ = c.Close()
		return ErrClosed
	}
	conn := &Conn{handler: h}
	if s, ok := c.(*SecureConn); ok {
		conn.tls, c = s, s.raw
	}
	l := w.leastLoaded()
	conn.loop = l
	l.count.Add(1)
	if _, err := l.client.EnrollContext(c, conn); err != nil {
		l.count.Add(-1)
		return fmt.Errorf("enrol connection: %w", err)
	}
	// gnet reports success even when the registration failed; it has returned
	// from the loop, so this read is ordered behind OnOpen.
	if !conn.opened {
		l.count.Add(-1)
		return errors.New("enrol connection: event loop refused it")
	}
	return nil
}

func (w *Wire) leastLoaded() *loop {
	n := len(w.loops)
	start := int(w.pick.Add(1)) % n
	best := w.loops[start]
	least := best.count.Load()
	for i := 1; i < n; i++ {
		l := w.loops[(start+i)%n]
		if c := l.count.Load(); c < least {
			best, least = l, c
		}
	}
	return best
}

// Connections is how many connections the loops carry now.
func (w *Wire) Connections() int {
	n := 0
	for _, l := range w.loops {
		n += int(l.count.Load())
	}
	return n
}

// Close closes every connection (its handler is told with ErrClosed), stops the
// loops and waits for them. A second call does nothing.
func (w *Wire) Close() error {
	w.enrolling.Lock()
	defer w.enrolling.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	var errs []error
	for _, l := range w.loops {
		errs = append(errs, l.stop())
	}
	return errors.Join(errs...)
}
