package wire

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// loop is one event loop and what belongs to it.
//
// gnet's own ways into a loop (Wake, Execute) allocate, and write to the loop's
// descriptor even after it was closed and its number given to somebody else. So
// tasks go through a mailbox of ours: appended under a lock, and gnet is asked
// for one Execute per batch, under the same lock that stop takes.
type loop struct {
	gnet.BuiltinEventEngine
	client *gnet.Client
	// count is the connections enrolled or being enrolled.
	count atomic.Int64

	// base is the zero of now and of all deadlines.
	base time.Time
	// now is the time when the current callback began. Loop only.
	now time.Duration

	timers timers // loop only
	// Scratch memory, shared by the loop's connections. Loop only.
	joined []byte   // small pieces of a gather list, joined
	plain  []byte   // decrypted input
	cipher []byte   // encrypted output
	gather [][]byte // what goes to writev

	mu sync.Mutex
	// events is known from the first connection on; without one there is
	// nothing to post about.
	events gnet.EventLoop // under mu
	inbox  []task         // under mu
	posted bool           // under mu: an Execute is on its way
	over   bool           // under mu: the loop takes nothing more

	taken []task // loop only: the batch being worked through
}

// task is a conn to be woken, or a function to be run on the loop.
type task struct {
	conn *Conn
	run  func()
}

func newLoop() *loop {
	l := &loop{base: time.Now(), plain: make([]byte, 16<<10)}
	l.timers.wake = time.AfterFunc(time.Hour, func() { l.post(task{run: l.fire}) })
	l.timers.wake.Stop()
	return l
}

// post hands a task to the loop; false after the loop has stopped. Any goroutine.
func (l *loop) post(t task) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.events == nil {
		return false
	}
	l.inbox = append(l.inbox, t)
	if !l.posted {
		l.posted = true
		// An error means that the loop is going down: stop runs the inbox.
		_ = l.events.Execute(context.Background(), l)
	}
	return true
}

// Run works through the inbox. It is gnet's Runnable. Loop only.
func (l *loop) Run(context.Context) error {
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
	return nil
}

func (l *loop) tick() { l.now = time.Since(l.base) }

// stop ends the loop; its connections are closed on the way. Not on the loop.
func (l *loop) stop() error {
	l.timers.wake.Stop()
	err := l.client.Stop()
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	// The loop is gone, so this goroutine may stand in for it.
	_ = l.Run(context.Background())
	l.timers.wake.Stop()
	return err
}

// OnOpen is gnet's.
func (l *loop) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	c, ok := gc.Context().(*Conn)
	if !ok {
		return nil, gnet.Close
	}
	l.mu.Lock()
	l.events = gc.EventLoop()
	l.mu.Unlock()
	l.tick()
	c.open(gc)
	return nil, gnet.None
}

// OnTraffic is gnet's.
func (l *loop) OnTraffic(gc gnet.Conn) gnet.Action {
	c, ok := gc.Context().(*Conn)
	if !ok {
		return gnet.Close
	}
	// With nothing left over from before, Next gives the loop's own read
	// buffer: no copy.
	b, _ := gc.Next(-1)
	l.tick()
	c.received(b)
	return gnet.None
}

// OnClose is gnet's.
func (l *loop) OnClose(gc gnet.Conn, err error) gnet.Action {
	if c, ok := gc.Context().(*Conn); ok {
		l.tick()
		c.lost(err)
	}
	return gnet.None
}
