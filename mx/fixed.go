package mx

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// fixed is a route's target from the configuration.
type fixed struct {
	host string     // canonical name; empty for an address
	addr netip.Addr // for an address
	port uint16
}

// parseFixed reads "host", "host:port", "192.0.2.1:2525", "[2001:db8::1]:25".
func parseFixed(s string, port uint16) (fixed, error) {
	f := fixed{port: port}
	host := s
	if h, p, err := net.SplitHostPort(s); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return f, fmt.Errorf("target %q: port %q, must be 1 to 65535", s, p)
		}
		host, f.port = h, uint16(n)
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return f, fmt.Errorf("target %q: an address with a zone cannot be used", s)
		}
		f.addr = addr.Unmap()
		return f, nil
	}
	name, ok := canonicalName(host)
	if !ok {
		return f, fmt.Errorf("target %q: want host:port or host", s)
	}
	f.host = name
	return f, nil
}

func (f fixed) name() string {
	if f.host == "" {
		return f.addr.String()
	}
	return f.host
}

// String is how the target is named in keys and sites: always with its port.
func (f fixed) String() string {
	return net.JoinHostPort(f.name(), strconv.Itoa(int(f.port)))
}
