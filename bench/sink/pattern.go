package sink

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// pattern is a glob over lower-case octets, cut at its stars.
type pattern struct {
	parts [][]byte
}

func compilePattern(s string) pattern {
	return pattern{bytes.Split(bytes.ToLower([]byte(s)), []byte("*"))}
}

func matchAny(all []pattern, s []byte) bool {
	for _, p := range all {
		if p.match(s) {
			return true
		}
	}
	return false
}

// match expects s in lower case.
func (p pattern) match(s []byte) bool {
	first, last := p.parts[0], p.parts[len(p.parts)-1]
	if len(p.parts) == 1 {
		return len(s) == len(first) && matchAt(first, s)
	}
	if len(s) < len(first)+len(last) || !matchAt(first, s) || !matchAt(last, s[len(s)-len(last):]) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range p.parts[1 : len(p.parts)-1] {
		for {
			if len(s) < len(part) {
				return false
			}
			if matchAt(part, s) {
				s = s[len(part):]
				break
			}
			s = s[1:]
		}
	}
	return true
}

func matchAt(part, s []byte) bool {
	for i, c := range part {
		if c != '?' && c != s[i] {
			return false
		}
	}
	return true
}

// listenMatch is one entry of Server.Listen.
type listenMatch struct {
	net  netip.Prefix // invalid: any
	port uint16       // 0: any
}

func parseListen(s string) (listenMatch, error) {
	if s == "*" {
		return listenMatch{}, nil
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return listenMatch{net: p.Masked()}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return listenMatch{net: netip.PrefixFrom(a, a.BitLen())}, nil
	}
	if port, ok := strings.CutPrefix(s, "*:"); ok {
		n, err := strconv.ParseUint(port, 10, 16)
		return listenMatch{port: uint16(n)}, err
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return listenMatch{}, fmt.Errorf("listen %q: %w", s, err)
	}
	return listenMatch{netip.PrefixFrom(ap.Addr(), ap.Addr().BitLen()), ap.Port()}, nil
}

func (m listenMatch) matches(a netip.AddrPort) bool {
	return (!m.net.IsValid() || m.net.Contains(a.Addr())) && (m.port == 0 || m.port == a.Port())
}
