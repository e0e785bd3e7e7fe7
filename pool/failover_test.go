package pool

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
)

func TestFailsOverWithinTheRound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		first func(b *board) Host
		code  int
	}{
		{"nobody listens", func(b *board) Host {
			return Host{Name: "mx1", Preference: 10, Addrs: []netip.AddrPort{refusing(b.t)}}
		}, 0},
		{"greets with 554", func(b *board) Host { return newServer(b, "mx1", script{greeting: "554 go away"}).host(10) }, 554},
		{"greets with 421", func(b *board) Host { return newServer(b, "mx1", script{greeting: "421 too many"}).host(10) }, 421},
		{"hangs up", func(b *board) Host {
			return newServer(b, "mx1", script{reply: func(_ *peer, v, _ string) string { return "close" }}).host(10)
		}, 0},
		{"refuses EHLO and HELO", func(b *board) Host {
			return newServer(b, "mx1", script{reply: func(_ *peer, v, _ string) string {
				if v == "EHLO" {
					return "550 no"
				}
				return ""
			}}).host(10)
		}, 550},
		{"has no address", func(*board) Host { return Host{Name: "mx1", Preference: 10} }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			good := newServer(r.board, "mx2", script{caps: chunking})
			q := newQueue(r.board, 40)
			r.site.Lane([]Host{good.host(20), c.first(r.board)}, q, LaneOptions{})
			q.allSettled(40)
			r.mu.Lock()
			defer r.mu.Unlock()
			if q.count(smtp.Delivered) != 40 || len(q.down) != 0 {
				t.Errorf("delivered %d, told unreachable %v", q.count(smtp.Delivered), q.down)
			}
			if len(r.obs.failed) != 1 {
				t.Fatalf("%d connect failures, want one: the host then rests", len(r.obs.failed))
			}
			f := r.obs.failed[0]
			if f.Host != "mx1" || f.Reply.Code != c.code || (c.code == 0) != (f.Err != nil) || f.Source != "s1" || f.At.IsZero() {
				t.Errorf("failure is %+v", f)
			}
			if f.Error() == "" {
				t.Error("failure has no text")
			}
		})
	}
}

func TestUnreachableOnceARound(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.RestFirst, o.RestMax = 20*time.Millisecond, 40*time.Millisecond })
	a := Host{Name: "mx1", Preference: 10, Addrs: []netip.AddrPort{refusing(t)}}
	b := Host{Name: "mx2", Preference: 20, Addrs: []netip.AddrPort{refusing(t)}}
	q := newQueue(r.board, 40)
	start := time.Now()
	r.site.Lane([]Host{a, b}, q, LaneOptions{})
	r.await("three rounds have failed", func() bool { return len(q.down) >= 3 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.obs.failed); n < 4 {
		t.Errorf("%d connect failures in three rounds", n)
	}
	if q.down[0].Host != "mx2" || !q.until[0].After(start) {
		t.Errorf("told %+v until %v", q.down[0], q.until[0])
	}
}

func TestADeadHostIsTriedOnceNotTwentyFold(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	q := newQueue(r.board, 1000)
	l := r.site.Lane([]Host{{Name: "mx1", Addrs: []netip.AddrPort{refusing(t)}}}, q, LaneOptions{})
	for range 100 {
		l.Wake()
	}
	r.await("it is told", func() bool { return len(q.down) == 1 })
	for range 100 {
		l.Wake()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.obs.failed) != 1 || len(q.down) != 1 || r.gate.connects != 1 {
		t.Errorf("%d failures, %d times told, %d connects, want one each", len(r.obs.failed), len(q.down), r.gate.connects)
	}
}

func TestRetargetEndsTheRest(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	q := newQueue(r.board, 10)
	l := r.site.Lane([]Host{{Name: "mx1", Addrs: []netip.AddrPort{refusing(t)}}}, q, LaneOptions{})
	r.await("it is told", func() bool { return len(q.down) == 1 })
	srv := newServer(r.board, "mx1", script{caps: chunking})
	l.Retarget([]Host{srv.host(10)})
	q.allSettled(10)
	// And away from it: what is open there goes.
	other := newServer(r.board, "mx2", script{caps: chunking})
	l.Retarget([]Host{other.host(10)})
	r.await("the connection to the old host is gone", func() bool { return srv.open == 0 })
	q.add(10)
	l.Wake()
	q.allSettled(20)
	r.mu.Lock()
	defer r.mu.Unlock()
	if srv.messages != 10 || other.messages != 10 {
		t.Errorf("old host took %d, new one %d", srv.messages, other.messages)
	}
}

