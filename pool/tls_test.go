package pool

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
)

func serverTLS(t testing.TB, name string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{certificate(t, name)}}
}

func opportunistic(o *Options) { o.TLS = smtp.TLSOpportunistic }

func TestTLSIsUsedWhereOffered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		caps []string
		drip bool
		max  uint16
		want string
	}{
		{"1.3 chunking", chunking, false, 0, "TLS1.3"},
		{"1.3 pipelining", pipelining, false, 0, "TLS1.3"},
		{"1.2", chunking, false, tls.VersionTLS12, "TLS1.2"},
		{"octet by octet", chunking, true, 0, "TLS1.3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, opportunistic)
			cfg := serverTLS(t, "mx")
			cfg.MaxVersion = c.max
			srv := newServer(r.board, "mx", script{caps: c.caps, tls: cfg, drip: c.drip})
			q := newQueue(r.board, 60)
			// A message that takes several records.
			big := append([]byte("Subject: big\r\n\r\n"), make([]byte, 100_000)...)
			for i := range big[16:] {
				big[16+i] = "0123456789abcdef0123456789abcde\r\n"[i%33]
			}
			q.ready[5].Content, q.ready[5].Size = [][]byte{big[:50_000], big[50_000:], []byte("\r\n")}, len(big)+2
			r.lane(q, srv)
			q.allSettled(60)
			r.mu.Lock()
			defer r.mu.Unlock()
			if q.count(smtp.Delivered) != 60 || srv.plain != 0 {
				t.Errorf("delivered %d, in plain %d", q.count(smtp.Delivered), srv.plain)
			}
			if v := r.obs.opened[0].TLS(); v != c.want {
				t.Errorf("TLS is %q, want %q", v, c.want)
			}
		})
	}
}

func TestPlainAnswersOctetByOctet(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	srv := newServer(r.board, "mx", script{caps: chunking, drip: true})
	q := newQueue(r.board, 60)
	r.lane(q, srv)
	q.allSettled(60)
}

func TestSessionsAreResumed(t *testing.T) {
	t.Parallel()
	r := newRig(t, opportunistic)
	r.gate.max, r.gate.perConn = 1, 2
	srv := newServer(r.board, "mx", script{caps: pipelining, tls: serverTLS(t, "mx")})
	q := newQueue(r.board, 10)
	r.lane(q, srv)
	q.allSettled(10)
	r.mu.Lock()
	defer r.mu.Unlock()
	if srv.secure != 5 || srv.resumed != 4 {
		t.Errorf("%d of %d sessions were resumed, want all but the first", srv.resumed, srv.secure)
	}
}

func TestABrokenHandshakeGoesPlainNext(t *testing.T) {
	t.Parallel()
	r := newRig(t, opportunistic)
	srv := newServer(r.board, "mx", script{caps: chunking, badTLS: true})
	q := newQueue(r.board, 40)
	r.lane(q, srv)
	q.allSettled(40)
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.count(smtp.Delivered) != 40 || len(q.down) != 0 {
		t.Errorf("delivered %d, told unreachable %v", q.count(smtp.Delivered), q.down)
	}
	if len(r.obs.failed) != 1 || r.obs.failed[0].Step != smtp.StartTLS {
		t.Errorf("failures: %v", r.obs.failed)
	}
	traits := r.pool.opts.Memory.Recall("mx", time.Now())
	if !traits.Plain || traits.Reason == "" || traits.Until.Before(time.Now()) {
		t.Errorf("remembered %+v", traits)
	}
}

func TestRequiredTLSNeverGoesPlain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		sc   script
		opts LaneOptions
		pool smtp.TLSMode
	}{
		{"broken, by the pool's policy", script{caps: chunking, badTLS: true}, LaneOptions{}, smtp.TLSRequire},
		{"broken, by the lane's", script{caps: chunking, badTLS: true}, LaneOptions{RequireTLS: true}, smtp.TLSOpportunistic},
		{"not offered", script{caps: chunking}, LaneOptions{RequireTLS: true}, smtp.TLSNone},
		{"certificate of an unknown authority", script{caps: chunking, tls: serverTLS(t, "mx")}, LaneOptions{Verify: true}, smtp.TLSOpportunistic},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *Options) { o.TLS = c.pool })
			srv := newServer(r.board, "mx", c.sc)
			q := newQueue(r.board, 40)
			r.site.Lane([]Host{srv.host(10)}, q, c.opts)
			r.await("it is told", func() bool { return len(q.down) == 1 })
			r.mu.Lock()
			defer r.mu.Unlock()
			if srv.messages != 0 || q.down[0].Step != smtp.StartTLS && q.down[0].Step != smtp.Ehlo {
				t.Errorf("server took %d, told %+v", srv.messages, q.down[0])
			}
		})
	}
}

func TestVerifiedTLS(t *testing.T) {
	t.Parallel()
	cfg := serverTLS(t, "mx.example")
	roots := x509.NewCertPool()
	roots.AddCert(cfg.Certificates[0].Leaf)
	for _, c := range []struct {
		host string
		ok   bool
	}{{"mx.example", true}, {"mx.example.", true}, {"other.example", false}} {
		r := newRig(t, func(o *Options) { o.Roots = roots })
		srv := newServer(r.board, c.host, script{caps: chunking, tls: cfg})
		q := newQueue(r.board, 3)
		r.site.Lane([]Host{srv.host(10)}, q, LaneOptions{Verify: true})
		if c.ok {
			q.allSettled(3)
		} else {
			r.await("it is told", func() bool { return len(q.down) == 1 })
		}
	}
}

func TestBytesInjectedBeforeTheHandshakeAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, opportunistic)
	srv := newServer(r.board, "mx", script{caps: chunking, inject: true})
	q := newQueue(r.board, 3)
	r.lane(q, srv)
	r.await("it is told", func() bool { return len(q.down) == 1 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := q.down[0]; !errors.Is(&f, smtp.ErrInjected) {
		t.Errorf("failure is %+v", f)
	}
	if r.pool.opts.Memory.Recall("mx", time.Now()).Plain {
		t.Error("an attack made the next connection go plain")
	}
}
