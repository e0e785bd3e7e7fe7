package wire

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Connect begins a connection from local (the zero value lets the system choose)
// to remote, on the least loaded event loop, and does not wait for it. h's OnOpen
// is called when it stands; if it cannot be made, OnClose alone, with a
// *net.OpError whose Op is "dial". Its timer is set to timer from the start: how
// long to wait for the connection is h's to say, in OnTimer. The only error is
// ErrClosed: h will not be called. Any goroutine.
func (w *Wire) Connect(local netip.Addr, remote netip.AddrPort, timer time.Duration, h Handler) (*Conn, error) {
	c := &Conn{handler: h, fd: -1}
	d := &dial{local: local.Unmap(), remote: netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())}
	return c, w.hand(c, func() {
		c.dial = d
		if err := c.connect(); err != nil {
			c.lost(d.failed(err))
			return
		}
		c.SetTimer(timer)
	})
}

// dial is what a connection is before it stands.
type dial struct {
	local  netip.Addr
	remote netip.AddrPort
}

// failed is why it could not be made, with both ends.
func (d *dial) failed(err error) error {
	op := &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(d.remote), Err: err}
	if d.local.IsValid() && !d.local.IsUnspecified() {
		op.Source = &net.TCPAddr{IP: d.local.AsSlice()}
	}
	return op
}

// connect makes the socket and lets it connect. Loop only.
func (c *Conn) connect() error {
	d := c.dial
	if d.remote.Addr().Zone() != "" || d.local.Zone() != "" {
		return errors.New("addresses with a zone cannot be used")
	}
	family := unix.AF_INET
	if d.remote.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := newSocket(family)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	c.fd = fd
	// What is written is whole: it must not wait for an acknowledgement.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if d.local.IsValid() && !d.local.IsUnspecified() {
		lateBind(fd)
		if err := unix.Bind(fd, socketAddress(netip.AddrPortFrom(d.local, 0))); err != nil {
			return os.NewSyscallError("bind", err)
		}
	}
	switch err := unix.Connect(fd, socketAddress(d.remote)); err {
	case nil, unix.EINPROGRESS, unix.EINTR:
	default:
		return os.NewSyscallError("connect", err)
	}
	return c.register()
}

// connected is told that the socket has connected or failed to. Loop only.
func (c *Conn) connected() {
	if errno, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
		c.lost(c.dial.failed(os.NewSyscallError("getsockopt", err)))
		return
	} else if errno != 0 {
		c.lost(c.dial.failed(os.NewSyscallError("connect", syscall.Errno(errno))))
		return
	}
	c.dial = nil
	c.watch()
	c.open()
}

// socketAddress is a as the system wants it.
func socketAddress(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// Exhausted says whether a dial's error is about this machine's means, file
// descriptors, ports or memory, rather than about the peer.
func Exhausted(err error) bool {
	for _, e := range [...]error{
		syscall.EMFILE, syscall.ENFILE, // descriptors, of the process and of the system
		syscall.EADDRNOTAVAIL,                           // no free local port
		syscall.ENOBUFS, syscall.ENOMEM, syscall.ENOSPC, // ENOSPC: what may be polled
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
