package config

import (
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/penstock-mail/penstock/engine/document"
)

func readListen(l *loader, n *document.Node) {
	var s string
	ok := readHostPort(n, &s, 0)
	if _, _, err := net.SplitHostPort(s); ok && err != nil {
		n.Problem("is %q, which has no port", s)
		ok = false
	}
	if ok {
		l.config.Serve.Listen = s
	}
	l.took(n, ok)
}

func readClients(l *loader, n *document.Node) {
	m, ok := n.Mapping()
	if !ok {
		return
	}
	for _, e := range m.Entries() {
		if e.Key == "" {
			e.Place.Problem("has an empty name")
			continue
		}
		var role string
		if e.Value.Choice(&role, "read", "operate", "admin") {
			l.config.Serve.Clients[e.Key] = role
			e.Value.Field = "serve.clients." + e.Key
			l.took(e.Value, true)
		}
	}
}

func listClients(c *Config) (all []Effective) {
	for _, name := range slices.Sorted(maps.Keys(c.Serve.Clients)) {
		key := "serve.clients." + name
		all = append(all, Effective{key, c.Serve.Clients[name], c.Origin(key)})
	}
	return all
}

// Loopback reports that the TCP address is of this machine alone; without one it
// is, too.
func (s Serve) Loopback() bool {
	host, _, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return s.Listen == ""
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost"
}

// agreeServe checks the settings of serve against one another.
func (l *loader) agreeServe() {
	s := l.config.Serve
	wrong := func(key, format string, args ...any) {
		o := l.config.Origin(key)
		l.doc.Problems.Add(o.File, o.Line, 0, key, format, args...)
	}
	switch tls := s.TLS; {
	case tls.Cert != "" && tls.Key == "":
		wrong("serve.tls.cert", "needs its key: set serve.tls.key")
	case tls.Key != "" && tls.Cert == "":
		wrong("serve.tls.key", "is of no certificate: set serve.tls.cert")
	case tls.ClientCA != "" && tls.Cert == "":
		wrong("serve.tls.client_ca", "does nothing without TLS: set serve.tls.cert and serve.tls.key")
	case tls.Cert == "" && !s.Loopback():
		wrong("serve.listen", "is %s, which others can reach: tokens and all that is asked would go over the network in clear. Set serve.tls.cert and serve.tls.key, or listen at 127.0.0.1", s.Listen)
	}
	if len(s.Clients) > 0 && s.TLS.ClientCA == "" {
		first := slices.Sorted(maps.Keys(s.Clients))[0]
		wrong("serve.clients."+first, "cannot be known: serve.tls.client_ca says whose certificates are good, and is not set")
	}
	if s.StreamsPerClient > s.Streams {
		key := "serve.streams_per_client"
		if l.config.Origin(key).Kind == FromDefault {
			key = "serve.streams"
		}
		wrong(key, "does not fit: serve.streams_per_client is %d, and serve.streams %d", s.StreamsPerClient, s.Streams)
	}
}
