package wire

import "golang.org/x/sys/unix"

// newSocket is a TCP socket that does not block and does not survive exec.
func newSocket(family int) (int, error) {
	return unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
}

// lateBind lets connect choose the local port instead of bind. bind must find
// one that is free for every peer, so a source address would have some 28,000
// connections in all; connect finds one that is free for this peer.
func lateBind(fd int) {
	// Kernels before 4.2 do not know it; binding early works there too.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
}
