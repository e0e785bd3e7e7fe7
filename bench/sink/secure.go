package sink

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"time"
)

// secureLink is a connection after STARTTLS. It has a goroutine: crypto/tls
// wants to block, and a server of tests need not save those.
type secureLink struct {
	*session
	sink *Sink
	conn net.Conn // the socket
	tls  *tls.Conn

	mu    sync.Mutex // guards the session and writing
	timer *time.Timer
	armed bool
}

// handOver takes the socket from the loop, which closes its own descriptor of it.
func (l *link) handOver() error {
	fd, err := l.conn.Dup()
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "starttls")
	conn, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return err
	}
	t := &secureLink{session: l.session, sink: l.sink, conn: conn}
	l.sink.gate.RLock()
	defer l.sink.gate.RUnlock()
	if l.sink.closing {
		return conn.Close()
	}
	l.handed = true
	l.sink.securedMu.Lock()
	l.sink.secured[t] = struct{}{}
	l.sink.securedMu.Unlock()
	l.sink.waiting.Add(1)
	go t.run()
	return nil
}

func (t *secureLink) run() {
	defer t.sink.waiting.Done()
	t.serve()
	t.mu.Lock()
	if t.timer != nil {
		t.timer.Stop()
	}
	t.conn.Close()
	t.sink.gone(t.session)
	t.mu.Unlock()
	t.sink.securedMu.Lock()
	delete(t.sink.secured, t)
	t.sink.securedMu.Unlock()
}

func (t *secureLink) serve() {
	switch t.prof.tls {
	case "close":
		return
	case "fail":
		t.conn.Write(garbage)
		return
	case "stall":
		io.Copy(io.Discard, t.conn)
		return
	}
	t.tls = tls.Server(t.conn, t.sink.tls)
	if err := t.tls.Handshake(); err != nil {
		return
	}
	t.mu.Lock()
	t.beginSecured()
	t.mu.Unlock()
	buf := make([]byte, 64<<10)
	for {
		n, err := t.tls.Read(buf)
		if n > 0 {
			t.mu.Lock()
			t.feed(buf[:n], t.sink.now())
			done := t.flush()
			t.mu.Unlock()
			if done {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// flush is link.flush over TLS; it returns true when the connection is over.
// REQUIRES: mu is held.
func (t *secureLink) flush() bool {
	t.sink.settle(t.session)
	if p := t.out.take(t.sink.now()); len(p) > 0 {
		if _, err := t.tls.Write(p); err != nil {
			return true
		}
	}
	if due, ok := t.out.due(); ok {
		t.arm(due)
		return false
	}
	switch t.ending {
	case endClose:
		t.tls.CloseWrite()
		return true
	case endReset:
		if tcp, ok := t.conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		return true
	}
	return false
}

func (t *secureLink) arm(due time.Duration) {
	if t.armed {
		return
	}
	t.armed = true
	wait := due - t.sink.now()
	if t.timer == nil {
		t.timer = time.AfterFunc(wait, t.ring)
	} else {
		t.timer.Reset(wait)
	}
}

func (t *secureLink) ring() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.armed = false
	if t.flush() {
		t.conn.Close() // ends the reader, which cleans up
	}
}

// prepareTLS takes the certificate given, or makes one.
func (s *Sink) prepareTLS(c *tls.Certificate) error {
	if c == nil {
		made, err := makeCertificate(s.options.Listen, s.options.Script)
		if err != nil {
			return fmt.Errorf("sink: make a certificate: %w", err)
		}
		c = made
	}
	s.tls = &tls.Config{Certificates: []tls.Certificate{*c}}
	for _, der := range c.Certificate {
		s.certPEM = append(s.certPEM, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return nil
}

// makeCertificate signs itself for the servers' names and the addresses that
// are listened on.
func makeCertificate(listen []string, script *Script) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sink.test"}, DNSNames: []string{"sink.test", "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	for _, v := range script.Servers {
		if v.Name != "" {
			template.DNSNames = append(template.DNSNames, v.Name)
		}
	}
	for _, l := range listen {
		h, _, _ := net.SplitHostPort(l)
		if ip := net.ParseIP(h); ip != nil && !ip.IsUnspecified() && len(template.IPAddresses) < 100 {
			template.IPAddresses = append(template.IPAddresses, ip)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