// TestSameHostsAgainLetThemRest: many domains with the same hosts say them over
// and over, which is no reason to try a dead one again.
func TestSameHostsAgainLetThemRest(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	q := newQueue(r.board, 10)
	hosts := []Host{{Name: "mx1", Addrs: []netip.AddrPort{refusing(t)}}}
	l := r.site.Lane(hosts, q, LaneOptions{})
	r.await("it is told", func() bool { return len(q.down) == 1 })
	for range 100 {
		l.Retarget(hosts)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(q.down) != 1 || r.gate.connects != 1 {
		t.Errorf("%d times told, %d connects, want one each", len(q.down), r.gate.connects)
	}
}

func TestSpreadsOverEqualHostsAndSources(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.Sources = []Source{
			{Name: "s1", Hello: "one.example", Addr: netip.MustParseAddr("127.0.0.1")},
			{Name: "s2", Hello: "two.example", Addr: netip.MustParseAddr("127.0.0.2")},
		}
	})
	r.gate.max = 8
	hold := make(chan struct{})
	sc := script{caps: pipelining, reply: func(_ *peer, verb, _ string) string {
		if verb == "END" {
			<-hold
		}
		return ""
	}}
	a, b := newServer(r.board, "mx1", sc), newServer(r.board, "mx2", sc)
	q := newQueue(r.board, 1000)
	r.lane(q, a, b)
	r.await("eight connections are open", func() bool { return a.open+b.open == 8 })
	close(hold)
	q.allSettled(1000)
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.most != 4 || b.most != 4 {
		t.Errorf("connections: %d and %d, want 4 each", a.most, b.most)
	}
	from := map[netip.Addr]int{}
	for _, ip := range append(a.from, b.from...) {
		from[ip]++
	}
	if from[netip.MustParseAddr("127.0.0.1")] == 0 || from[netip.MustParseAddr("127.0.0.2")] == 0 || len(from) != 2 {
		t.Errorf("connections came from %v", from)
	}
}

func TestARefusedSourceDoesNotCostTheOther(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.Sources = []Source{{Name: "s1", Hello: "one.example"}, {Name: "s2", Hello: "two.example"}}
	})
	srv := newServer(r.board, "mx", script{caps: chunking, reply: func(_ *peer, verb, line string) string {
		if verb == "EHLO" && line == "EHLO one.example" {
			return "421 not from you"
		}
		return ""
	}})
	q := newQueue(r.board, 50)
	r.lane(q, srv)
	q.allSettled(50)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.obs.opened {
		if c.Source() != "s2" {
			t.Errorf("connection from %q", c.Source())
		}
	}
}

func TestUnknownSourceAddressIsFoundAtStart(t *testing.T) {
	t.Parallel()
	_, err := New(Options{
		Sources: []Source{{Name: "s1", Hello: "a.example", Addr: netip.MustParseAddr("192.0.2.1")}, {Name: "s2"}},
		Window:  1000,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	var unwrap interface{ Unwrap() []error }
	if !errors.As(err, &unwrap) || len(unwrap.Unwrap()) != 3 {
		t.Errorf("want three complaints, got: %v", err)
	}
}

func TestExhaustionIsNotTheHostsFault(t *testing.T) {
	t.Parallel()
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL} {
		t.Run(errno.Error(), func(t *testing.T) {
			t.Parallel()
			var fails atomic.Int32
			r := newRig(t, func(o *Options) {
				o.Dial = func(ctx context.Context, local netip.Addr, remote netip.AddrPort, d time.Duration) (net.Conn, error) {
					if fails.Add(1) <= 2 {
						return nil, &net.OpError{Op: "dial", Err: errno}
					}
					return new(net.Dialer).DialContext(ctx, "tcp", remote.String())
				}
			})
			srv := newServer(r.board, "mx", script{caps: chunking})
			q := newQueue(r.board, 10)
			r.lane(q, srv)
			q.allSettled(10)
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.obs.failed)+len(q.down) != 0 {
				t.Errorf("the host was blamed: %v %v", r.obs.failed, q.down)
			}
			if n := r.pool.Stats().Exhausted; n != 2 {
				t.Errorf("%d exhausted dials counted, want 2", n)
			}
		})
	}
}

