package sink

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// reservations hold free ports until the event loops listen on them. gnet does
// not tell which port it was given for port 0, so a socket that is bound and
// does not listen finds one; with SO_REUSEADDR on both, Linux lets the second
// bind it as long as nobody listens.
type reservations []int

// resolve returns the address to listen on, port 0 replaced by a reserved one.
func (r *reservations) resolve(listen string) (netip.AddrPort, error) {
	t, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if t.IP == nil {
		t.IP = net.IPv4zero
	}
	addr := addrPort(t)
	if addr.Port() != 0 {
		return addr, nil
	}
	family := unix.AF_INET6
	var to unix.Sockaddr = &unix.SockaddrInet6{Addr: addr.Addr().As16()}
	if addr.Addr().Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Addr: addr.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.AddrPort{}, err
	}
	*r = append(*r, fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return netip.AddrPort{}, err
	}
	if err := unix.Bind(fd, to); err != nil {
		return netip.AddrPort{}, err
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(addr.Addr(), portOf(bound)), nil
}

func (r *reservations) release() {
	for _, fd := range *r {
		unix.Close(fd)
	}
	*r = nil
}

func portOf(a unix.Sockaddr) uint16 {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return uint16(a.Port)
	case *unix.SockaddrInet6:
		return uint16(a.Port)
	}
	return 0
}

// localAddr asks the system at which address a connection came in: a listener
// on 0.0.0.0 serves many.
func localAddr(fd int) (netip.AddrPort, error) {
	a, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)), nil
	}
	return netip.AddrPort{}, unix.EAFNOSUPPORT
}
