package pool

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
)

// board is what a test's fakes write to and its assertions wait on: one lock,
// and every change wakes the waiting test.
type board struct {
	t    testing.TB
	mu   sync.Mutex
	cond *sync.Cond
}

func newBoard(t testing.TB) *board {
	b := &board{t: t}
	b.cond = sync.NewCond(&b.mu)
	return b
}

// change runs f under the lock and wakes who waits.
func (b *board) change(f func()) {
	b.mu.Lock()
	f()
	b.mu.Unlock()
	b.cond.Broadcast()
}

// await waits until ok, which runs under the lock.
func (b *board) await(what string, ok func() bool) {
	b.t.Helper()
	late := false
	timer := time.AfterFunc(10*time.Second, func() { b.change(func() { late = true }) })
	defer timer.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for !ok() {
		if late {
			b.t.Fatalf("timed out waiting until %s", what)
		}
		b.cond.Wait()
	}
}

// fakeQueue is a Queue over a list.
type fakeQueue struct {
	*board
	ready  []*smtp.Message
	pulled map[*smtp.Message]int // pulled and not settled
	fates  map[*smtp.Message][]smtp.Outcome
	via    map[*Connection]int // settled definitively, by connection
	took   []time.Duration
	down   []Failure
	until  []time.Time
	twice  int  // settled though not out
	goBack bool // NotAttempted go back to the end of ready
	again  bool // so do Uncertain
	wake   func()
	idle   int  // pulls that found nothing
	last   bool // nothing comes behind what there is
}

func newQueue(b *board, n int) *fakeQueue {
	q := &fakeQueue{board: b, pulled: map[*smtp.Message]int{}, fates: map[*smtp.Message][]smtp.Outcome{}, via: map[*Connection]int{}}
	q.add(n)
	return q
}

func (q *fakeQueue) add(n int) {
	q.change(func() {
		for range n {
			body := []byte("Subject: x\r\n\r\nhello\r\n")
			q.ready = append(q.ready, &smtp.Message{
				From: "a@a.example", To: fmt.Sprintf("r%d@b.example", len(q.ready)+len(q.fates)),
				Content: [][]byte{body}, Size: len(body),
			})
		}
	})
}

func (q *fakeQueue) Pull(dst []*smtp.Message, _ *Connection, n int) []*smtp.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.cond.Broadcast()
	n = min(n, len(q.ready))
	if n == 0 {
		q.idle++
	}
	for _, m := range q.ready[:n] {
		q.pulled[m]++
	}
	dst = append(dst, q.ready[:n]...)
	q.ready = q.ready[n:]
	return dst
}

func (q *fakeQueue) Settle(via *Connection, m *smtp.Message, out *smtp.Outcome, took time.Duration) {
	back := false
	q.change(func() {
		if q.pulled[m] == 0 {
			q.twice++
		} else if q.pulled[m]--; q.pulled[m] == 0 {
			delete(q.pulled, m)
		}
		q.took = append(q.took, took)
		if out.Fate == smtp.NotAttempted && q.goBack || out.Fate == smtp.Uncertain && q.again {
			q.ready = append(q.ready, m)
			back = true
			return
		}
		q.via[via]++
		q.fates[m] = append(q.fates[m], *out)
	})
	if back && q.wake != nil {
		q.wake()
	}
}

func (q *fakeQueue) Backlog() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last && len(q.ready) == 0 {
		return -1
	}
	return len(q.ready)
}

func (q *fakeQueue) Unreachable(f Failure, retry time.Time) {
	q.change(func() {
		q.down = append(q.down, f)
		q.until = append(q.until, retry)
	})
}

// count is how many messages ended with this fate. REQUIRES: the lock.
func (q *fakeQueue) count(f smtp.Fate) int {
	n := 0
	for _, outs := range q.fates {
		for i := range outs {
			if outs[i].Fate == f {
				n++
			}
		}
	}
	return n
}

