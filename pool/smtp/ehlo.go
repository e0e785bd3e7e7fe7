package smtp

import (
	"bytes"
	"strconv"
)

// parseCapabilities reads an EHLO reply (RFC 5321 4.1.1.1): the first line
// names the server, each other one an extension. sized says whether SIZE was
// offered at all, with or without a maximum.
func parseCapabilities(text []byte) (caps Capabilities, sized bool) {
	first := true
	for line := range bytes.SplitSeq(text, []byte{'\n'}) {
		if first {
			first = false
			continue
		}
		keyword, args, _ := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		var word [len("ENHANCEDSTATUSCODES")]byte // the longest, so that nothing is allocated
		if len(keyword) > len(word) {
			continue
		}
		for i, c := range keyword {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			word[i] = c
		}
		switch string(word[:len(keyword)]) {
		case "PIPELINING":
			caps.Pipelining = true
		case "CHUNKING":
			caps.Chunking = true
		case "8BITMIME":
			caps.EightBitMIME = true
		case "SMTPUTF8":
			caps.SMTPUTF8 = true
		case "ENHANCEDSTATUSCODES":
			caps.EnhancedStatusCodes = true
		case "DSN":
			caps.DSN = true
		case "STARTTLS":
			caps.StartTLS = true
		case "SIZE":
			sized = true
			if n, err := strconv.ParseInt(string(bytes.TrimSpace(args)), 10, 64); err == nil && n > 0 {
				caps.Size = n
			}
		case "LIMITS": // RFC 9422 4: name=value pairs
			for limit := range bytes.FieldsSeq(args) {
				name, value, _ := bytes.Cut(limit, []byte{'='})
				if n, err := strconv.ParseInt(string(value), 10, 32); err == nil && n > 0 && bytes.EqualFold(name, []byte("MAILMAX")) {
					caps.MailMax = int(n)
				}
			}
		}
	}
	return caps, sized
}

// gear is the highest gear that the capabilities and the limit allow.
func (c *Capabilities) gear(top Gear) Gear {
	g := LockStep
	if c.Pipelining {
		g = Pipelining
		// RFC 3030 does not tie CHUNKING to PIPELINING, but without it there is
		// nothing to win, and every reply would have to be awaited.
		if c.Chunking {
			g = Chunking
		}
	}
	if top != GearAuto {
		g = min(g, top)
	}
	return g
}
