package wire

// copyBelow: pieces of a gather list shorter than this are copied together;
// longer ones go to the kernel from where they lie. An entry of writev's list
// costs about what copying 2 KB does.
const copyBelow = 4 << 10

// maxGather is the most pieces given to one writev: the system allows 1024
// (IOV_MAX) and gnet does not split.
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
		if n == 1 {
			_, _ = c.gc.Write(rest[0])
		} else {
			_, _ = c.gc.Writev(rest[:n])
		}
		rest = rest[n:]
	}
	clear(gather)
	l.gather = gather[:0]
	l.joined = shrink(joined)
}

// send writes one piece of ciphertext.
func (c *Conn) send(b []byte) {
	if len(b) > 0 && !c.gone {
		_, _ = c.gc.Write(b)
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
