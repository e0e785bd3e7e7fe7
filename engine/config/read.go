package config

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-mail/penstock/engine/address"
	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/signature"
)

// helloName reports that s can stand in EHLO (RFC 5321 4.1.1.1): a domain name,
// also of one label, or an address literal.
func helloName(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		_, err := netip.ParseAddr(strings.TrimPrefix(inner, "IPv6:"))
		return ok && err == nil
	}
	_, err := address.ParseDomain(s)
	if err == address.OneLabel {
		return true
	}
	return err == nil
}

func readHello(n *document.Node, dst *string) bool {
	var s string
	if !n.Word(&s) {
		return false
	}
	if !helloName(s) {
		n.Problem("is %q, which is no host name", s)
		return false
	}
	if mapped, err := address.ParseDomain(s); err == nil {
		s = mapped
	}
	*dst = s
	return true
}

func readHostname(l *loader, n *document.Node) { l.took(n, readHello(n, &l.config.Hostname)) }

func readServers(l *loader, n *document.Node) {
	entries, ok := n.OneOrMany()
	var servers []string
	for _, e := range entries {
		var s string
		if !readHostPort(e, &s, 53) {
			continue
		}
		if _, err := netip.ParseAddrPort(s); err != nil {
			e.Problem("is %q, but must be an IP address, with a port or without: a resolver cannot be looked up", s)
			continue
		}
		servers = append(servers, s)
	}
	l.config.DNS.Servers = servers
	l.took(n, ok)
}

// readHostPort reads a host or address with a port; defaultPort stands in for a
// missing one, 0 leaves it out.
func readHostPort(n *document.Node, dst *string, defaultPort int) bool {
	var s string
	if !n.Word(&s) {
		return false
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), ""
	}
	addr, addrErr := netip.ParseAddr(host)
	if addrErr != nil && !helloName(host) || addrErr == nil && addr.Zone() != "" {
		n.Problem("is %q, but must be a host or IP address with a port, such as mail.example:25 or [2001:db8::1]:25", s)
		return false
	}
	if number, bad := strconv.Atoi(port); (port != "" || err == nil) && (bad != nil || number < 1 || number > 65535) {
		n.Problem("is %q, whose port is not from 1 to 65535", s)
		return false
	}
	if addrErr != nil {
		if mapped, err := address.ParseDomain(host); err == nil {
			host = mapped
		}
	}
	switch {
	case port != "":
		*dst = net.JoinHostPort(host, port)
	case defaultPort != 0:
		*dst = net.JoinHostPort(host, strconv.Itoa(defaultPort))
	default:
		*dst = host
	}
	return true
}

// withPort adds the port to a target that was read without.
func withPort(target string, port int) string {
	if _, _, err := net.SplitHostPort(target); err == nil {
		return target
	}
	return net.JoinHostPort(target, strconv.Itoa(port))
}

func readProhibited(l *loader, n *document.Node) {
	entries, ok := n.OneOrMany()
	if !ok {
		return
	}
	// "prohibited:" with nothing behind it is more likely forgotten than meant:
	// lifting the protection takes an explicit [].
	if n.Absent() {
		n.Problem("has no value: give networks, [] to prohibit none, or leave the key out")
		return
	}
	prefixes := []netip.Prefix{}
	for _, e := range entries {
		var p netip.Prefix
		if e.Prefix(&p) {
			prefixes = append(prefixes, p)
		}
	}
	l.config.MX.Prohibited = prefixes
	l.took(n, true)
}

func readRoutes(l *loader, n *document.Node) {
	m, ok := n.Mapping()
	if !ok {
		return
	}
	for _, e := range m.Entries() {
		domain := e.Key
		if domain != "*" && !readDomain(e.Place, &domain) {
			continue
		}
		if _, twice := l.config.Routes[domain]; twice {
			e.Place.Problem("is the same domain as another route's")
			continue
		}
		var target string
		if readHostPort(e.Value, &target, 0) {
			l.config.Routes[domain] = target
			e.Value.Field = "routes." + domain
			l.took(e.Value, true)
		}
	}
}