// allSettled waits until n messages have their fate and none is out.
func (q *fakeQueue) allSettled(n int) {
	q.t.Helper()
	q.await(fmt.Sprintf("%d messages are settled", n), func() bool { return len(q.fates) == n && len(q.pulled) == 0 })
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.twice > 0 {
		q.t.Errorf("%d messages were settled twice", q.twice)
	}
}

// fakeGate counts, and refuses beyond its caps.
type fakeGate struct {
	*board
	max        int // connections; 0: no limit, below: none at all
	perConn    int
	open, most int
	connects   int
	granted    int
	refunded   int
	// grants is what is left to grant; negative: no limit.
	grants int
	wait   time.Duration
}

func newGate(b *board) *fakeGate { return &fakeGate{board: b, grants: -1} }

func (g *fakeGate) Connect(time.Time) (bool, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.max != 0 && g.open >= g.max {
		return false, 0
	}
	g.open++
	g.connects++
	g.most = max(g.most, g.open)
	return true, 0
}

func (g *fakeGate) Disconnect(time.Time) { g.change(func() { g.open-- }) }

func (g *fakeGate) Grant(_ time.Time, n int) (int, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.grants < 0 {
		g.granted += n
		return n, 0
	}
	k := min(n, g.grants)
	g.grants -= k
	g.granted += k
	if k < n {
		return k, g.wait
	}
	return k, 0
}

func (g *fakeGate) Refund(_ time.Time, n int) {
	g.change(func() {
		g.refunded += n
		if g.grants >= 0 {
			g.grants += n
		}
	})
}

func (g *fakeGate) MessagesPerConnection() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.perConn
}

// fakeObserver keeps what it is told.
type fakeObserver struct {
	*board
	failed []Failure
	opened []*Connection
	open   int
	ends   []error
	waits  [NumSteps]int
}

func (o *fakeObserver) ConnectFailed(_ *Site, f Failure) {
	o.change(func() { o.failed = append(o.failed, f) })
}

func (o *fakeObserver) Opened(_ *Site, c *Connection) {
	c.Peer = "peer"
	o.change(func() { o.opened = append(o.opened, c); o.open++ })
}

func (o *fakeObserver) Closed(_ *Site, c *Connection, why error) {
	if c.Peer != "peer" {
		o.t.Error("Closed got a connection that Opened did not see")
	}
	o.change(func() { o.ends = append(o.ends, why); o.open-- })
}

func (o *fakeObserver) Waited(at Step, took time.Duration) {
	if took < 0 {
		o.t.Errorf("waited %v at %v", took, at)
	}
	o.change(func() { o.waits[at]++ })
}

// rig is a pool with fakes around it.
type rig struct {
	*board
	pool *Pool
	obs  *fakeObserver
	gate *fakeGate
	site *Site
}

func newRig(t testing.TB, set func(*Options)) *rig {
	t.Helper()
	b := newBoard(t)
	r := &rig{board: b, obs: &fakeObserver{board: b}, gate: newGate(b)}
	o := Options{
		Sources:     []Source{{Name: "s1", Hello: "client.example"}},
		Loops:       2,
		IdleTimeout: time.Minute,
		RestFirst:   time.Hour, RestMax: time.Hour,
		TLS:      smtp.TLSNone,
		Observer: r.obs,
	}
	if set != nil {
		set(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.pool = p
	r.site = p.Site("site", func(Source) Gate { return r.gate }, SiteOptions{})
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.gate.open != 0 {
			t.Errorf("%d places were not given back to the gate", r.gate.open)
		}
		if r.obs.open != 0 {
			t.Errorf("%d connections were not told closed", r.obs.open)
		}
		if n := p.Stats().Connections; n != 0 {
			t.Errorf("pool counts %d connections after Close", n)
		}
	})
	return r
}

// lane starts n messages towards the servers, with equal preference.
func (r *rig) lane(q *fakeQueue, servers ...*server) *Lane {
	hosts := make([]Host, len(servers))
	for i, s := range servers {
		hosts[i] = s.host(10)
	}
	l := r.site.Lane(hosts, q, LaneOptions{})
	q.change(func() { q.wake = l.Wake })
	return l
}

// refusing is an address where nobody listens.
func refusing(t testing.TB) netip.AddrPort {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}
