package wire

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// slow passes octets on one by one.
type slow struct{ net.Conn }

func (s slow) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := s.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func TestTLSBothWays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		slow    bool
		version uint16
		size    int
		want    string
	}{
		{"1.3", false, 0, 3 << 20, "TLS1.3"},
		{"1.2", false, tls.VersionTLS12, 3 << 20, "TLS1.2"},
		{"octet by octet", true, 0, 40_000, "TLS1.3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, raw, peer := pair(t)
			var under net.Conn = peer
			if c.slow {
				under = slow{peer}
			}
			server := tls.Server(under, &tls.Config{Certificates: []tls.Certificate{certificate(t, "mx")}, MaxVersion: c.version})
			data := make([]byte, c.size)
			_, _ = rand.Read(data)
			done := make(chan error, 1)
			go func() {
				// What comes right behind the handshake is in the client's hands
				// before the connection is enrolled.
				if _, err := server.Write([]byte("early")); err != nil {
					done <- err
					return
				}
				got := make([]byte, len(data))
				if _, err := io.ReadFull(server, got); err != nil {
					done <- err
					return
				}
				if !bytes.Equal(got, data) {
					done <- errors.New("server got something else")
					return
				}
				if _, err := server.Write(data); err != nil {
					done <- err
					return
				}
				n, err := server.Read(got) // close_notify
				if n != 0 || err != io.EOF {
					err = errors.Join(err, errors.New("no close_notify"))
				} else {
					err = nil
				}
				done <- err
			}()
			sc, err := NewTLS(0, nil).Client(context.Background(), raw, "mx", false)
			if err != nil {
				t.Fatal(err)
			}
			if sc.Version() != c.want || sc.Resumed() {
				t.Errorf("version %q, resumed %v", sc.Version(), sc.Resumed())
			}
			p := newProbe()
			p.open = func(c *Conn) {
				c.Write([][]byte{data[:1], data[1:100], data[100:30_000], data[30_000:]})
			}
			p.wake = func(c *Conn) { c.Close() }
			enrol(t, w, sc, p)
			p.await(t, "all has come back", func() bool { return len(p.got) == len(data)+5 })
			if string(p.got[:5]) != "early" || !bytes.Equal(p.got[5:], data) {
				t.Error("got something else back")
			}
			p.conn.Wake()
			if err := <-done; err != nil {
				t.Error(err)
			}
			p.await(t, "the end is told", func() bool { return p.closed == 1 })
			if p.err != nil {
				t.Errorf("ended with %v", p.err)
			}
		})
	}
}

func TestGarbageInTLSEndsTheConnection(t *testing.T) {
	t.Parallel()
	w, raw, peer := pair(t)
	server := tls.Server(peer, &tls.Config{Certificates: []tls.Certificate{certificate(t, "mx")}})
	go func() {
		if server.Handshake() == nil {
			_, _ = server.Write([]byte("fine"))
			_, _ = peer.Write([]byte("this is no record of TLS, whatever it may be taken for"))
		}
	}()
	sc, err := NewTLS(0, nil).Client(context.Background(), raw, "mx", false)
	if err != nil {
		t.Fatal(err)
	}
	p := newProbe()
	enrol(t, w, sc, p)
	p.await(t, "the end is told", func() bool { return p.closed == 1 })
	if string(p.got) != "fine" || p.err == nil {
		t.Errorf("got %q and %v", p.got, p.err)
	}
}

func TestCloseNotifyIsTheEnd(t *testing.T) {
	t.Parallel()
	w, raw, peer := pair(t)
	server := tls.Server(peer, &tls.Config{Certificates: []tls.Certificate{certificate(t, "mx")}})
	go func() {
		if server.Handshake() == nil {
			_, _ = server.Write([]byte("bye"))
			_ = server.CloseWrite()
		}
	}()
	sc, err := NewTLS(0, nil).Client(context.Background(), raw, "mx", false)
	if err != nil {
		t.Fatal(err)
	}
	p := newProbe()
	enrol(t, w, sc, p)
	p.await(t, "the end is told", func() bool { return p.closed == 1 })
	if string(p.got) != "bye" || !errors.Is(p.err, io.EOF) {
		t.Errorf("got %q and %v", p.got, p.err)
	}
}

func TestHandshakeHonoursItsContextAndPolicy(t *testing.T) {
	t.Parallel()
	raw, _ := dialled(t)
	defer raw.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := NewTLS(0, nil).Client(ctx, raw, "mx", false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent server gives %v", err)
	}
	cert := certificate(t, "mx")
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	secure := NewTLS(0, roots)
	for i, c := range []struct {
		host    string
		verify  bool
		ok      bool
		resumed bool
	}{
		{"mx", false, true, false},
		{"other", false, true, false},
		{"other", true, false, false}, // not even by a session that was not verified
		{"mx.", true, true, false},
	} {
		raw, peer := dialled(t)
		go func() {
			s := tls.Server(peer, &tls.Config{Certificates: []tls.Certificate{cert}})
			if s.Handshake() == nil {
				_, _ = s.Write([]byte("x"))
			}
		}()
		sc, err := secure.Client(context.Background(), raw, c.host, c.verify)
		if (err == nil) != c.ok {
			t.Errorf("%d: host %q verify %v: %v", i, c.host, c.verify, err)
		}
		if err == nil {
			_, _ = sc.Read(make([]byte, 1)) // takes the session ticket
			_ = sc.Close()
		}
		_ = raw.Close()
	}
}
