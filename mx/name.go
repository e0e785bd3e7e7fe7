package mx

import (
	"net/netip"
	"strings"
)

// canonicalName is a host or domain name in lower case without its last dot.
// It answers false for what cannot be one: empty, too long, an address, or
// with octets that no A-label form has. An underscore is let through: it is
// wrong in host names, and it is used.
func canonicalName(s string) (string, bool) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return "", false
	}
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if label == 0 {
				return "", false
			}
			label = 0
			continue
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return "", false
		}
		if label++; label > 63 {
			return "", false
		}
	}
	if label == 0 {
		return "", false
	}
	// "192.0.2.1." as a target is an address that was typed where a name belongs.
	if _, err := netip.ParseAddr(s); err == nil {
		return "", false
	}
	return strings.ToLower(s), true
}

// addressLiteral reads the domain part of user@[192.0.2.1] (RFC 5321 4.1.3).
func addressLiteral(domain string) (netip.Addr, bool) {
	inner, ok := strings.CutPrefix(domain, "[")
	if !ok {
		return netip.Addr{}, false
	}
	if inner, ok = strings.CutSuffix(inner, "]"); !ok {
		return netip.Addr{}, false
	}
	v6 := false
	if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
		inner, v6 = inner[5:], true
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || addr.Zone() != "" || addr.Is6() != v6 {
		return netip.Addr{}, false
	}
	return addr, true
}

// sameName compares names as DNS does.
func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}
