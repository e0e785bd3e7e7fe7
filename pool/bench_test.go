package pool

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
)

// sinkEnv makes the test binary a sink: the receiver's processor time must not
// be counted as the sender's.
const sinkEnv = "PENSTOCK_POOL_TEST_SINK"

// runSink accepts everything, as cheaply as net allows, until stdin ends.
func runSink(caps string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr())
	var cfg *tls.Config
	if strings.Contains(caps, "STARTTLS") {
		cfg = serverTLS(&testing.B{}, "mx")
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go sink(c, caps, cfg)
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func sink(c net.Conn, caps string, cfg *tls.Config) {
	defer func() { _ = c.Close() }()
	r, w := bufio.NewReaderSize(c, 64<<10), bufio.NewWriterSize(c, 4<<10)
	say := func(s string) {
		_, _ = w.WriteString(s)
		if r.Buffered() == 0 {
			_ = w.Flush()
		}
	}
	say("220 sink\r\n")
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		switch {
		case bytes.HasPrefix(line, []byte("EHLO")):
			say("250-sink\r\n250-" + strings.ReplaceAll(caps, ",", "\r\n250-") + "\r\n250 8BITMIME\r\n")
		case bytes.HasPrefix(line, []byte("STARTTLS")):
			say("220 go\r\n")
			tc := tls.Server(c, cfg)
			c = tc
			r, w = bufio.NewReaderSize(c, 64<<10), bufio.NewWriterSize(c, 4<<10)
		case bytes.HasPrefix(line, []byte("BDAT")):
			n, _ := strconv.Atoi(string(bytes.Fields(line)[1]))
			if _, err := r.Discard(n); err != nil {
				return
			}
			say("250 ok\r\n")
		case bytes.HasPrefix(line, []byte("DATA")):
			say("354 go\r\n")
			for !bytes.Equal(line, []byte(".\r\n")) {
				if line, err = r.ReadSlice('\n'); err != nil {
					return
				}
			}
			say("250 ok\r\n")
		case bytes.HasPrefix(line, []byte("QUIT")):
			say("221 bye\r\n")
			return
		default:
			say("250 ok\r\n")
		}
	}
}

// startSink runs a sink as a process of its own.
func startSink(b *testing.B, caps string) netip.AddrPort {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), sinkEnv+"="+caps)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return netip.MustParseAddrPort(strings.TrimSpace(addr))
}

// endless is a Queue of n messages that are used again and again.
type endless struct {
	mu      sync.Mutex
	free    []*smtp.Message
	size    int
	content [][]byte
	left    atomic.Int64
	settled atomic.Int64
	bad     atomic.Int64
	want    int64
	done    chan struct{}
}

func newEndless(n, size int) *endless {
	line := []byte("this is a line of text as long as lines of text are, about seventy-six\r\n")
	body := append([]byte("Subject: benchmark\r\n\r\n"), bytes.Repeat(line, size/len(line))...)
	e := &endless{content: [][]byte{body}, size: len(body), want: int64(n), done: make(chan struct{})}
	e.left.Store(int64(n))
	return e
}

func (e *endless) Pull(dst []*smtp.Message, _ *Connection, n int) []*smtp.Message {
	e.mu.Lock()
	for ; n > 0 && e.left.Load() > 0; n-- {
		e.left.Add(-1)
		var m *smtp.Message
		if k := len(e.free); k > 0 {
			m, e.free = e.free[k-1], e.free[:k-1]
		} else {
			m = &smtp.Message{From: "bounce-0123456789@news.example.com", To: "someone.lastname@recipient.example", Content: e.content, Size: e.size}
		}
		dst = append(dst, m)
	}
	e.mu.Unlock()
	return dst
}

func (e *endless) Settle(_ *Connection, m *smtp.Message, out *smtp.Outcome, _ time.Duration) {
	if out.Fate == smtp.NotAttempted {
		e.left.Add(1)
		return
	}
	if out.Fate != smtp.Delivered {
		e.bad.Add(1)
	}
	e.mu.Lock()
	e.free = append(e.free, m)
	e.mu.Unlock()
	if e.settled.Add(1) == e.want {
		close(e.done)
	}
}

func (e *endless) Backlog() int                   { return int(e.left.Load()) }
func (e *endless) Unreachable(Failure, time.Time) {}

// openGate lets everything through, up to max connections.
type openGate struct {
	max  int64
	open atomic.Int64
}

