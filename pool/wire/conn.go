package wire

import (
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// Handler is told what happens to an enrolled connection. All its methods run
// on the connection's event loop, one at a time, and must not block.
type Handler interface {
	// OnOpen comes first.
	OnOpen(c *Conn)
	// OnBytes hands over what arrived, decrypted; b dies with the call.
	OnBytes(c *Conn, b []byte)
	// OnTimer comes when the time set by SetTimer is over.
	OnTimer(c *Conn)
	// OnWake comes after Wake.
	OnWake(c *Conn)
	// OnClose comes last and once; bytes that had arrived were handed over
	// before. err is nil if Close was called, io.EOF if the peer closed.
	OnClose(c *Conn, err error)
}

// Conn is an enrolled connection.
type Conn struct {
	handler Handler
	loop    *loop
	tls     *SecureConn // nil: plain
	gc      gnet.Conn

	opened bool
	// depth counts handler calls under way: what happens to the connection
	// inside one (a failing write closes it) is told after it.
	depth   int
	closing bool // Close was called
	gone    bool // gnet is done with it: gc must not be used
	told    bool // OnClose was called

	failed error // why TLS ends the connection, when it does

	why  error  // the end's reason, when gone
	rest []byte // bytes read after the end, not yet handed over

	deadline time.Duration // since loop.base; 0: none
	look     time.Duration // when the heap looks at it
	place    int           // index in the heap + 1; 0: not in it

	waking bool // under loop.mu: a wake-up is on its way
}

// SetTimer sets the one timer of the connection to d from now, replacing what
// was set; 0 or less: none. Moving it to later is nearly free. Loop only.
func (c *Conn) SetTimer(d time.Duration) {
	if d <= 0 || c.gone {
		c.deadline = 0
		return
	}
	c.deadline = c.loop.now + d
	c.loop.timers.schedule(c, c.loop.now)
}

// Unsent is how many octets the socket has not taken yet. Loop only.
func (c *Conn) Unsent() int {
	if c.gone {
		return 0
	}
	return c.gc.OutboundBuffered()
}

// Wake makes OnWake run on the loop, once for any number of calls before it
// does. After the end it does nothing. Any goroutine.
func (c *Conn) Wake() {
	l := c.loop
	l.mu.Lock()
	if c.waking {
		l.mu.Unlock()
		return
	}
	c.waking = true
	l.mu.Unlock()
	l.post(task{conn: c})
}

// Execute runs f on the connection's loop, whether or not the connection still
// lives; false if the loop has stopped and f will not run. Any goroutine.
func (c *Conn) Execute(f func()) bool { return c.loop.post(task{run: f}) }

// Close ends the connection: close_notify on TLS, what is unsent as far as the
// socket takes it at once, then OnClose with nil, after the handler's current
// method has returned. Loop only.
func (c *Conn) Close() { c.closing = true }

func (c *Conn) open(gc gnet.Conn) {
	c.gc = gc
	c.opened = true
	if c.tls != nil {
		c.tls.attach()
	}
	c.depth++
	c.handler.OnOpen(c)
	if c.tls != nil {
		// The handshake's last read may have taken what came behind it.
		c.decrypt(nil)
	}
	c.leave()
}

func (c *Conn) received(b []byte) {
	if c.gone || len(b) == 0 {
		return
	}
	c.depth++
	c.input(b)
	c.leave()
}

func (c *Conn) input(b []byte) {
	if c.tls != nil {
		c.decrypt(b)
		return
	}
	c.handler.OnBytes(c, b)
}

func (c *Conn) woken() {
	c.loop.mu.Lock()
	c.waking = false
	c.loop.mu.Unlock()
	if c.gone {
		return
	}
	c.depth++
	c.handler.OnWake(c)
	c.leave()
}

func (c *Conn) expired() {
	if c.gone {
		return
	}
	c.depth++
	c.handler.OnTimer(c)
	c.leave()
}

// leave ends a handler call, and does what came up during it.
func (c *Conn) leave() {
	c.depth--
	if c.depth > 0 || c.told {
		return
	}
	if c.closing && !c.gone {
		if c.tls != nil {
			c.closeNotify()
		}
		if !c.gone {
			_ = c.gc.EventLoop().Close(c.gc) // calls lost
		}
	}
	if c.gone {
		c.finish()
	}
}

// lost is called when gnet closes the connection, whatever the reason: the end
// of the stream, an error of a read or write (then in the middle of our own
// Write), our Close, or the loop's end.
func (c *Conn) lost(err error) {
	if c.gone {
		return
	}
	switch {
	case c.closing:
		err = c.failed
	case err == nil:
		err = ErrClosed // the loop is stopping
	default:
		err = c.salvage(err)
	}
	c.gone = true
	c.why = err
	c.deadline = 0
	c.loop.timers.remove(c)
	c.loop.count.Add(-1)
	if c.depth == 0 {
		c.finish()
	}
}

// salvage reads what still lies in the socket: a peer that answers and closes
// at once makes the next write fail, and gnet then closes without having read.
// Each answer found here is a message that is not uncertain.
func (c *Conn) salvage(err error) error {
	buf := make([]byte, 4<<10)
	for len(c.rest) < maxSalvage {
		n, rerr := syscall.Read(c.gc.Fd(), buf)
		if rerr == syscall.EINTR {
			continue
		}
		if n > 0 {
			c.rest = append(c.rest, buf[:n]...)
			continue
		}
		if rerr != nil && rerr != syscall.EAGAIN && errors.Is(err, io.EOF) {
			return rerr // a reset that gnet calls the end of the stream
		}
		break
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return err
}

// maxSalvage bounds what is read from a connection that has ended.
const maxSalvage = 256 << 10

// finish hands over what is left and tells the end.
func (c *Conn) finish() {
	if c.told {
		return
	}
	c.told = true
	if len(c.rest) > 0 {
		c.input(c.rest)
		c.rest = nil
	}
	c.handler.OnClose(c, c.why)
	c.tls = nil
}
