package pool

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
)

func TestLanesShareTheSitesPlacesInTurn(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gate.max = 2
	srv := newServer(r.board, "mx", script{caps: pipelining})
	var queues []*fakeQueue
	for range 10 {
		q := newQueue(r.board, 30)
		queues = append(queues, q)
		r.lane(q, srv)
	}
	// Idle connections make room for the lanes that wait: the idle time-out is
	// a minute here.
	for _, q := range queues {
		q.allSettled(30)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gate.most > 2 || srv.messages != 300 {
		t.Errorf("most places %d, messages %d", r.gate.most, srv.messages)
	}
}

func TestALargeLaneMakesRoomForASmallOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gate.max = 2
	srv := newServer(r.board, "mx", script{caps: pipelining})
	large := newQueue(r.board, 20_000)
	r.lane(large, srv)
	r.await("the large lane has both places", func() bool { return r.gate.open == 2 && r.obs.open == 2 })
	small := newQueue(r.board, 10)
	r.lane(small, srv)
	small.allSettled(10)
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(large.ready); n == 0 {
		t.Error("the small lane had to wait for all of the large one")
	}
}

func TestMaxConnectionsMakesIdleOnesGo(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.MaxConnections = 3 })
	srv := newServer(r.board, "mx", script{caps: pipelining})
	var queues []*fakeQueue
	for i := range 30 {
		gate := newGate(r.board)
		site := r.pool.Site(fmt.Sprint(i), func(Source) Gate { return gate }, SiteOptions{})
		q := newQueue(r.board, 5)
		queues = append(queues, q)
		site.Lane([]Host{srv.host(10)}, q, LaneOptions{})
	}
	for _, q := range queues {
		q.allSettled(5)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// The server learns of a close a little later than the pool.
	if srv.accepted != 30 || len(r.obs.opened) != 30 {
		t.Errorf("%d connections for 30 sites", srv.accepted)
	}
}

func TestGrantsAreHonoured(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gate.grants, r.gate.wait = 0, time.Millisecond
	srv := newServer(r.board, "mx", script{caps: chunking})
	q := newQueue(r.board, 500) // as many as justify 20 connections
	r.lane(q, srv)
	r.await("a connection is open", func() bool { return r.obs.open > 0 })
	for n := 0; n < 500; n += 20 {
		r.await("what was granted is sent", func() bool { return len(q.fates) == n && srv.messages == n })
		r.change(func() { r.gate.grants += 20 })
	}
	q.allSettled(500)
	r.mu.Lock()
	defer r.mu.Unlock()
	// A second may have been under way before the first had to wait.
	if srv.accepted > 3 {
		t.Errorf("%d connections were opened to wait for grants together", srv.accepted)
	}
}

func TestAPausedGateIsAskedAgainOnWake(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gate.grants = 0 // and no wait: "when called upon"
	srv := newServer(r.board, "mx", script{caps: chunking})
	q := newQueue(r.board, 50)
	l := r.lane(q, srv)
	r.await("a connection is open", func() bool { return r.obs.open == 1 })
	r.change(func() { r.gate.grants = -1 })
	l.Wake()
	q.allSettled(50)
}

func TestAReplyThatDoesNotComeIsUncertain(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.Timeouts = smtp.DefaultTimeouts()
		o.Timeouts.End = 20 * time.Millisecond
	})
	srv := newServer(r.board, "mx", script{caps: pipelining, reply: func(_ *peer, verb, _ string) string {
		if verb == "END" {
			return "hang"
		}
		return ""
	}})
	q := newQueue(r.board, 1)
	r.lane(q, srv)
	q.allSettled(1)
	r.await("the connection is closed", func() bool { return len(r.obs.ends) == 1 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.count(smtp.Uncertain) != 1 {
		t.Errorf("fates: %v", q.fates)
	}
	var f *Failure
	if !errors.As(r.obs.ends[0], &f) || !errors.Is(f, smtp.ErrTimeout) {
		t.Errorf("connection ended with %v", r.obs.ends[0])
	}
}

func TestAStallInBDATIsRememberedAndTheRestGoesPipelined(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.RestFirst, o.RestMax = time.Millisecond, time.Millisecond
		o.Timeouts = smtp.DefaultTimeouts()
		o.Timeouts.End = 20 * time.Millisecond
	})
	srv := newServer(r.board, "mx", script{caps: chunking, reply: func(p *peer, verb, _ string) string {
		if verb == "END" && p.bdat {
			return "hang"
		}
		return ""
	}})
	q := newQueue(r.board, 20)
	q.goBack, q.again = true, true
	r.lane(q, srv)
	q.allSettled(20)
	traits := r.pool.opts.Memory.Recall("mx", time.Now())
	if traits.TopGear == smtp.GearAuto || traits.TopGear >= smtp.Chunking || traits.Reason == "" {
		t.Errorf("remembered %+v", traits)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := q.count(smtp.Delivered); n != 20 {
		t.Errorf("delivered %d", n)
	}
}

func TestAStalledWriteEndsTheConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.Timeouts = smtp.DefaultTimeouts()
		o.Timeouts.Block = 20 * time.Millisecond // the others are minutes
	})
	srv := newServer(r.board, "mx", script{caps: pipelining, reply: func(_ *peer, verb, _ string) string {
		if verb == "DATA" {
			return "stall"
		}
		return ""
	}})
	q := newQueue(r.board, 1)
	big := bytes.Repeat([]byte("0123456789\r\n"), 3<<20) // more than both sockets hold
	q.ready[0].Content, q.ready[0].Size = [][]byte{big}, len(big)
	r.lane(q, srv)
	q.allSettled(1)
}

