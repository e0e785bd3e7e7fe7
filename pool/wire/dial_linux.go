package wire

import "syscall"

// ipBindAddressNoPort is IP_BIND_ADDRESS_NO_PORT of linux/in.h.
const ipBindAddressNoPort = 24

// lateBind lets connect choose the local port instead of bind. bind must find
// one that is free for every peer, so a source address would have some 28,000
// connections in all; connect finds one that is free for this peer.
func lateBind(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		// Kernels before 4.2 do not know it; binding early works there too.
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, ipBindAddressNoPort, 1)
	})
}
