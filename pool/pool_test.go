package pool

import (
	"context"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
)

var pipelining = []string{"PIPELINING", "8BITMIME"}
var chunking = []string{"PIPELINING", "8BITMIME", "CHUNKING", "SIZE 10000000"}

func TestEveryGearDelivers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		caps []string
		gear smtp.Gear
	}{
		{"lock-step", []string{"8BITMIME"}, smtp.LockStep},
		{"pipelining", pipelining, smtp.Pipelining},
		{"chunking", chunking, smtp.Chunking},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			srv := newServer(r.board, "mx", script{caps: c.caps})
			q := newQueue(r.board, 300)
			r.lane(q, srv)
			q.allSettled(300)
			r.await("unused grants are given back", func() bool { return r.gate.granted-r.gate.refunded == 300 })
			r.mu.Lock()
			defer r.mu.Unlock()
			if n := q.count(smtp.Delivered); n != 300 || srv.messages != 300 {
				t.Errorf("delivered %d, server took %d, want 300", n, srv.messages)
			}
			conn := r.obs.opened[0]
			if conn.Gear() != c.gear || conn.Host() != "mx" || conn.Source() != "s1" || conn.TLS() != "" || conn.Opened().IsZero() {
				t.Errorf("connection is gear %v to %q from %q tls %q", conn.Gear(), conn.Host(), conn.Source(), conn.TLS())
			}
		})
	}
}

func TestOneRecipientUsesOneConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	srv := newServer(r.board, "mx", script{caps: pipelining})
	q := newQueue(r.board, 2)
	r.lane(q, srv)
	q.allSettled(2)
	r.mu.Lock()
	defer r.mu.Unlock()
	if srv.accepted != 1 {
		t.Errorf("%d connections for two recipients, want 1", srv.accepted)
	}
}

func TestAThousandUseAllTheSiteAllows(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gate.max = 20
	hold := make(chan struct{})
	srv := newServer(r.board, "mx", script{caps: pipelining, reply: func(_ *peer, verb, _ string) string {
		if verb == "END" {
			<-hold
		}
		return ""
	}})
	q := newQueue(r.board, 1000)
	r.lane(q, srv)
	r.await("20 connections are open", func() bool { return srv.open == 20 && r.obs.open == 20 })
	close(hold)
	q.allSettled(1000)
	r.mu.Lock()
	defer r.mu.Unlock()
	if srv.most != 20 || r.gate.most != 20 {
		t.Errorf("most connections at once: %d, at the gate %d, want 20", srv.most, r.gate.most)
	}
}

func TestIdleConnectionsSayQuitAndClose(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.IdleTimeout = 10 * time.Millisecond })
	srv := newServer(r.board, "mx", script{caps: pipelining})
	q := newQueue(r.board, 100)
	l := r.lane(q, srv)
	q.allSettled(100)
	r.await("all have gone", func() bool { return srv.open == 0 && r.obs.open == 0 })
	r.mu.Lock()
	if srv.quits != srv.accepted {
		t.Errorf("%d of %d connections said QUIT", srv.quits, srv.accepted)
	}
	for _, why := range r.obs.ends {
		if why != nil {
			t.Errorf("an idle connection ended with %v", why)
		}
	}
	r.mu.Unlock()
	// And the lane comes to life again.
	q.add(5)
	l.Wake()
	q.allSettled(105)
}

func TestWakeFindsAHungryConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	srv := newServer(r.board, "mx", script{caps: chunking})
	q := newQueue(r.board, 1)
	l := r.lane(q, srv)
	q.allSettled(1)
	for i := range 200 {
		q.add(1)
		l.Wake()
		q.allSettled(i + 2)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if srv.accepted != 1 {
		t.Errorf("%d connections, want the one to be used again", srv.accepted)
	}
}

func TestMessagesPerConnection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		caps []string
		gate int
	}{
		{"gate's limit", pipelining, 7},
		{"gate's limit in a window", chunking, 7},
		{"server's MAILMAX", append([]string{"LIMITS MAILMAX=7"}, pipelining...), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.gate.max = 1
			r.gate.perConn = c.gate
			srv := newServer(r.board, "mx", script{caps: c.caps})
			q := newQueue(r.board, 70)
			r.lane(q, srv)
			q.allSettled(70)
			r.mu.Lock()
			defer r.mu.Unlock()
			if srv.accepted != 10 {
				t.Errorf("%d connections for 70 messages of 7 each, want 10", srv.accepted)
			}
			for conn, n := range q.via {
				if n > 7 {
					t.Errorf("a connection to %s carried %d", conn.Host(), n)
				}
			}
		})
	}
}

func TestDrainFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.gate.max = 2
	hold := make(chan struct{})
	ends := 0
	srv := newServer(r.board, "mx", script{caps: chunking, reply: func(_ *peer, verb, _ string) string {
		if verb == "END" {
			r.change(func() { ends++ })
			<-hold
		}
		return ""
	}})
	q := newQueue(r.board, 1000)
	r.lane(q, srv)
	r.await("messages are in flight", func() bool { return ends == 2 })
	done := make(chan error, 1)
	ctx := asked{context.Background(), make(chan struct{}, 1)}
	go func() { done <- r.pool.Drain(ctx) }()
	<-ctx.done // draining has begun, and everybody knows
	close(hold)
	if err := <-done; err != nil {
		t.Fatalf("drain: %v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(q.pulled) != 0 || q.count(smtp.Delivered) != len(q.fates) || len(q.fates) == 0 {
		t.Errorf("%d out, %d of %d delivered", len(q.pulled), q.count(smtp.Delivered), len(q.fates))
	}
	if len(q.fates)+len(q.ready) != 1000 {
		t.Errorf("%d settled and %d left of 1000", len(q.fates), len(q.ready))
	}
	if srv.quits != srv.accepted {
		t.Errorf("%d of %d connections said QUIT", srv.quits, srv.accepted)
	}
}

// asked tells when its Done is asked for.
type asked struct {
	context.Context
	done chan struct{}
}

func (a asked) Done() <-chan struct{} {
	select {
	case a.done <- struct{}{}:
	default:
	}
	return a.Context.Done()
}

func TestForcedDrainSettlesAll(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ends := 0
	srv := newServer(r.board, "mx", script{caps: chunking, reply: func(_ *peer, verb, _ string) string {
		if verb == "END" {
			r.change(func() { ends++ })
			return "hang"
		}
		return ""
	}})
	q := newQueue(r.board, 20)
	r.lane(q, srv)
	r.await("messages are in flight", func() bool { return ends > 0 && len(q.pulled) > 0 })
	if err := r.pool.Close(); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(q.pulled) != 0 || q.count(smtp.Uncertain) == 0 || q.twice > 0 {
		t.Errorf("%d still out, %d uncertain, %d twice", len(q.pulled), q.count(smtp.Uncertain), q.twice)
	}
}
