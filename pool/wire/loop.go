package wire

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"github.com/panjf2000/gnet/v2/pkg/queue"
)

// loop is one event loop and what belongs to it: gnet's poller, and on it our own
// connections.
//
// gnet's client, which would bring connections of its own, takes only what the
// standard library dialled. That is a goroutine with a stack that grows, a second
// poller's registration and a duplicate of the descriptor for every connection: a
// tenth of what a site with five messages costs (bench/README.md).
//
// Tasks for the loop go through a mailbox: appended under a lock, and the poller
// is asked for one round per batch.
type loop struct {
	poller *netpoll.Poller
	log    *slog.Logger
	// done is closed when the loop has ended; err is why, when it was not asked to.
	done chan struct{}
	err  error
	// count is the connections carried or about to be.
	count atomic.Int64

	// base is the zero of now and of all deadlines.
	base time.Time
	// now is the time when the current callback began. Loop only.
	now time.Duration

	// conns by descriptor. Loop only.
	conns  map[int]*Conn
	timers timers // loop only
	// Scratch memory, shared by the loop's connections. Loop only.
	input  []byte   // what was read
	joined []byte   // small pieces of a gather list, joined
	plain  []byte   // decrypted input
	cipher []byte   // encrypted output
	gather [][]byte // what goes to writev

	mu     sync.Mutex
	inbox  []task // under mu
	posted bool   // under mu: the poller was asked for a round
	over   bool   // under mu: the loop takes nothing more

	taken []task // loop only: the batch being worked through
}

// task is a conn to be woken, or a function to be run on the loop.
type task struct {
	conn *Conn
	run  func()
}

// readSize is the most octets that one read takes from a socket.
const readSize = 64 << 10

// newLoop starts a loop.
func newLoop(log *slog.Logger) (*loop, error) {
	poller, err := netpoll.OpenPoller()
	if err != nil {
		return nil, err
	}
	l := &loop{
		poller: poller, log: log, done: make(chan struct{}), base: time.Now(),
		conns: map[int]*Conn{}, input: make([]byte, readSize), plain: make([]byte, 16<<10),
	}
	l.timers.wake = time.AfterFunc(time.Hour, func() { l.post(task{run: l.fire}) })
	l.timers.wake.Stop()
	go l.run()
	return l, nil
}

// run is the loop's goroutine.
func (l *loop) run() {
	defer close(l.done)
	if err := l.poller.Polling(l.event); !errors.Is(err, gneterrors.ErrEngineShutdown) {
		l.err = fmt.Errorf("event loop ended: %w", err)
		if l.log != nil {
			l.log.Error(l.err.Error())
		}
	}
	// What comes in from here on is refused, and what is there is told.
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.work()
	for _, c := range l.conns {
		c.lost(ErrClosed)
	}
}

// post hands a task to the loop; false after the loop has stopped. Any goroutine.
func (l *loop) post(t task) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.inbox = append(l.inbox, t)
	if !l.posted {
		l.posted = true
		// An error means that the loop is going down: run works the inbox off.
		_ = l.poller.Trigger(queue.HighPriority, l.round, nil)
	}
	return true
}

// round is one visit to the inbox. It is a task of gnet's. Loop only.
func (l *loop) round(any) error {
	l.work()
	return nil
}

// work works through the inbox. Loop only.
func (l *loop) work() {
	l.mu.Lock()
	l.taken, l.inbox = l.inbox, l.taken[:0]
	l.posted = false
	l.mu.Unlock()
	l.tick()
	for i, t := range l.taken {
		l.taken[i] = task{}
		if t.conn != nil {
			t.conn.woken()
		} else {
			t.run()
		}
	}
}

func (l *loop) tick() { l.now = time.Since(l.base) }

// event is told by the poller what happened to a descriptor. Loop only.
func (l *loop) event(fd int, ev netpoll.IOEvent, flags netpoll.IOFlags) error {
	if c := l.conns[fd]; c != nil {
		l.tick()
		c.moved(ev, flags)
	}
	return nil
}

// stop ends the loop and waits for it; its connections are closed on the way. Not
// on the loop.
func (l *loop) stop() error {
	l.timers.wake.Stop()
	err := l.poller.Trigger(queue.HighPriority, func(any) error { return gneterrors.ErrEngineShutdown }, nil)
	if err == nil {
		<-l.done
	}
	l.timers.wake.Stop()
	return errors.Join(err, l.err, l.poller.Close())
}
