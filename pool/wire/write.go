package wire

import (
	"os"

	"golang.org/x/sys/unix"
)

// copyBelow: pieces of a gather list shorter than this are copied together;
// longer ones go to the kernel from where they lie. An entry of writev's list
// costs about what copying 2 KB does.
const copyBelow = 4 << 10

// maxGather is the most pieces given to one writev: the system allows 1024
// (IOV_MAX).
const maxGather = 512

// Write sends the pieces in order. They may be used again when it returns: what
// the socket does not take is copied. After the connection's end it does
// nothing; a failing write ends the connection, which OnClose tells. Loop only.
func (c *Conn) Write(pieces [][]byte) {
	if c.gone || c.closing {
		return
	}
	if c.tls != nil {
		c.encrypt(pieces)
		return
	}
	l := c.loop
	joined, gather := l.joined[:0], l.gather[:0]
	from := 0
	for _, p := range pieces {
		if len(p) < copyBelow {
			joined = append(joined, p...)
			continue
		}
		if len(joined) > from {
			gather = append(gather, joined[from:])
			from = len(joined)
		}
		gather = append(gather, p)
	}
	if len(joined) > from {
		gather = append(gather, joined[from:])
	}
	for rest := gather; len(rest) > 0 && !c.gone; {
		n := min(len(rest), maxGather)
		c.transmit(rest[:n])
		rest = rest[n:]
	}
	c.watch()
	clear(gather)
	l.gather = gather[:0]
	l.joined = shrink(joined)
}

// send writes one piece of ciphertext.
func (c *Conn) send(b []byte) {
	if len(b) > 0 && !c.gone {
		one := [1][]byte{b}
		c.transmit(one[:])
		c.watch()
	}
}

// transmit gives the pieces to the socket, and keeps a copy of what it does not
// take.
func (c *Conn) transmit(pieces [][]byte) {
	n := 0
	if c.Unsent() == 0 {
		var ok bool
		if n, ok = c.put(pieces); !ok {
			return
		}
	}
	for _, p := range pieces {
		if n >= len(p) {
			n -= len(p)
			continue
		}
		c.out = append(c.out, p[n:]...)
		n = 0
	}
}

// put writes once; false if that ended the connection.
func (c *Conn) put(pieces [][]byte) (n int, ok bool) {
	for {
		var err error
		if len(pieces) == 1 {
			n, err = unix.Write(c.fd, pieces[0])
		} else {
			n, err = unix.Writev(c.fd, pieces)
		}
		switch err {
		case nil:
			return n, true
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return 0, true
		}
		c.salvage()
		c.lost(os.NewSyscallError("write", err))
		return 0, false
	}
}

// flush writes what was kept, as far as the socket takes it.
func (c *Conn) flush() {
	if c.Unsent() == 0 {
		c.watch()
		return
	}
	one := [1][]byte{c.out[c.sent:]}
	n, ok := c.put(one[:])
	if !ok {
		return
	}
	c.sent += n
	switch {
	case c.Unsent() == 0:
		c.out, c.sent = nil, 0
		c.watch()
	case c.sent > len(c.out)/2:
		// What was sent is given back, at no more than a copy for each octet.
		c.out = append([]byte(nil), c.out[c.sent:]...)
		c.sent = 0
	}
}

// keepScratch is the most scratch memory a loop keeps between calls.
const keepScratch = 1 << 20

func shrink(b []byte) []byte {
	if cap(b) > keepScratch {
		return nil
	}
	return b[:0]
}