func TestWithoutIPv6TheNextAddressIsTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.Dial = func(ctx context.Context, _ netip.Addr, remote netip.AddrPort, d time.Duration) (net.Conn, error) {
			if remote.Addr().Is6() {
				return nil, &net.OpError{Op: "dial", Err: syscall.EADDRNOTAVAIL}
			}
			return new(net.Dialer).DialContext(ctx, "tcp", remote.String())
		}
	})
	srv := newServer(r.board, "mx", script{caps: chunking})
	h := srv.host(10)
	v6 := netip.MustParseAddrPort("[2001:db8::1]:25")
	h.Addrs = append([]netip.AddrPort{v6}, h.Addrs...)
	q := newQueue(r.board, 10)
	l := r.site.Lane([]Host{h}, q, LaneOptions{})
	q.allSettled(10)
	l.Retarget([]Host{{Name: "mx6", Addrs: []netip.AddrPort{v6}}})
	q.add(1)
	l.Wake()
	r.await("a host with IPv6 only is told unreachable", func() bool { return len(q.down) == 1 })
	if n := r.pool.Stats().Exhausted; n != 0 {
		t.Errorf("%d dials were put back", n)
	}
}

func TestAStallingDialNeitherHoldsUpOthersNorDrain(t *testing.T) {
	t.Parallel()
	dead := netip.MustParseAddrPort("127.0.0.9:9")
	r := newRig(t, func(o *Options) {
		o.DialConcurrency = 2
		o.Dial = func(ctx context.Context, _ netip.Addr, remote netip.AddrPort, d time.Duration) (net.Conn, error) {
			if remote == dead {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return new(net.Dialer).DialContext(ctx, "tcp", remote.String())
		}
	})
	stuck := newQueue(r.board, 10)
	for _, name := range []string{"d1", "d2", "d3"} {
		site := r.pool.Site(name, func(Source) Gate { return newGate(r.board) }, SiteOptions{})
		site.Lane([]Host{{Name: name, Addrs: []netip.AddrPort{dead}}}, stuck, LaneOptions{})
	}
	srv := newServer(r.board, "mx", script{caps: chunking})
	q := newQueue(r.board, 10)
	r.lane(q, srv)
	q.allSettled(10) // behind three dead ones, with two slots
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(stuck.pulled) != 0 {
		t.Error("a message was pulled without a connection")
	}
}

func TestAConnectThatTimesOutIsTheHostsFault(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.Dial = func(ctx context.Context, _ netip.Addr, remote netip.AddrPort, d time.Duration) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ETIMEDOUT}
		}
	})
	q := newQueue(r.board, 10)
	r.site.Lane([]Host{{Name: "mx", Addrs: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}}}, q, LaneOptions{})
	r.await("it is told", func() bool { return len(q.down) == 1 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := q.down[0]; f.Step != smtp.Connect || !errors.Is(&f, syscall.ETIMEDOUT) {
		t.Errorf("failure is %+v", f)
	}
}

func TestASilentGreetingTimesOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.Timeouts = smtp.DefaultTimeouts()
		o.Timeouts.Greeting = 20 * time.Millisecond
	})
	srv := newServer(r.board, "mx", script{reply: func(*peer, string, string) string { return "hang" }})
	q := newQueue(r.board, 10)
	r.lane(q, srv)
	r.await("it is told", func() bool { return len(q.down) == 1 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := q.down[0]; f.Step != smtp.Connect || !errors.Is(&f, smtp.ErrTimeout) {
		t.Errorf("failure is %+v", f)
	}
}
