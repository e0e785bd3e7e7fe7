package control_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// authority signs certificates for tests.
type authority struct {
	*testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{T: t, dir: t.TempDir()}
	a.cert, a.key = a.make(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true}, nil, nil, "ca")
	return a
}

// sign writes NAME.pem and NAME.key.
func (a *authority) sign(name string, c *x509.Certificate) (cert, key string) {
	a.Helper()
	a.make(c, a.cert, a.key, name)
	return a.path(name + ".pem"), a.path(name + ".key")
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) make(c, parent *x509.Certificate, by *ecdsa.PrivateKey, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore = time.Now().Add(-time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		a.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(a.path(name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.Fatal(err)
		}
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatal(err)
	}
	return made, key
}

// guarded is a server behind TLS at a loopback address.
type guardedPlace struct {
	*station
	at   string
	door *control.Door
}

func newGuardedPlace(t *testing.T, c config.Serve) *guardedPlace {
	t.Helper()
	s := newStation(t)
	lock, err := control.ReadLock(c)
	if err != nil {
		t.Fatal(err)
	}
	g := &guardedPlace{station: s, door: control.NewDoor(lock)}
	c.Listen = "127.0.0.1:0"
	l, err := control.ListenTCP(c)
	if err != nil {
		t.Fatal(err)
	}
	server := control.Start(control.Options{Engine: s.engine, Door: g.door})
	server.AnswerTLS(l)
	t.Cleanup(func() { server.Close(t.Context()) })
	g.at = l.Addr().String()
	return g
}

// who asks who the caller is.
func (g *guardedPlace) who(target control.Target) (string, error) {
	g.Helper()
	target.Address = g.at
	c, err := control.DialTarget(target)
	if err != nil {
		return "", err
	}
	defer c.Close()
	me, err := c.WhoAmI(g.Context(), &pb.WhoAmIRequest{})
	if err != nil {
		return connect.CodeOf(err).String(), err
	}
	return me.Name + " " + me.Role + " " + me.Via, nil
}

func TestClientCertificatesAreCallers(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	cert, key := ours.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	g := newGuardedPlace(t, config.Serve{
		TLS:     config.ServeTLS{Cert: cert, Key: key, ClientCA: ours.path("ca.pem")},
		Clients: map[string]string{"dashboard.acme.example": "read", "CN=ops,O=Acme": "admin"},
	})
	shown := func(a *authority, name string, c *x509.Certificate) control.Target {
		cert, key := a.sign(name, c)
		return control.Target{CA: ours.path("ca.pem"), Cert: cert, Key: key}
	}
	ops := pkix.Name{CommonName: "ops", Organization: []string{"Acme"}}
	dashboard := shown(ours, "dashboard", &x509.Certificate{DNSNames: []string{"dashboard.acme.example"}})
	for name, c := range map[string]struct {
		target control.Target
		want   string
	}{
		"by a DNS name":            {dashboard, "dashboard.acme.example read certificate"},
		"by its subject":           {shown(ours, "ops", &x509.Certificate{Subject: ops}), "CN=ops,O=Acme admin certificate"},
		"no certificate":           {control.Target{CA: ours.path("ca.pem")}, "unauthenticated"},
		"a name without a role":    {shown(ours, "other", &x509.Certificate{DNSNames: []string{"other.acme.example"}}), "unauthenticated"},
		"of another authority":     {shown(theirs, "forged", &x509.Certificate{Subject: ops}), "unauthenticated"}, // it is not even shown
		"one that is over":         {shown(ours, "old", &x509.Certificate{Subject: ops, NotAfter: time.Now().Add(-time.Minute)}), ""},
		"a server that is not our": {control.Target{CA: theirs.path("ca.pem")}, "unavailable"},
	} {
		if got, err := g.who(c.target); got != c.want && (c.want != "" || err == nil) { // "": any error
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
	// A wrong token is not passed over for a good certificate.
	both := dashboard
	both.Token = "penstock_x_y"
	if got, _ := g.who(both); got != "unauthenticated" {
		t.Errorf("with a wrong token: %s", got)
	}
	// TLS 1.1 and clear text are not spoken.
	if conn, err := tls.Dial("tcp", g.at, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
	if got, err := g.whoInClear(); err == nil {
		t.Errorf("in clear: %s", got)
	}

	// Reload: another certificate, and other roles, with the listener as it is.
	cert, key = ours.sign("next", &x509.Certificate{Subject: pkix.Name{CommonName: "next"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	lock, err := control.ReadLock(config.Serve{
		TLS: config.ServeTLS{Cert: cert, Key: key, ClientCA: ours.path("ca.pem")}, Clients: map[string]string{"dashboard.acme.example": "operate"},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.door.Change(lock)
	if got, err := g.who(dashboard); got != "dashboard.acme.example operate certificate" {
		t.Errorf("after the change: %s, %v", got, err)
	}
	conn, err := tls.Dial("tcp", g.at, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if s := conn.ConnectionState(); s.PeerCertificates[0].Subject.CommonName != "next" || s.Version != tls.VersionTLS13 {
		t.Errorf("it shows %v over %x", s.PeerCertificates[0].Subject, s.Version)
	}
}

func (g *guardedPlace) whoInClear() (string, error) {
	c, err := control.DialTarget(control.Target{Address: "http://" + g.at})
	if err != nil {
		return "", err
	}
	defer c.Close()
	me, err := c.WhoAmI(g.Context(), &pb.WhoAmIRequest{})
	return me.GetName(), err
}

func TestCertificatesThatCannotBeReadAreNamed(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "ours")
	cert, key := a.sign("server", &x509.Certificate{})
	_, other := a.sign("other", &x509.Certificate{})
	if err := os.WriteFile(a.path("empty.pem"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]config.Serve{
		"private key does not match": {TLS: config.ServeTLS{Cert: cert, Key: other}},
		"serve.tls.cert":             {TLS: config.ServeTLS{Cert: a.path("none.pem"), Key: key}},
		"holds no certificate":       {TLS: config.ServeTLS{Cert: cert, Key: key, ClientCA: a.path("empty.pem")}},
		"serve.tls.client_ca":        {TLS: config.ServeTLS{Cert: cert, Key: key, ClientCA: a.path("none.pem")}},
		"is none of":                 {Clients: map[string]string{"a": "root"}},
	} {
		if _, err := control.ReadLock(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, and not %q", err, want)
		}
	}
}

// TestTargets: what a person writes behind --server.
func TestTargets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ address, mistake string }{
		{"127.0.0.1:7411", ""}, {"localhost:7411", ""}, {"[::1]:7411", ""}, {"http://127.0.0.1:7411/", ""},
		{"mail.example.com:7411", ""}, {"https://mail.example.com", ""}, {"./d", ""}, {"unix:d", ""}, {"/run/penstock.sock", ""},
		{"", "is none"}, {"d", "has no port"}, {"mail.example.com", "has no port"}, {"192.0.2.1", "has no port"},
		{"http://mail.example.com:7411", "in clear"}, {"http://127.0.0.1.example.com:7411", "in clear"},
		{"ftp://127.0.0.1:7411", "is none"}, {"https://user:pw@mail.example.com", "is none"}, {"https://mail.example.com/path", "is none"},
		{"https://", "is none"},
	} {
		client, err := control.DialTarget(control.Target{Address: c.address})
		switch {
		case err == nil && c.mistake != "", err != nil && (c.mistake == "" || !strings.Contains(err.Error(), c.mistake)):
			t.Errorf("%q: %v, want %q", c.address, err, c.mistake)
		}
		if err == nil {
			client.Close()
		}
	}
	for _, wrong := range []control.Target{
		{Address: "./d", CA: "x"}, {Address: "http://127.0.0.1:1", CA: "x"}, {Address: "127.0.0.1:1", Cert: "x"}, {Address: "127.0.0.1:1", CA: "none"},
	} {
		if _, err := control.DialTarget(wrong); err == nil {
			t.Errorf("%+v is none", wrong)
		}
	}
}
