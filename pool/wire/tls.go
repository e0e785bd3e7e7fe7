package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// TLS makes client connections secure. It keeps sessions for resumption, which
// saves about a third of a handshake. Any goroutine.
type TLS struct {
	loose, strict *tls.Config
}

// DefaultSessions is how many hosts' sessions are kept.
const DefaultSessions = 10_000

// NewTLS returns a TLS that keeps the sessions of so many hosts, least recently
// used first out; 0 takes DefaultSessions. roots is what strict verification
// trusts; nil: the system's.
func NewTLS(sessions int, roots *x509.CertPool) *TLS {
	if sessions <= 0 {
		sessions = DefaultSessions
	}
	cache := tls.NewLRUClientSessionCache(sessions)
	return &TLS{
		// RFC 7435: without a policy that says otherwise, encryption without
		// authentication is better than none, and so is an old version.
		loose: &tls.Config{
			InsecureSkipVerify:          true,
			MinVersion:                  tls.VersionTLS10,
			ClientSessionCache:          cache,
			DynamicRecordSizingDisabled: true,
		},
		strict: &tls.Config{
			RootCAs:                     roots,
			MinVersion:                  tls.VersionTLS12,
			ClientSessionCache:          cache,
			DynamicRecordSizingDisabled: true,
		},
	}
}

// Client does the handshake over a dialled connection, until ctx ends. host is
// the name that is sent and, if verify is set, that the certificate must be
// valid for. On error c is not closed. The caller must have made sure that
// nothing the peer sent before the handshake is left unread (RFC 3207 4.2): what
// lies in the socket would be taken for the handshake and fail it.
func (t *TLS) Client(ctx context.Context, c net.Conn, host string, verify bool) (*SecureConn, error) {
	base := t.loose
	if verify {
		base = t.strict
	}
	cfg := base.Clone()
	cfg.ServerName = strings.TrimSuffix(host, ".")
	s := &SecureConn{raw: c}
	s.Conn = tls.Client((*feed)(s), cfg)
	if err := s.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("tls handshake with %s: %w", host, err)
	}
	return s, nil
}

// SecureConn is a TLS connection. Until it is enrolled it is used like any
// net.Conn; from then on the event loop drives it.
type SecureConn struct {
	*tls.Conn
	raw net.Conn

	// attached: the loop feeds it; raw is closed. From then on loop only.
	attached bool
	in       []byte
	out      []byte
}

// Version is the protocol's name, such as "TLS1.3". Any goroutine.
func (s *SecureConn) Version() string {
	return strings.Replace(tls.VersionName(s.ConnectionState().Version), "TLS ", "TLS", 1)
}

// Resumed says whether the handshake took up an earlier session. Any goroutine.
func (s *SecureConn) Resumed() bool { return s.ConnectionState().DidResume }

func (s *SecureConn) attach() {
	s.attached = true
	s.raw = nil
}

// feed is the connection that crypto/tls sees under it: the socket at first,
// then what the loop hands in and takes out.
type feed SecureConn

func (f *feed) Read(p []byte) (int, error) {
	if !f.attached {
		return f.raw.Read(p)
	}
	if len(f.in) == 0 {
		return 0, errDry
	}
	n := copy(p, f.in)
	f.in = f.in[n:]
	return n, nil
}

func (f *feed) Write(p []byte) (int, error) {
	if !f.attached {
		return f.raw.Write(p)
	}
	f.out = append(f.out, p...)
	return len(p), nil
}

func (f *feed) Close() error {
	if !f.attached {
		return f.raw.Close()
	}
	return nil
}

func (f *feed) LocalAddr() net.Addr {
	if f.attached {
		return nil
	}
	return f.raw.LocalAddr()
}

func (f *feed) RemoteAddr() net.Addr {
	if f.attached {
		return nil
	}
	return f.raw.RemoteAddr()
}

func (f *feed) SetDeadline(t time.Time) error {
	if f.attached {
		return nil
	}
	return f.raw.SetDeadline(t)
}

func (f *feed) SetReadDeadline(t time.Time) error {
	if f.attached {
		return nil
	}
	return f.raw.SetReadDeadline(t)
}

func (f *feed) SetWriteDeadline(t time.Time) error {
	if f.attached {
		return nil
	}
	return f.raw.SetWriteDeadline(t)
}

// errDry makes crypto/tls keep a partial record and come back for the rest: it
// remembers every error but a temporary net.Error.
var errDry net.Error = dry{}

type dry struct{}

func (dry) Error() string   { return "no more input now" }
func (dry) Timeout() bool   { return true }
func (dry) Temporary() bool { return true }

// decrypt feeds b and hands over what it holds. Replies to the peer's own
// requests (key updates) go out on the way. Loop only.
func (c *Conn) decrypt(b []byte) {
	s, l := c.tls, c.loop
	s.in = b
	s.out = l.cipher[:0]
	for {
		n, err := s.Read(l.plain)
		if n > 0 {
			// The handler may write, which uses the same scratch memory.
			l.cipher, s.out = s.out, nil
			c.send(l.cipher)
			c.handler.OnBytes(c, l.plain[:n])
			s.out = l.cipher[:0]
		}
		if err == nil {
			continue
		}
		l.cipher, s.out = s.out, nil
		c.send(l.cipher) // an alert, or an answer
		l.cipher = shrink(l.cipher)
		if errors.Is(err, errDry) {
			return
		}
		s.in = nil
		if !c.gone && !c.closing {
			if !errors.Is(err, io.EOF) {
				err = fmt.Errorf("tls: %w", err)
			}
			c.abort(err)
		}
		return
	}
}

// maxRecord is the most plaintext in one TLS record (RFC 8446 5.1).
const maxRecord = 16 << 10

// encrypt sends the pieces in as few records as they need. Loop only.
func (c *Conn) encrypt(pieces [][]byte) {
	s, l := c.tls, c.loop
	s.out = l.cipher[:0]
	joined := l.joined[:0]
	var err error
	for _, p := range pieces {
		for len(p) > 0 && err == nil {
			if len(joined) == 0 && len(p) >= maxRecord {
				whole := len(p) - len(p)%maxRecord
				_, err = s.Conn.Write(p[:whole])
				p = p[whole:]
				continue
			}
			n := min(len(p), maxRecord-len(joined))
			joined = append(joined, p[:n]...)
			p = p[n:]
			if len(joined) == maxRecord {
				_, err = s.Conn.Write(joined)
				joined = joined[:0]
			}
		}
	}
	if len(joined) > 0 && err == nil {
		_, err = s.Conn.Write(joined)
	}
	l.joined = shrink(joined)
	l.cipher, s.out = s.out, nil
	c.send(l.cipher)
	l.cipher = shrink(l.cipher)
	if err != nil && !c.gone {
		c.abort(fmt.Errorf("tls: %w", err))
	}
}

// closeNotify says goodbye in TLS (RFC 8446 6.1). Loop only.
func (c *Conn) closeNotify() {
	s, l := c.tls, c.loop
	s.out = l.cipher[:0]
	_ = s.Conn.Close()
	l.cipher, s.out = s.out, nil
	c.send(l.cipher)
}

// abort ends the connection for a reason of TLS's. Loop only.
func (c *Conn) abort(err error) {
	c.failed = err
	c.closing = true
}
