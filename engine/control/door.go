package control

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/penstock-mail/penstock/engine/access"
	"github.com/penstock-mail/penstock/engine/config"
)

// mostConnections is how many a TCP listener has open at once; more wait.
const mostConnections = 1000

// Door is what TCP listeners show and ask of those who call: the server's
// certificate, whose client certificates are good, and which names have which
// role. It can be changed while they listen: handshakes from then on, and calls
// from then on, see the new one. Any goroutine may use it.
type Door struct{ now atomic.Pointer[Lock] }

// Lock is a Door's state, read whole and not changed any more.
type Lock struct {
	config *tls.Config // nil: no TLS
	until  time.Time   // when the server's certificate ends
	roles  access.Certificates
}

// ReadLock reads the certificates that the configuration names. Its errors name
// the setting.
func ReadLock(c config.Serve) (*Lock, error) {
	l := &Lock{roles: make(access.Certificates, len(c.Clients))}
	for name, word := range c.Clients {
		role, err := access.ParseRole(word)
		if err != nil {
			return nil, fmt.Errorf("serve.clients: %s: %w", name, err)
		}
		l.roles[name] = role
	}
	if c.TLS.Cert == "" {
		return l, nil
	}
	pair, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
	if err != nil {
		return nil, fmt.Errorf("serve.tls.cert %s with serve.tls.key %s: %w", c.TLS.Cert, c.TLS.Key, err)
	}
	l.config = &tls.Config{
		MinVersion:   tls.VersionTLS12, // RFC 9325 3.1.1; 1.3 where both have it
		NextProtos:   []string{"h2", "http/1.1"},
		Certificates: []tls.Certificate{pair},
	}
	l.until = pair.Leaf.NotAfter
	if c.TLS.ClientCA == "" {
		return l, nil
	}
	text, err := os.ReadFile(c.TLS.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("serve.tls.client_ca: %w", err)
	}
	l.config.ClientCAs = x509.NewCertPool()
	if !l.config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("serve.tls.client_ca %s: holds no certificate in PEM form", c.TLS.ClientCA)
	}
	// One without a certificate may still have a token.
	l.config.ClientAuth = tls.VerifyClientCertIfGiven
	return l, nil
}

// Until is when the server's certificate ends; the zero time: there is none.
func (l *Lock) Until() time.Time { return l.until }

// NewDoor is a door with a lock.
func NewDoor(l *Lock) *Door {
	d := &Door{}
	d.Change(l)
	return d
}

// Change gives a door another lock.
func (d *Door) Change(l *Lock) { d.now.Store(l) }

// tls is the configuration of a listener; nil without a certificate.
func (d *Door) tls() *tls.Config {
	if d.now.Load().config == nil {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if now := d.now.Load().config; now != nil {
				return now, nil
			}
			return nil, errors.New("the listener has no certificate any more")
		},
	}
}

// certificates is the roles of client certificates; a nil Door has none.
func (d *Door) certificates() access.Certificates {
	if d == nil {
		return nil
	}
	return d.now.Load().roles
}

// ListenTCP opens the address that the configuration has, with a bound on how
// many connections are open.
func ListenTCP(c config.Serve) (net.Listener, error) {
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("serve.listen: %w", err)
	}
	return netutil.LimitListener(l, mostConnections), nil
}
