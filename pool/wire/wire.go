package wire

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrClosed is returned by Connect and Enroll after Close.
var ErrClosed = errors.New("transport is closed")

// MaxLoops is the most event loops a Wire may have.
const MaxLoops = 128

// Options of a Wire.
type Options struct {
	// Loops is the number of event loops, 1 to MaxLoops; 0 takes GOMAXPROCS.
	Loops int
	// Log is told when an event loop fails; nil: nobody is.
	Log *slog.Logger
}

// Wire is a set of event loops that carry client connections. Its methods may
// be called from any goroutine.
type Wire struct {
	loops []*loop
	// pick spreads equally loaded loops.
	pick   atomic.Uint32
	closed atomic.Bool
}

// New starts the event loops.
func New(opts Options) (*Wire, error) {
	if opts.Loops == 0 {
		opts.Loops = min(runtime.GOMAXPROCS(0), MaxLoops)
	}
	if opts.Loops < 1 || opts.Loops > MaxLoops {
		return nil, fmt.Errorf("transport: loops is %d, must be 1 to %d", opts.Loops, MaxLoops)
	}
	w := &Wire{}
	for range opts.Loops {
		l, err := newLoop(opts.Log)
		if err != nil {
			_ = w.Close()
			return nil, fmt.Errorf("transport: start event loop: %w", err)
		}
		w.loops = append(w.loops, l)
	}
	return w, nil
}

// hand gives a new connection to the least loaded loop, which runs begin. The
// only error is ErrClosed.
func (w *Wire) hand(c *Conn, begin func()) error {
	l := w.leastLoaded()
	c.loop = l
	l.count.Add(1)
	if w.closed.Load() || !l.post(task{run: begin}) {
		l.count.Add(-1)
		return ErrClosed
	}
	return nil
}

// Enroll hands a connection that stands to the least loaded event loop: c is
// what was dialled or detached, or what TLS.Client made of that. It takes c over in
// every case: the descriptor is duplicated and c closed, also on error.
//
// When Enroll returns nil the handler will be called: OnOpen, or OnClose if no
// means were left. When it returns an error, it will not. Any goroutine.
func (w *Wire) Enroll(c net.Conn, h Handler) error {
	conn := &Conn{handler: h}
	if s, ok := c.(*SecureConn); ok {
		conn.tls, c = s, s.raw
	}
	fd, err := duplicate(c)
	_ = c.Close()
	if err != nil {
		return fmt.Errorf("enrol connection: %w", err)
	}
	conn.fd = fd
	err = w.hand(conn, func() {
		if err := conn.register(); err != nil {
			conn.lost(err)
			return
		}
		conn.watch()
		conn.open()
	})
	if err != nil {
		_ = unix.Close(fd)
	}
	return err
}

// duplicate is c's descriptor once more, which is ours.
func duplicate(c net.Conn) (fd int, err error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("%T has no descriptor", c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dup error
	err = raw.Control(func(from uintptr) {
		fd, dup = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0)
		if dup == nil {
			dup = unix.SetNonblock(fd, true)
		}
	})
	if err == nil {
		err = os.NewSyscallError("fcntl", dup)
	}
	return fd, err
}

// Each calls f on every loop for each connection that it carries or begins,
// without waiting for that. Any goroutine.
func (w *Wire) Each(f func(c *Conn)) {
	for _, l := range w.loops {
		l.post(task{run: func() {
			for _, c := range l.conns {
				f(c)
			}
		}})
	}
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
	if !w.closed.CompareAndSwap(false, true) {
		return nil
	}
	var errs []error
	for _, l := range w.loops {
		errs = append(errs, l.stop())
	}
	return errors.Join(errs...)
}
