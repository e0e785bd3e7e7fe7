package sink

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// handler joins gnet's callbacks to sessions.
type handler struct {
	gnet.BuiltinEventEngine
	sink   *Sink
	booted chan gnet.Engine
}

func (h *handler) OnBoot(e gnet.Engine) gnet.Action {
	h.booted <- e
	return gnet.None
}

// link is one connection on an event loop. Loop only, but for the timer.
type link struct {
	*session
	sink   *Sink
	conn   gnet.Conn
	loop   gnet.EventLoop
	timer  *time.Timer
	armed  bool
	closed bool
	handed bool // the connection went on to TLS
}

func (h *handler) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	if h.sink.options.LocalOnly && !addrPort(c.RemoteAddr()).Addr().IsLoopback() {
		return nil, gnet.Close
	}
	l := &link{sink: h.sink, conn: c, loop: c.EventLoop()}
	l.session = h.sink.newSession(h.sink.arrivedAt(c))
	c.SetContext(l)
	l.session.open(h.sink.now())
	return nil, l.flush()
}

// arrivedAt is the local address of a connection. The listener's is good enough
// unless it stands for several and the script tells them apart.
func (s *Sink) arrivedAt(c gnet.Conn) netip.AddrPort {
	a := addrPort(c.LocalAddr())
	if a.Addr().IsUnspecified() && len(s.options.Script.Servers) > 0 {
		if real, err := localAddr(c.Fd()); err == nil {
			return real
		}
	}
	return a
}

func (h *handler) OnTraffic(c gnet.Conn) gnet.Action {
	l, ok := c.Context().(*link)
	if !ok {
		return gnet.Close
	}
	p, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	l.feed(p, h.sink.now())
	return l.flush()
}

func (h *handler) OnClose(c gnet.Conn, _ error) gnet.Action {
	l, ok := c.Context().(*link)
	if !ok {
		return gnet.None
	}
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	if !l.handed {
		h.sink.gone(l.session)
	}
	return gnet.None
}

// flush writes the replies whose time has come, sees to the others, and says
// whether the connection is to be closed.
func (l *link) flush() gnet.Action {
	l.sink.settle(l.session)
	if p := l.out.take(l.sink.now()); len(p) > 0 {
		l.conn.Write(p) // an error closes the connection by itself
		if l.closed {
			return gnet.None
		}
	}
	if due, ok := l.out.due(); ok {
		l.arm(due)
		return gnet.None
	}
	switch l.ending {
	case endClose:
		return gnet.Close
	case endReset:
		l.conn.SetLinger(0)
		return gnet.Close
	case endSecure:
		if err := l.handOver(); err != nil {
			l.sink.complain("hand over to TLS", err)
		}
		return gnet.Close
	}
	return gnet.None
}

// arm has flush called again at due. Later replies are due later, so a timer
// that runs already is early enough.
func (l *link) arm(due time.Duration) {
	if l.armed {
		return
	}
	l.armed = true
	wait := due - l.sink.now()
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, l.ring)
	} else {
		l.timer.Reset(wait)
	}
}

// ring runs on the timer's goroutine: it only asks the loop to go on.
func (l *link) ring() {
	l.sink.gate.RLock()
	defer l.sink.gate.RUnlock()
	if l.sink.closing {
		return
	}
	// An error means that the loops have ended, and this connection with them.
	_ = l.loop.Execute(context.Background(), gnet.RunnableFunc(l.rang))
}

func (l *link) rang(context.Context) error {
	if l.closed {
		return nil
	}
	l.armed = false
	if l.flush() == gnet.Close && !l.closed {
		return l.loop.Close(l.conn)
	}
	return nil
}

// loopLog lets gnet's errors through and nothing else: at info level it writes
// to standard output, which belongs to the program.
type loopLog struct{ to *slog.Logger }

func (l loopLog) Debugf(string, ...any) {}
func (l loopLog) Infof(string, ...any)  {}
func (l loopLog) Warnf(string, ...any)  {}

func (l loopLog) Errorf(format string, args ...any) {
	if l.to != nil {
		l.to.Error("sink: " + fmt.Sprintf(format, args...))
	}
}

// Fatalf is an error too: a server within a test must not end the process.
func (l loopLog) Fatalf(format string, args ...any) { l.Errorf(format, args...) }
