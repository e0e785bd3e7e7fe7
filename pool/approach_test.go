package pool

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
)

// mute is an address where a connect neither stands nor fails: a listener whose
// queue is full answers no SYN.
func mute(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
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

// unheard is an address where nobody listens.
func unheard(t *testing.T) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func TestTheNextAddressIsTakenOnlyWhenAConnectFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.ConnectTimeout = 20 * time.Millisecond })
	srv := newServer(r.board, "mx", script{caps: chunking})
	h := srv.host(10)
	h.Addrs = append([]netip.AddrPort{unheard(t), mute(t)}, h.Addrs...)
	q := newQueue(r.board, 10)
	r.site.Lane([]Host{h}, q, LaneOptions{})
	q.allSettled(10)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(q.down)+len(r.obs.failed) != 0 {
		t.Errorf("a host that answers at its last address was blamed: %v %v", q.down, r.obs.failed)
	}
}

func TestAConnectThatIsNotAnsweredTimesOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.ConnectTimeout = 20 * time.Millisecond })
	to := mute(t)
	q := newQueue(r.board, 10)
	r.site.Lane([]Host{{Name: "mx", Addrs: []netip.AddrPort{to}}}, q, LaneOptions{})
	r.await("it is told", func() bool { return len(q.down) == 1 })
	r.mu.Lock()
	defer r.mu.Unlock()
	var ne net.Error
	if f := q.down[0]; f.Step != smtp.Connect || f.Addr != to || !errors.As(&f, &ne) || !ne.Timeout() {
		t.Errorf("failure is %+v", f)
	}
}

func TestConnectsUnderWayNeitherHoldUpOthersNorDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.ConnectTimeout = time.Hour
		o.DialConcurrency = 2
	})
	to := mute(t)
	stuck := newQueue(r.board, 10)
	for _, name := range []string{"d1", "d2", "d3"} {
		site := r.pool.Site(name, func(Source) Gate { return newGate(r.board) }, SiteOptions{})
		site.Lane([]Host{{Name: name, Addrs: []netip.AddrPort{to}}}, stuck, LaneOptions{})
	}
	srv := newServer(r.board, "mx", script{caps: chunking})
	q := newQueue(r.board, 10)
	r.lane(q, srv)
	q.allSettled(10) // behind three that wait, with two slots
	if n := r.pool.Stats().Dialling; n < 3 {
		t.Errorf("%d dials are under way, want the 3 that wait", n)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(stuck.down)+len(r.obs.failed) != 0 {
		t.Error("a connect that is waited for was given up")
	}
}
