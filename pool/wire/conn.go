package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// Handler is told what happens to a connection. All its methods run on the
// connection's event loop, one at a time, and must not block.
type Handler interface {
	// OnOpen comes when the connection stands.
	OnOpen(c *Conn)
	// OnBytes hands over what arrived, decrypted; b dies with the call.
	OnBytes(c *Conn, b []byte)
	// OnTimer comes when the time set by SetTimer, or by Connect, is over.
	OnTimer(c *Conn)
	// OnWake comes after Wake.
	OnWake(c *Conn)
	// OnClose comes last and once; bytes that had arrived were handed over
	// before. err is nil if Close was called, io.EOF if the peer closed.
	OnClose(c *Conn, err error)
}

// Conn is a connection on an event loop.
type Conn struct {
	handler Handler
	loop    *loop
	tls     *SecureConn // nil: plain
	fd      int
	dial    *dial // not nil until it stands

	// out is what the socket did not take, from sent on.
	out     []byte
	sent    int
	writing bool // the poller tells when the socket takes more

	// depth counts handler calls under way: what happens to the connection
	// inside one (a failing write closes it) is told after it.
	depth   int
	closing bool // Close was called
	gone    bool // the socket is closed, or somebody else's
	told    bool // OnClose was called

	failed error // why TLS ends the connection, when it does

	why  error  // the end's reason, when gone
	rest []byte // bytes read after the end, not yet handed over

	deadline time.Duration // since loop.base; 0: none
	look     time.Duration // when the heap looks at it
	place    int           // index in the heap + 1; 0: not in it

	waking bool // under loop.mu: a wake-up is on its way
}

// Handle gives the connection another handler from the next call on. Loop only.
func (c *Conn) Handle(h Handler) { c.handler = h }

// Handler is who is told. Loop only.
func (c *Conn) Handler() Handler { return c.handler }

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
func (c *Conn) Unsent() int { return len(c.out) - c.sent }

// Wake makes OnWake run on the loop, once for any number of calls before it
// does. Before the connection stands and after its end it does nothing. Any
// goroutine.
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

// Fail ends the connection, standing or not, without a word to the peer; OnClose
// gets err. After the end it does nothing. Any goroutine.
func (c *Conn) Fail(err error) {
	c.loop.post(task{run: func() { c.lost(err) }})
}

// Detach takes a plain connection off its loop, to be used with blocking calls;
// its handler hears no more of it, not even when there is an error: then the
// connection is closed. Loop only.
func (c *Conn) Detach() (net.Conn, error) {
	if c.gone || c.tls != nil || c.dial != nil {
		return nil, errors.New("detach: not an open, plain connection")
	}
	_ = c.loop.poller.Delete(c.fd)
	c.forget()
	c.told = true
	f := os.NewFile(uintptr(c.fd), "tcp")
	defer f.Close()
	nc, err := net.FileConn(f) // duplicates the descriptor
	if err != nil {
		return nil, fmt.Errorf("detach connection: %w", err)
	}
	return nc, nil
}

// register puts the socket on the loop: it is told of everything until watch
// says less. Loop only.
func (c *Conn) register() error {
	l := c.loop
	if err := l.poller.AddReadWrite(c.attachment(), false); err != nil {
		return err
	}
	c.writing = true
	l.conns[c.fd] = c
	return nil
}

func (c *Conn) attachment() *netpoll.PollAttachment {
	return &netpoll.PollAttachment{FD: c.fd, Callback: c.loop.event}
}

// watch has the poller tell when the socket takes more, if there is more.
func (c *Conn) watch() {
	want := c.Unsent() > 0
	if want == c.writing {
		return
	}
	mod := c.loop.poller.ModRead
	if want {
		mod = c.loop.poller.ModReadWrite
	}
	if err := mod(c.attachment(), false); err != nil {
		c.lost(err)
		return
	}
	c.writing = want
}

func (c *Conn) open() {
	if c.gone {
		return
	}
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

// moved is told what happened to the socket. Loop only.
func (c *Conn) moved(ev netpoll.IOEvent, flags netpoll.IOFlags) {
	failed := netpoll.IsErrorEvent(ev, flags)
	if c.dial != nil {
		if failed || netpoll.IsWriteEvent(ev) {
			c.connected()
		}
		return // what has arrived is told again
	}
	if netpoll.IsWriteEvent(ev) {
		c.depth++
		c.flush()
		c.leave()
	}
	if !c.gone && (failed || netpoll.IsReadEvent(ev)) {
		c.read()
	}
}

// read takes what has arrived, once: what is left is told again.
func (c *Conn) read() {
	b := c.loop.input
	n, err := unix.Read(c.fd, b)
	switch {
	case n > 0:
		c.depth++
		c.input(b[:n])
		c.leave()
	case n == 0 && err == nil:
		c.lost(io.EOF)
	case err == unix.EAGAIN || err == unix.EINTR:
	default:
		c.lost(os.NewSyscallError("read", err))
	}
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
	if c.gone || c.dial != nil {
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
		c.lost(nil)
	}
	if c.gone {
		c.finish()
	}
}

// lost closes the socket, whatever the reason: the end of the stream, an error of
// a read or write (then in the middle of our own Write), our Close, or the loop's
// end. Loop only.
func (c *Conn) lost(err error) {
	if c.gone {
		return
	}
	if c.closing {
		err = c.failed
	}
	c.forget()
	c.why = err
	if c.fd >= 0 {
		_ = unix.Close(c.fd) // which takes it from the poller: it has no duplicate
	}
	if c.depth == 0 {
		c.finish()
	}
}

// forget takes the connection off the loop's books.
func (c *Conn) forget() {
	c.gone = true
	c.deadline = 0
	c.out, c.sent = nil, 0
	l := c.loop
	l.timers.remove(c)
	l.count.Add(-1)
	if c.fd >= 0 && l.conns[c.fd] == c {
		delete(l.conns, c.fd)
	}
}

// salvage reads what still lies in the socket: a peer that answers and closes at
// once makes the next write fail, before what it said was read. Each answer found
// here is a message that is not uncertain.
func (c *Conn) salvage() {
	b := c.loop.input
	for len(c.rest) < maxSalvage {
		n, err := unix.Read(c.fd, b)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			break
		}
		c.rest = append(c.rest, b[:n]...)
	}
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
