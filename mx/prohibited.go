package mx

import "net/netip"

// DefaultProhibited are the networks that no public mail server is in. Anybody
// can publish an MX record that points into them: at our own machines.
func DefaultProhibited() []netip.Prefix {
	var p []netip.Prefix
	for _, s := range [...]string{
		"0.0.0.0/8",       // this network (RFC 1122)
		"10.0.0.0/8",      // private (RFC 1918)
		"100.64.0.0/10",   // carrier-grade NAT (RFC 6598)
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local (RFC 3927)
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments (RFC 6890)
		"192.0.2.0/24",    // documentation (RFC 5737)
		"192.168.0.0/16",  // private
		"198.18.0.0/15",   // benchmarks (RFC 2544)
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, and broadcast
		"::/128",          // unspecified
		"::1/128",         // loopback
		"64:ff9b:1::/48",  // local translation (RFC 8215)
		"100::/64",        // discard (RFC 6666)
		"2001:db8::/32",   // documentation
		"fc00::/7",        // unique local (RFC 4193)
		"fe80::/10",       // link-local
		"ff00::/8",        // multicast
	} {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// prohibits says whether addr lies in one of the networks, also as an IPv4
// address that is carried in an IPv6 one.
func prohibits(networks []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	carried, ok := carriedIPv4(addr)
	for _, p := range networks {
		if p.Contains(addr) || ok && p.Contains(carried) {
			return true
		}
	}
	return false
}

var (
	translated = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052 2.1
	sixToFour  = netip.MustParsePrefix("2002::/16")    // RFC 3056
)

// carriedIPv4 is the IPv4 address that packets to an IPv6 address end up at.
func carriedIPv4(addr netip.Addr) (netip.Addr, bool) {
	b := addr.As16()
	switch {
	case addr.Is4():
	case translated.Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}
