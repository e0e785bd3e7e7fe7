package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// Target is a server that a client is to speak to, as a person names it.
type Target struct {
	// Address is a data directory or Unix socket, as a path ("unix:" before it may
	// be), host:port, or a URL. A host:port is spoken to over TLS unless it is of
	// this machine.
	Address string
	// Token is sent with each call; empty: none.
	Token string
	// CA is a file of authorities for the server's certificate; empty: the
	// system's. Cert and Key are files of a client certificate. PEM form. With one
	// of them it is TLS in any case.
	CA, Cert, Key string
}

// DialTarget gives a client to a server. Whether it answers is seen at the first
// call.
func DialTarget(t Target) (*Client, error) {
	secure := t.CA != "" || t.Cert != "" || t.Key != ""
	if path, ok := t.path(); ok {
		if secure {
			return nil, fmt.Errorf("server %s is a Unix socket, which has no certificates", t.Address)
		}
		transport := &http.Transport{DialContext: dialPath(path)}
		return newClient(transport, socketBase, t.Token, transport.CloseIdleConnections), nil
	}
	base, err := t.base(secure)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	if strings.HasPrefix(base, "http:") {
		transport.Protocols.SetUnencryptedHTTP2(true)
		return newClient(transport, base, t.Token, transport.CloseIdleConnections), nil
	}
	transport.Protocols.SetHTTP1(true) // behind a proxy that has no other
	transport.Protocols.SetHTTP2(true)
	if transport.TLSClientConfig, err = t.tls(); err != nil {
		return nil, err
	}
	return newClient(transport, base, t.Token, transport.CloseIdleConnections), nil
}

// path is that of a socket, or of the directory that it is in.
func (t *Target) path() (path string, ok bool) {
	if path, ok := strings.CutPrefix(t.Address, "unix:"); ok {
		return strings.TrimPrefix(path, "//"), true
	}
	return t.Address, !strings.Contains(t.Address, "://") && strings.Contains(t.Address, "/")
}

func dialPath(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return dialSocket(ctx, path)
		}
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

// base is the URL that methods are below.
func (t *Target) base(secure bool) (string, error) {
	scheme, host, hasScheme := strings.Cut(t.Address, "://")
	if !hasScheme {
		scheme, host = "https", t.Address
		if here(host) && !secure {
			scheme = "http"
		}
	}
	u, err := url.Parse(scheme + "://" + host)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || scheme != "http" && scheme != "https":
		return "", fmt.Errorf("server %q is none: give a directory or socket, host:port, or https://host:port", t.Address)
	case !hasScheme && u.Port() == "":
		return "", fmt.Errorf("server %q has no port: give host:port, ./%s for a directory, or https://host", t.Address, t.Address)
	case scheme == "http" && secure:
		return "", fmt.Errorf("server %s is not TLS, which certificates are for", t.Address)
	case scheme == "http" && !here(u.Host):
		return "", fmt.Errorf("server %s is not of this machine, and the token and all answers would go over the network in clear: use https://%s", t.Address, u.Host)
	}
	return scheme + "://" + u.Host, nil
}

// here reports that a host, with a port or without, is this machine.
func here(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback() || host == "localhost"
}

func (t *Target) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		text, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read authorities: %s holds no certificate in PEM form", t.CA)
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, errors.New("a client certificate takes both its file and its key's")
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// bearer sends a token with each call (RFC 6750 2.1).
type bearer struct {
	http.RoundTripper
	token string
}

// RoundTrip implements http.RoundTripper.
func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(r)
}
