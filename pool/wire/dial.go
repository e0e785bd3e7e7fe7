package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Dial connects from local (the zero value lets the system choose) to remote,
// within timeout and until ctx ends. Any goroutine; it waits.
func Dial(ctx context.Context, local netip.Addr, remote netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	if remote.Addr().Zone() != "" || local.Zone() != "" {
		return nil, fmt.Errorf("dial %v: addresses with a zone cannot be used", remote)
	}
	// Keep-alive probes would be three system calls a connection; a connection
	// here is idle for seconds at most, and every wait has a deadline.
	d := net.Dialer{Timeout: timeout, KeepAlive: -1, FallbackDelay: -1}
	var from netip.AddrPort
	if local.IsValid() && !local.IsUnspecified() {
		from = netip.AddrPortFrom(local, 0)
		d.Control = lateBind
	}
	c, err := d.DialTCP(ctx, "tcp", from, remote)
	if err != nil {
		if op := (*net.OpError)(nil); !from.IsValid() && errors.As(err, &op) {
			op.Source = nil // else the text has an empty address that nobody chose, ":0->"
		}
		return nil, err // and no interface around a nil *TCPConn
	}
	return c, nil
}

// Exhausted says whether a dial's error is about this machine's means, file
// descriptors, ports or memory, rather than about the peer.
func Exhausted(err error) bool {
	for _, e := range [...]error{
		syscall.EMFILE, syscall.ENFILE, // descriptors, of the process and of the system
		syscall.EADDRNOTAVAIL, // no free local port
		syscall.ENOBUFS, syscall.ENOMEM,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
