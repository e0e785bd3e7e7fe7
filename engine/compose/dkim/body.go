package dkim

import (
	"crypto/sha256"
	"encoding"
	"hash"
)

// canon is the relaxed body canonicalisation (RFC 6376 3.4.4) as a state
// machine: white space and line breaks are held back until a byte follows that
// makes them count, so the state is three small values however long the runs
// are. The zero value is the beginning of a body.
type canon struct {
	breaks int  // line breaks not yet written
	space  bool // white space not yet written, after those breaks
	cr     bool // a CR whose next byte is not known yet, after that space
	text   bool // something was written: the body is not empty
}

// class of each byte for the scan below: 0 is text.
var class = [256]uint8{' ': classSpace, '\t': classSpace, '\r': classCR}

const (
	classSpace = 1
	classCR    = 2
)

// append appends to dst what src adds to the canonical form.
func (c *canon) append(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		b := src[i]
		if c.cr {
			c.cr = false
			if b == '\n' {
				// White space before a line break goes (3.4.4 a).
				c.breaks++
				c.space = false
				i++
				continue
			}
			dst = append(c.release(dst), '\r') // a bare CR is text
		}
		switch class[b] {
		case classSpace:
			c.space = true
			i++
		case classCR:
			c.cr = true
			i++
		default:
			dst = c.release(dst)
			j := i + 1
			for ; j < len(src); j++ {
				if class[src[j]] == 0 {
					continue
				}
				// One space between two bytes of text is canonical already,
				// and by far the most frequent case.
				if src[j] == ' ' && j+1 < len(src) && class[src[j+1]] == 0 {
					j++
					continue
				}
				break
			}
			dst = append(dst, src[i:j]...)
			i = j
		}
	}
	return dst
}

// release writes what was held back, because text follows.
func (c *canon) release(dst []byte) []byte {
	for ; c.breaks > 0; c.breaks-- {
		dst = append(dst, '\r', '\n')
	}
	if c.space {
		dst = append(dst, ' ')
		c.space = false
	}
	c.text = true
	return dst
}

// end appends what closes the body: empty lines at its end go, and it ends in
// CRLF unless it is empty (3.4.4 b).
func (c *canon) end(dst []byte) []byte {
	if c.cr {
		dst = append(c.release(dst), '\r')
		c.cr = false
	}
	if c.text {
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// AppendBody appends the relaxed canonical form of a whole body.
func AppendBody(dst, body []byte) []byte {
	var c canon
	return c.end(c.append(dst, body))
}

// Fixed is a piece of body text that many messages share, with its canonical
// form prepared.
type Fixed struct {
	raw  []byte
	lead canon  // what stands before the first byte of text
	text []byte // canonical, from the first byte of text to the last
	tail canon  // what stands behind it
}

// Prepare makes the canonical form of a fixed piece. It keeps a copy of text.
func Prepare(text []byte) *Fixed {
	f := &Fixed{raw: append([]byte(nil), text...)}
	n := 0
	for n < len(text) && (class[text[n]] != 0 || text[n] == '\n' && f.lead.cr) {
		f.lead.append(nil, text[n:n+1])
		n++
		if f.lead.text {
			break // a bare CR was text after all
		}
	}
	if f.lead.text || f.lead.cr {
		// A CR that is not known to end a line: rare, and not worth a state of
		// its own. Such a piece goes the long way each time.
		return f
	}
	f.text = f.tail.append(nil, text[n:])
	return f
}

// slow reports whether the piece has no prepared form.
func (f *Fixed) slow() bool { return f.lead.text || f.lead.cr }

// BodyHash computes the bh= value of a body that comes in pieces. The zero
// value is not ready: use NewBodyHash. Its methods allocate nothing.
type BodyHash struct {
	canon canon
	hash  hash.Hash
	// buffer holds canonical text on its way into the hash. Small writes into
	// SHA-256 cost more than the copy.
	buffer []byte
	sum    [sha256.Size]byte
}

const bodyBuffer = 2048

// NewBodyHash is at the beginning of a body.
func NewBodyHash() *BodyHash {
	return &BodyHash{hash: sha256.New(), buffer: make([]byte, 0, bodyBuffer)}
}

// Reset goes back to the beginning of a body.
func (b *BodyHash) Reset() {
	b.canon = canon{}
	b.buffer = b.buffer[:0]
	b.hash.Reset()
}

// Write adds text that is this message's own. It never fails.
func (b *BodyHash) Write(text []byte) (int, error) {
	for rest := text; len(rest) > 0; {
		// The buffer keeps its size: text grows by one byte at most, apart from
		// what was held back.
		n := min(len(rest), bodyBuffer/2)
		b.buffer = b.canon.append(b.buffer, rest[:n])
		if len(b.buffer) >= bodyBuffer/2 {
			b.flush()
		}
		rest = rest[n:]
	}
	return len(text), nil
}

// WriteFixed adds a prepared piece.
func (b *BodyHash) WriteFixed(f *Fixed) {
	if f.slow() || b.canon.cr {
		b.Write(f.raw)
		return
	}
	if f.lead.breaks > 0 {
		b.canon.breaks += f.lead.breaks
		b.canon.space = f.lead.space
	} else if f.lead.space {
		b.canon.space = true
	}
	if len(f.text) == 0 {
		return
	}
	b.buffer = b.canon.release(b.buffer)
	if len(b.buffer)+len(f.text) > bodyBuffer {
		b.flush()
	}
	if len(f.text) > bodyBuffer/2 {
		b.flush()
		b.hash.Write(f.text)
	} else {
		b.buffer = append(b.buffer, f.text...)
	}
	tail := f.tail
	tail.text = true
	b.canon = tail
}

func (b *BodyHash) flush() {
	b.hash.Write(b.buffer)
	b.buffer = b.buffer[:0]
}

// Sum closes the body and returns its hash. Only Reset and Restore may follow.
func (b *BodyHash) Sum() [sha256.Size]byte {
	b.buffer = b.canon.end(b.buffer)
	b.flush()
	b.hash.Sum(b.sum[:0])
	return b.sum
}

// Snapshot is the state of a BodyHash in the middle of a body.
type Snapshot struct {
	canon canon
	hash  []byte
}

// Snapshot keeps the state, so that the messages of a campaign hash their
// common beginning once.
func (b *BodyHash) Snapshot() *Snapshot {
	b.flush()
	state, err := b.hash.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		panic("dkim: state of SHA-256: " + err.Error())
	}
	return &Snapshot{canon: b.canon, hash: state}
}

// Restore goes back to a state, of this BodyHash or another one.
func (b *BodyHash) Restore(s *Snapshot) {
	b.canon = s.canon
	b.buffer = b.buffer[:0]
	if err := b.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(s.hash); err != nil {
		panic("dkim: state of SHA-256: " + err.Error())
	}
}
