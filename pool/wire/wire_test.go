package wire

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// probe is a Handler that remembers.
type probe struct {
	mu     sync.Mutex
	conn   *Conn
	got    []byte
	opened int
	closed int
	timers int
	wakes  int
	err    error
	late   bool // something came after OnClose
	note   chan struct{}

	// Called on the loop, if set.
	open  func(*Conn)
	bytes func(*Conn, []byte)
	timer func(*Conn)
	wake  func(*Conn)
}

func newProbe() *probe { return &probe{note: make(chan struct{}, 1)} }

func (p *probe) saw(f func()) {
	p.mu.Lock()
	p.late = p.late || p.closed > 0
	f()
	p.mu.Unlock()
	select {
	case p.note <- struct{}{}:
	default:
	}
}

func (p *probe) OnOpen(c *Conn) {
	if p.open != nil {
		p.open(c)
	}
	p.saw(func() { p.conn = c; p.opened++ })
}

func (p *probe) OnBytes(c *Conn, b []byte) {
	if p.bytes != nil {
		p.bytes(c, b)
	}
	p.saw(func() { p.got = append(p.got, b...) })
}

func (p *probe) OnTimer(c *Conn) {
	if p.timer != nil {
		p.timer(c)
	}
	p.saw(func() { p.timers++ })
}

func (p *probe) OnWake(c *Conn) {
	if p.wake != nil {
		p.wake(c)
	}
	p.saw(func() { p.wakes++ })
}

func (p *probe) OnClose(_ *Conn, err error) { p.saw(func() { p.closed++; p.err = err }) }

// await waits until ok, which runs under the lock.
func (p *probe) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		p.mu.Lock()
		done := ok()
		p.mu.Unlock()
		if done {
			return
		}
		select {
		case <-p.note:
		case <-limit:
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

// pair is a wire with one dialled connection, and its peer.
func pair(t *testing.T) (*Wire, net.Conn, *net.TCPConn) {
	t.Helper()
	w, err := New(Options{Loops: 1})
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
	c, peer := dialled(t)
	return w, c, peer
}

func dialled(t *testing.T) (net.Conn, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	return c, peer.(*net.TCPConn)
}

func enrol(t *testing.T, w *Wire, c net.Conn, p *probe) {
	t.Helper()
	if err := w.Enroll(c, p); err != nil {
		t.Fatal(err)
	}
	p.await(t, "it is open", func() bool { return p.opened == 1 })
}

func TestBytesGoBothWaysInOrder(t *testing.T) {
	t.Parallel()
	w, c, peer := pair(t)
	// More than the socket takes at once, in more pieces than writev does.
	data := make([]byte, 8<<20)
	_, _ = rand.Read(data)
	var pieces [][]byte
	for i, rest := 0, data; len(rest) > 0; i++ {
		n := min([]int{1, 10, 5000, 100, 4096, 9000}[i%6], len(rest))
		pieces = append(pieces, rest[:n])
		rest = rest[n:]
	}
	p := newProbe()
	unsent := 0
	p.open = func(c *Conn) {
		scratch := make([][]byte, len(pieces))
		copy(scratch, pieces)
		c.Write(scratch)
		unsent = c.Unsent()
	}
	enrol(t, w, c, p)
	if unsent == 0 || unsent > len(data) {
		t.Errorf("%d octets are said to be unsent", unsent)
	}
	got := make([]byte, len(data))
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("peer got something else (%v)", err)
	}
	go func() { _, _ = peer.Write(data) }()
	p.await(t, "all has come back", func() bool { return len(p.got) == len(data) })
	if !bytes.Equal(p.got, data) {
		t.Error("got something else back")
	}
	_ = peer.Close()
	p.await(t, "the end is told", func() bool { return p.closed == 1 })
	if !errors.Is(p.err, io.EOF) {
		t.Errorf("ended with %v, want EOF", p.err)
	}
}

func TestWriteDoesNotKeepOrChangeThePieces(t *testing.T) {
	t.Parallel()
	w, c, peer := pair(t)
	p := newProbe()
	big := bytes.Repeat([]byte("x"), 4<<20)
	pieces := [][]byte{[]byte("head"), big, []byte("tail")}
	p.open = func(c *Conn) {
		c.Write(pieces)
		if len(pieces[1]) != len(big) || len(pieces) != 3 {
			t.Error("the gather list was changed")
		}
		clear(big)
	}
	enrol(t, w, c, p)
	got := make([]byte, 4<<20+8)
	if _, err := io.ReadFull(peer, got); err != nil {
		t.Fatal(err)
	}
	if bytes.IndexByte(got, 0) >= 0 {
		t.Error("what was written later changed what was sent")
	}
}

func TestCloseTellsAndSends(t *testing.T) {
	t.Parallel()
	w, c, peer := pair(t)
	p := newProbe()
	p.bytes = func(c *Conn, _ []byte) {
		c.Write([][]byte{[]byte("QUIT\r\n")})
		c.Close()
		c.Write([][]byte{[]byte("too late")})
	}
	enrol(t, w, c, p)
	_, _ = peer.Write([]byte("x"))
	got, err := io.ReadAll(peer)
	if err != nil || string(got) != "QUIT\r\n" {
		t.Errorf("peer got %q, %v", got, err)
	}
	p.await(t, "the end is told", func() bool { return p.closed == 1 })
	if p.err != nil {
		t.Errorf("ended with %v, want nil", p.err)
	}
	p.conn.Wake()
	done := make(chan struct{})
	if !p.conn.Execute(func() { close(done) }) {
		t.Error("Execute refused although the loop lives")
	}
	<-done
	if p.late || p.wakes != 0 {
		t.Error("the handler was called after OnClose")
	}
}