func (g *openGate) Connect(time.Time) (bool, time.Duration) {
	if g.open.Add(1) > g.max {
		g.open.Add(-1)
		return false, 0
	}
	return true, 0
}
func (g *openGate) Disconnect(time.Time)                          { g.open.Add(-1) }
func (g *openGate) Grant(_ time.Time, n int) (int, time.Duration) { return n, 0 }
func (g *openGate) Refund(time.Time, int)                         {}
func (g *openGate) MessagesPerConnection() int                    { return 0 }

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkLoopback(b *testing.B) {
	for _, c := range []struct {
		name   string
		caps   string
		window int
	}{
		{"lock-step", "SIZE", 1},
		{"pipelining", "PIPELINING", 1},
		{"chunking/1", "PIPELINING,CHUNKING", 1},
		{"chunking/4", "PIPELINING,CHUNKING", 4},
		{"chunking/16", "PIPELINING,CHUNKING", 16},
		{"chunking/16/tls", "PIPELINING,CHUNKING,STARTTLS", 16},
	} {
		for _, size := range []int{2 << 10, 30 << 10} {
			b.Run(fmt.Sprintf("%s/%dKB", c.name, size>>10), func(b *testing.B) {
				addr := startSink(b, c.caps)
				p, err := New(Options{
					Sources: []Source{{Name: "s", Hello: "client.example"}},
					Window:  c.window,
				})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = p.Close() }()
				gate := &openGate{max: 50}
				s := p.Site("sink", func(Source) Gate { return gate }, SiteOptions{})
				hosts := []Host{{Name: "mx", Addrs: []netip.AddrPort{addr}}}
				warm := newEndless(5000, size)
				s.Lane(hosts, warm, LaneOptions{}).Close()
				b.ReportAllocs()
				b.ResetTimer()
				q := newEndless(b.N, size)
				start := cpu()
				s.Lane(hosts, q, LaneOptions{})
				<-q.done
				used := cpu() - start
				b.StopTimer()
				if n := q.bad.Load(); n > 0 {
					b.Errorf("%d of %d were not delivered", n, b.N)
				}
				b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-us/msg")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

// BenchmarkLongTail is many sites with 20 recipients each, one lane a site: per
// message, with a dial for every 20.
func BenchmarkLongTail(b *testing.B) {
	for _, caps := range []string{"PIPELINING", "PIPELINING,CHUNKING", "PIPELINING,CHUNKING,STARTTLS"} {
		b.Run(caps, func(b *testing.B) {
			addr := startSink(b, caps)
			p, err := New(Options{Sources: []Source{{Name: "s", Hello: "client.example"}}, MaxConnections: 2000})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = p.Close() }()
			const each = 20
			sites := max(b.N/each, 1)
			b.ReportAllocs()
			b.ResetTimer()
			start := cpu()
			var queues []*endless
			for i := range sites {
				gate := &openGate{max: 20}
				s := p.Site(strconv.Itoa(i), func(Source) Gate { return gate }, SiteOptions{})
				q := newEndless(each, 2<<10)
				queues = append(queues, q)
				s.Lane([]Host{{Name: "mx" + strconv.Itoa(i), Addrs: []netip.AddrPort{addr}}}, q, LaneOptions{})
			}
			for _, q := range queues {
				<-q.done
			}
			used := cpu() - start
			b.StopTimer()
			b.ReportMetric(float64(used.Microseconds())/float64(sites*each), "cpu-us/msg")
			b.ReportMetric(float64(sites)/b.Elapsed().Seconds(), "sites/s")
		})
	}
}

// BenchmarkOpenConnections is what an open, idle connection costs in memory.
func BenchmarkOpenConnections(b *testing.B) {
	for _, caps := range []string{"PIPELINING", "PIPELINING,CHUNKING,STARTTLS"} {
		b.Run(caps, func(b *testing.B) {
			addr := startSink(b, caps)
			p, err := New(Options{Sources: []Source{{Name: "s", Hello: "client.example"}}, IdleTimeout: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = p.Close() }()
			inUse := func() uint64 {
				var m runtime.MemStats
				runtime.GC()
				runtime.GC()
				runtime.ReadMemStats(&m)
				return m.HeapInuse + m.StackInuse
			}
			before := inUse()
			b.ResetTimer()
			var queues []*endless
			for i := range b.N {
				gate := &openGate{max: 20}
				s := p.Site(strconv.Itoa(i), func(Source) Gate { return gate }, SiteOptions{})
				q := newEndless(1, 100)
				queues = append(queues, q)
				s.Lane([]Host{{Name: "mx" + strconv.Itoa(i), Addrs: []netip.AddrPort{addr}}}, q, LaneOptions{})
			}
			for _, q := range queues {
				<-q.done
			}
			b.StopTimer()
			if n := p.Stats().Connections; n != b.N {
				b.Errorf("%d connections are open, want %d", n, b.N)
			}
			b.ReportMetric(float64(inUse()-before)/float64(b.N), "heap-B/conn")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "dials/s")
			runtime.KeepAlive(queues)
		})
	}
}

// BenchmarkWake is what Lane.Wake costs when it has nothing to do.
func BenchmarkWake(b *testing.B) {
	addr := startSink(b, "PIPELINING")
	p, err := New(Options{Sources: []Source{{Name: "s", Hello: "client.example"}}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	gate := &openGate{max: 0}
	s := p.Site("sink", func(Source) Gate { return gate }, SiteOptions{})
	q := newEndless(1000, 100)
	l := s.Lane([]Host{{Name: "mx", Addrs: []netip.AddrPort{addr}}}, q, LaneOptions{})
	b.ReportAllocs()
	for b.Loop() {
		l.Wake()
	}
}
