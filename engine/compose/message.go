package compose

import (
	"io"
	"slices"
	"sync"
)

// Message is one recipient's message, ready for the wire. The zero value is
// empty. It is owned by one goroutine at a time.
type Message struct {
	// From and To are the envelope addresses without angle brackets; an empty
	// From is the null reverse-path.
	From, To string
	// Parts is the message in order: CRLF line ends only, ending in one.
	// Parts[0] is the header block with the empty line behind it. Long pieces
	// that are the same in all messages are shared and must not be changed.
	Parts [][]byte
	// Size is the sum of the parts' lengths in octets.
	Size int
	// EightBit: there are octets above 127 (RFC 6152).
	EightBit bool
	// UTF8: an address needs SMTPUTF8 (RFC 6531).
	UTF8 bool
	// Replaced is how many line breaks in header values became spaces.
	Replaced int

	buf *buffer
}

// buffer is a message's memory.
type buffer struct {
	data  []byte
	parts [][]byte
	// spans are the parts while data may still move.
	spans []span
}

// reserve makes an empty buffer as large as its message will probably be.
func (b *buffer) reserve(data, spans int) {
	if cap(b.data) == 0 && data > 0 {
		b.data = make([]byte, 0, data+data/8)
	}
	if cap(b.spans) == 0 && spans > 0 {
		b.spans, b.parts = make([]span, 0, spans), make([][]byte, 0, spans+1) // and signatures
	}
}

// span is a part to be: a fixed segment, or a stretch of data.
type span struct {
	segment  int32 // -1: data[from:to]
	from, to int
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// maxPooled is the largest buffer kept for reuse, in octets.
const maxPooled = 1 << 20

// Reset empties the message and gives its memory back. REQUIRES: nobody reads
// Parts any more. From and To stay valid where they were copied.
func (m *Message) Reset() {
	if b := m.buf; b != nil {
		clear(b.parts)
		if cap(b.data) <= maxPooled {
			buffers.Put(b)
		}
	}
	*m = Message{}
}

// Header is the header fields, each ending in CRLF, without the empty line.
func (m *Message) Header() []byte { return m.Parts[0][:len(m.Parts[0])-2] }

// Body is the parts behind the empty line.
func (m *Message) Body() [][]byte { return m.Parts[1:] }

// Segment tells which of the template's fixed segments Body()[i] is, or -1 if
// it is this message's own: what is computed from a fixed segment (its
// canonical form for DKIM, say) can be computed once for all messages.
func (m *Message) Segment(i int) int { return int(m.buf.spans[i+1].segment) }

// Prepend puts header fields, each ending in CRLF, before the others: the place
// of trace fields and signatures. REQUIRES: once, and after all uses of Header,
// Body and Segment. The octets must not change while the message is used.
func (m *Message) Prepend(fields []byte) {
	m.Parts = slices.Insert(m.Parts, 0, fields)
	m.buf.parts = m.Parts
	m.Size += len(fields)
}

// WriteTo writes the message as a file would hold it (.eml).
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for _, p := range m.Parts {
		n, err := w.Write(p)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