func TestAnswersBeforeAResetAreHandedOver(t *testing.T) {
	t.Parallel()
	w, c, peer := pair(t)
	p := newProbe()
	hold := make(chan struct{})
	p.wake = func(c *Conn) {
		<-hold // the loop must not read before it writes
		for range 3 {
			c.Write([][]byte{[]byte("more\r\n")})
		}
	}
	enrol(t, w, c, p)
	p.conn.Wake()
	if _, err := peer.Write([]byte("421 bye\r\n")); err != nil {
		t.Fatal(err)
	}
	_ = peer.SetLinger(0) // close resets
	_ = peer.Close()
	close(hold)
	p.await(t, "the end is told", func() bool { return p.closed == 1 })
	if string(p.got) != "421 bye\r\n" || p.late {
		t.Errorf("got %q (late: %v)", p.got, p.late)
	}
	if p.err == nil {
		t.Error("a reset is no orderly end")
	}
}

func TestTimerMoves(t *testing.T) {
	t.Parallel()
	w, c, peer := pair(t)
	p := newProbe()
	var order []string
	p.open = func(c *Conn) { c.SetTimer(time.Hour) }
	p.bytes = func(c *Conn, b []byte) {
		switch b[0] {
		case 'a':
			c.SetTimer(time.Millisecond) // to sooner
		case 'b':
			c.SetTimer(time.Millisecond)
			c.SetTimer(0) // none
		case 'c':
			c.SetTimer(time.Millisecond)
			c.SetTimer(20 * time.Millisecond) // to later, lazily
		}
	}
	p.timer = func(*Conn) { order = append(order, "timer") }
	enrol(t, w, c, p)
	for i, s := range []string{"a", "b", "c"} {
		_, _ = peer.Write([]byte(s))
		p.await(t, s+" has arrived", func() bool { return len(p.got) == i+1 })
		want := []int{1, 1, 2}[i]
		p.await(t, "the timer has fired", func() bool { return p.timers >= want })
	}
	_ = peer.Close()
	p.await(t, "the end is told", func() bool { return p.closed == 1 })
	if p.timers != 2 {
		t.Errorf("timer fired %d times, want 2", p.timers)
	}
}

func TestTimersOfManyFireEach(t *testing.T) {
	t.Parallel()
	w, err := New(Options{Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	var wg sync.WaitGroup
	for i := range 50 {
		c, _ := dialled(t)
		p := newProbe()
		left := 3
		wg.Add(1)
		p.open = func(c *Conn) { c.SetTimer(time.Duration(i%7+1) * time.Millisecond) }
		p.timer = func(c *Conn) {
			if left--; left == 0 {
				wg.Done()
				return
			}
			c.SetTimer(time.Duration(i%5+1) * time.Millisecond)
		}
		enrol(t, w, c, p)
	}
	wg.Wait()
	for i, l := range w.loops {
		if n := l.count.Load(); n != 25 {
			t.Errorf("loop %d carries %d of 50 connections, want half", i, n)
		}
	}
}

func TestWakesBecomeOne(t *testing.T) {
	t.Parallel()
	w, c, _ := pair(t)
	p := newProbe()
	enrol(t, w, c, p)
	hold, in := make(chan struct{}), make(chan struct{})
	p.conn.Execute(func() { close(in); <-hold })
	<-in
	for range 1000 {
		p.conn.Wake()
	}
	close(hold)
	p.await(t, "it was woken", func() bool { return p.wakes > 0 })
	done := make(chan struct{})
	p.conn.Execute(func() { close(done) })
	<-done
	if p.wakes != 1 {
		t.Errorf("woken %d times for one batch of calls", p.wakes)
	}
	p.conn.Wake()
	p.await(t, "it was woken again", func() bool { return p.wakes == 2 })
}

func TestClosingTheWireTellsEveryHandler(t *testing.T) {
	t.Parallel()
	w, c, _ := pair(t)
	p := newProbe()
	enrol(t, w, c, p)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if p.closed != 1 || !errors.Is(p.err, ErrClosed) {
		t.Errorf("told %d times, with %v", p.closed, p.err)
	}
	if p.conn.Execute(func() { t.Error("ran") }) {
		t.Error("Execute accepted after the end")
	}
	p.conn.Wake()
	c2, peer2 := dialled(t)
	if err := w.Enroll(c2, newProbe()); !errors.Is(err, ErrClosed) {
		t.Errorf("Enroll after Close: %v", err)
	}
	if _, err := peer2.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection that was not enrolled was left open: %v", err)
	}
}

func TestWhatIsNoSocketIsRefused(t *testing.T) {
	t.Parallel()
	w, c, _ := pair(t)
	defer c.Close()
	a, b := net.Pipe()
	defer b.Close()
	p := newProbe()
	if err := w.Enroll(a, p); err == nil || p.opened+p.closed != 0 {
		t.Errorf("got %v, handler called %d times", err, p.opened+p.closed)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, MaxLoops + 1} {
		if _, err := New(Options{Loops: n}); err == nil {
			t.Errorf("%d loops were accepted", n)
		}
	}
}