// readDomain brings a key that is a domain into the form that domains have.
func readDomain(place *document.Node, domain *string) bool {
	mapped, err := address.ParseDomain(*domain)
	if err != nil && err != address.OneLabel {
		place.Problem("is no domain: %q %s", *domain, err)
		return false
	}
	if err == nil {
		*domain = mapped
	}
	return true
}

func readSources(l *loader, n *document.Node) {
	entries, _ := n.List()
	for _, e := range entries {
		m, ok := e.Mapping()
		if !ok {
			continue
		}
		var s Source
		if ip := m.Take("ip"); ip != nil {
			ip.Addr(&s.IP)
		}
		if ehlo := m.Take("ehlo"); ehlo != nil {
			readHello(ehlo, &s.EHLO)
		}
		if name := m.Take("name"); name != nil {
			name.Word(&s.Name)
		} else if s.IP.IsValid() {
			s.Name = s.IP.String()
		} else {
			e.Problem("has a source with neither name nor ip")
		}
		m.Close()
		if slices.ContainsFunc(l.config.Sources, func(other Source) bool { return s.Name != "" && other.Name == s.Name }) {
			e.Problem("has two sources named %q", s.Name)
			continue
		}
		l.config.Sources = append(l.config.Sources, s)
		e.Field = "sources." + s.Name
		l.took(e, true)
	}
}

func readDKIM(l *loader, n *document.Node) {
	l.config.DKIM = signature.Read(n, l.resolve)
	l.took(n, true)
}

func siteName(place *document.Node, name *string) bool {
	if strings.TrimSpace(*name) != *name || *name == "" {
		place.Problem("is no site name")
		return false
	}
	return true
}

func domainName(place *document.Node, name *string) bool { return readDomain(place, name) }

func readLimits(at func(*Config) map[string]Limit, nameOf func(*document.Node, *string) bool) func(*loader, *document.Node) {
	return func(l *loader, n *document.Node) {
		m, ok := n.Mapping()
		if !ok {
			return
		}
		for _, e := range m.Entries() {
			name := e.Key
			keys, ok := e.Value.Mapping()
			if !nameOf(e.Place, &name) || !ok {
				continue
			}
			if _, twice := at(l.config)[name]; twice {
				e.Place.Problem("is the same as another key here")
				continue
			}
			at(l.config)[name] = l.limit(keys, document.Join(n.Field, name))
		}
	}
}

func (l *loader) limit(m *document.Mapping, field string) (limit Limit) {
	take := func(key string, read func(n *document.Node) bool) {
		if n := m.Take(key); n != nil {
			ok := read(n)
			n.Field = document.Join(field, key)
			l.took(n, ok)
		}
	}
	take("connections", func(n *document.Node) bool { return n.Int(&limit.Connections, 1, 100_000) })
	take("connection_rate", func(n *document.Node) bool { return n.Rate(&limit.ConnectionRate) })
	take("message_rate", func(n *document.Node) bool { return n.Rate(&limit.MessageRate) })
	take("messages_per_connection", func(n *document.Node) bool { return n.Int(&limit.MessagesPerConnection, 1, 1e9) })
	take("gear", func(n *document.Node) bool { return n.Choice(&limit.Gear, gears...) })
	m.Close()
	return limit
}

func readIntakeFolder(l *loader, n *document.Node) {
	var s string
	ok := n.Word(&s)
	if ok {
		l.config.Intake.Folder = l.resolve(s)
		if info, err := os.Stat(l.config.Intake.Folder); err != nil {
			n.Problem("%s: %s", s, document.Reason(err))
		} else if !info.IsDir() {
			n.Problem("%s: is not a directory", s)
		}
	}
	l.took(n, ok)
}

func readSuppress(l *loader, n *document.Node) {
	entries, ok := n.OneOrMany()
	var files []string
	for _, e := range entries {
		var s string
		if e.Word(&s) {
			l.mustBeFile(e, s)
			files = append(files, l.resolve(s))
		}
	}
	l.config.Suppress = files
	l.took(n, ok)
}