func TestAServerThatClosesAfterEachMessage(t *testing.T) {
	t.Parallel()
	for _, caps := range [][]string{nil, pipelining} {
		r := newRig(t, nil)
		srv := newServer(r.board, "mx", script{caps: caps, reply: func(p *peer, verb, _ string) string {
			if verb == "MAIL" && p.messages == 1 {
				return "close"
			}
			return ""
		}})
		q := newQueue(r.board, 10)
		q.goBack, q.again = true, true
		r.lane(q, srv)
		q.allSettled(10)
		r.mu.Lock()
		if len(q.down) != 0 || q.count(smtp.Delivered) != 10 {
			t.Errorf("delivered %d, told %v", q.count(smtp.Delivered), q.down)
		}
		r.mu.Unlock()
	}
}

func TestTheSuccessorDoesNotWaitForTheAnswerToQuit(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gate.perConn = 5
	srv := newServer(r.board, "mx", script{caps: pipelining, hangOnQuit: true})
	q := newQueue(r.board, 15)
	r.lane(q, srv)
	q.allSettled(15) // the time-out of QUIT is 5 s, the test's 10
	r.mu.Lock()
	defer r.mu.Unlock()
	if srv.open != 3 {
		t.Errorf("%d connections are open, want three, two of them waiting", srv.open)
	}
}

func TestAHostThatHangsUpBeforeAnyAnswerRests(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	srv := newServer(r.board, "mx", script{caps: pipelining, reply: func(_ *peer, verb, _ string) string {
		if verb == "MAIL" {
			return "421 busy"
		}
		return ""
	}})
	q := newQueue(r.board, 5)
	q.goBack = true
	r.lane(q, srv)
	r.await("it is told", func() bool { return len(q.down) == 1 })
	r.mu.Lock()
	defer r.mu.Unlock()
	// The message that the 421 answered is refused; the others were not tried.
	if srv.accepted != 1 || len(q.ready) != 4 || q.count(smtp.Refused) != 1 {
		t.Errorf("%d connections, %d messages back, fates %v", srv.accepted, len(q.ready), q.fates)
	}
	if q.down[0].Reply.Code != 421 {
		t.Errorf("told %+v", q.down[0])
	}
	var f *Failure
	if !errors.As(r.obs.ends[0], &f) || f.Reply.Code != 421 {
		t.Errorf("connection ended with %v", r.obs.ends[0])
	}
}

func TestOneRefusalDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	for _, caps := range [][]string{nil, pipelining, chunking} {
		r := newRig(t, nil)
		srv := newServer(r.board, "mx", script{caps: caps, reply: func(_ *peer, verb, line string) string {
			if verb == "END" && line == "r3@b.example" {
				return "550 5.1.1 no such user"
			}
			return ""
		}})
		q := newQueue(r.board, 10)
		r.lane(q, srv)
		q.allSettled(10)
		r.mu.Lock()
		if q.count(smtp.Delivered) != 9 || q.count(smtp.Refused) != 1 || srv.accepted != 1 {
			t.Errorf("caps %v: delivered %d, refused %d, connections %d", caps, q.count(smtp.Delivered), q.count(smtp.Refused), srv.accepted)
		}
		r.mu.Unlock()
	}
}

func TestALaneThatClosesHandsNothingMoreOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	srv := newServer(r.board, "mx", script{caps: chunking})
	q := newQueue(r.board, 10)
	l := r.lane(q, srv)
	q.allSettled(10)
	l.Close()
	r.await("its connections are gone", func() bool { return r.obs.open == 0 })
	q.add(5)
	l.Wake()
	r.site.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(q.fates) != 10 || len(q.ready) != 5 {
		t.Errorf("%d settled, %d left", len(q.fates), len(q.ready))
	}
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	if len(r.pool.sites) != 0 || len(r.site.hosts) != 0 {
		t.Errorf("%d sites and %d hosts are still known", len(r.pool.sites), len(r.site.hosts))
	}
}

func TestSnapshotShowsWhatIsOpen(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gate.max = 1
	hold := make(chan struct{})
	ends := 0
	srv := newServer(r.board, "mx", script{caps: pipelining, reply: func(_ *peer, verb, _ string) string {
		if verb == "END" {
			r.change(func() { ends++ })
			<-hold
		}
		return ""
	}})
	q := newQueue(r.board, 100)
	l := r.lane(q, srv)
	r.await("a message is in flight", func() bool { return ends == 1 })
	for _, snap := range []Snapshot{r.site.Snapshot(), l.Snapshot()} {
		if snap.Connections != 1 || snap.InFlight == 0 || snap.Lanes != 1 || snap.Waiting != 1 || len(snap.Hosts) != 1 {
			t.Errorf("snapshot %+v", snap)
		}
		if h := snap.Hosts[0]; h.Name != "mx" || h.Connections != 1 || h.Connecting != 0 || h.Gear != smtp.Pipelining || h.Resting {
			t.Errorf("host %+v", h)
		}
	}
	close(hold)
	q.allSettled(100)
}
