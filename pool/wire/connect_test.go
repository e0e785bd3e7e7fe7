package wire

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"
)

// listening is a server's address; each connection is handed to serve.
func listening(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		served.Wait()
	})
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func started(t *testing.T, loops int) *Wire {
	t.Helper()
	w, err := New(Options{Loops: loops})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if n := w.Connections(); n != 0 {
			t.Errorf("%d connections counted after Close", n)
		}
	})
	return w
}

func TestConnect(t *testing.T) {
	t.Parallel()
	to := listening(t, func(c net.Conn) {
		_, _ = io.WriteString(c, c.RemoteAddr().(*net.TCPAddr).IP.String())
		_, _ = io.Copy(c, c)
	})
	w := started(t, 2)
	for _, from := range []string{"", "127.0.0.1", "127.0.0.2", "::ffff:127.0.0.3"} {
		p := newProbe()
		p.open = func(c *Conn) {
			c.SetTimer(0)
			c.Write([][]byte{[]byte(" hello")})
		}
		var local netip.Addr
		want := "127.0.0.1"
		if from != "" {
			local = netip.MustParseAddr(from)
			want = local.Unmap().String()
		}
		if _, err := w.Connect(local, to, time.Hour, p); err != nil {
			t.Fatal(err)
		}
		p.await(t, "the echo is there", func() bool { return string(p.got) == want+" hello" })
		if p.opened != 1 || p.timers != 0 {
			t.Errorf("opened %d times, %d timers", p.opened, p.timers)
		}
	}
}

func TestConnectThatFailsIsADial(t *testing.T) {
	t.Parallel()
	w := started(t, 1)
	to := listening(t, func(net.Conn) {})
	gone := netip.AddrPortFrom(to.Addr(), 1)
	for _, c := range []struct {
		name, from string
		to         netip.AddrPort
		want       error
		exhausted  bool
	}{
		{"refused", "", gone, syscall.ECONNREFUSED, false},
		{"refused to a source", "127.0.0.2", gone, syscall.ECONNREFUSED, false},
		{"no such source", "192.0.2.7", to, syscall.EADDRNOTAVAIL, true},
		{"zone", "", netip.MustParseAddrPort("[fe80::1%lo]:25"), nil, false},
	} {
		p := newProbe()
		var from netip.Addr
		if c.from != "" {
			from = netip.MustParseAddr(c.from)
		}
		if _, err := w.Connect(from, c.to, time.Hour, p); err != nil {
			t.Fatal(err)
		}
		p.await(t, c.name+" is told", func() bool { return p.closed == 1 })
		var op *net.OpError
		if !errors.As(p.err, &op) || op.Op != "dial" || c.want != nil && !errors.Is(p.err, c.want) || Exhausted(p.err) != c.exhausted || p.opened+p.timers != 0 {
			t.Errorf("%s: %v (exhausted: %v, opened %d)", c.name, p.err, Exhausted(p.err), p.opened)
		}
	}
}

// full is an address where connections neither stand nor fail: a listener whose
// queue is full answers no SYN.
func full(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := newSocket(syscall.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*syscall.SockaddrInet4).Port))
	for {
		c, err := net.DialTimeout("tcp", to.String(), 100*time.Millisecond)
		if err != nil {
			return to
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}

func TestAConnectUnderWayIsTheHandlersToEnd(t *testing.T) {
	t.Parallel()
	w := started(t, 1)
	to := full(t)
	why := errors.New("had enough")

	p := newProbe()
	looks := 0
	p.timer = func(c *Conn) {
		if looks++; looks == 1 {
			c.SetTimer(time.Millisecond)
		} else {
			c.Fail(why)
		}
	}
	if _, err := w.Connect(netip.Addr{}, to, time.Millisecond, p); err != nil {
		t.Fatal(err)
	}
	p.await(t, "its own end is told", func() bool { return p.closed == 1 })
	if p.err != why || p.opened != 0 || p.timers != 2 {
		t.Errorf("%v, opened %d, %d timers", p.err, p.opened, p.timers)
	}

	q := newProbe()
	c, err := w.Connect(netip.Addr{}, to, time.Hour, q)
	if err != nil {
		t.Fatal(err)
	}
	c.Wake()
	w.Each(func(c *Conn) {
		if c.Handler() == Handler(q) {
			c.Fail(why)
		}
	})
	q.await(t, "the end is told", func() bool { return q.closed == 1 })
	c.Fail(errors.New("once more"))
	if q.err != why || q.wakes != 0 {
		t.Errorf("%v, %d wakes", q.err, q.wakes)
	}

	r := newProbe()
	if _, err := w.Connect(netip.Addr{}, to, time.Hour, r); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if r.closed != 1 || !errors.Is(r.err, ErrClosed) {
		t.Errorf("closing the wire told %d times, with %v", r.closed, r.err)
	}
	if _, err := w.Connect(netip.Addr{}, to, time.Hour, newProbe()); !errors.Is(err, ErrClosed) {
		t.Errorf("Connect after Close: %v", err)
	}
}

func TestDetachGivesTheConnectionBack(t *testing.T) {
	t.Parallel()
	to := listening(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
	w := started(t, 1)
	back := make(chan net.Conn, 1)
	p := newProbe()
	p.open = func(c *Conn) { c.Write([][]byte{[]byte("a")}) }
	p.bytes = func(c *Conn, _ []byte) {
		nc, err := c.Detach()
		if err != nil {
			t.Error(err)
		}
		if _, err := c.Detach(); err == nil {
			t.Error("detached twice")
		}
		back <- nc
	}
	if _, err := w.Connect(netip.Addr{}, to, time.Hour, p); err != nil {
		t.Fatal(err)
	}
	nc := <-back
	if n := w.Connections(); n != 0 {
		t.Errorf("%d connections are still carried", n)
	}
	b := make([]byte, 1)
	if _, err := nc.Write([]byte("b")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(nc, b); err != nil || b[0] != 'b' {
		t.Fatalf("got %q, %v", b, err)
	}
	q := newProbe()
	q.open = func(c *Conn) { c.Write([][]byte{[]byte("c")}) }
	q.bytes = func(c *Conn, _ []byte) { c.Handle(p); c.Close() }
	enrol(t, w, nc, q)
	p.await(t, "the handler that came last is told", func() bool { return p.closed == 1 })
	if string(q.got) != "c" || q.closed != 0 || p.err != nil {
		t.Errorf("%q, %d, %v", q.got, q.closed, p.err)
	}
}
