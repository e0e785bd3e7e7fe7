package compose

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"github.com/osteele/liquid/render"

	"github.com/penstock-mail/penstock/engine/address"
)

// Recipient is whom a message is for.
type Recipient struct {
	Seq uint32
	// Local is in wire form (quotes included); Domain in A-label form.
	Local, Domain []byte
	// Fields is the encoded row.
	Fields []byte
	// Date becomes the Date field, in UTC to the second; it must be the same
	// at every attempt.
	Date time.Time
}

// Caps is what the server that takes the message can do.
type Caps struct {
	// EightBitMIME: bodies may hold octets above 127 (RFC 6152).
	EightBitMIME bool
	// SMTPUTF8: addresses may (RFC 6531). Without it a message that needs it
	// gives ErrNeedsSMTPUTF8.
	SMTPUTF8 bool
}

// ErrNeedsSMTPUTF8: an address is not ASCII, and the server cannot take that.
var ErrNeedsSMTPUTF8 = errors.New("an address needs SMTPUTF8, which the server does not offer")

// MissingFieldError: a merge field is unknown or empty where the campaign says that
// this is an error.
type MissingFieldError struct {
	// Setting is where the template uses it, Field the field.
	Setting, Field string
}

func (e *MissingFieldError) Error() string {
	return "merge field " + strconv.Quote(e.Field) + " is missing (" + e.Setting + ")"
}

// AddressError: a value made an address or a URL invalid.
type AddressError struct {
	// Field is the setting.
	Field, Address string
	Err            error
}

func (e *AddressError) Error() string {
	return e.Field + ": " + strconv.Quote(e.Address) + " " + e.Err.Error()
}
func (e *AddressError) Unwrap() error { return e.Err }

// RenderError: a template failed on a recipient's values, or ran away.
type RenderError struct {
	Field string // the setting
	Err   error
}

func (e *RenderError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *RenderError) Unwrap() error { return e.Err }

// Composer makes messages. There is one per worker: it is not safe for
// concurrent use.
type Composer struct {
	t      *Template
	keyed  *keyed
	parser address.Parser
	fields Fields
	meter  meter
	// interpreter and what goes with it are set where a text needs Liquid.
	interpreter *interpreter
	parsed      map[*island]render.Node
	vars        map[string]any
	// bound is the text whose fields vars holds.
	bound *program

	// Of the message in work:
	r         *Recipient
	token     []byte // the VERP token
	messageID []byte
	replaced  int
	eight     bool // a text part goes out as 8bit
	scratch   []byte
	// usualData and usualSpans are what the last messages needed, so that a new
	// buffer is made in one go.
	usualData, usualSpans int
	runs                  []textRun
	out                   []byte
	spanFrom              int
	spans                 []span

	value, other, address, line []byte
	// date is the Date field's value for second.
	date   []byte
	second int64
}

// NewComposer makes a composer of its own for a worker.
func (t *Template) NewComposer() *Composer {
	c := &Composer{t: t, keyed: newKeyed(t.opt.Secret), runs: make([]textRun, len(t.texts)), second: -1 << 62}
	return c
}

// Compose makes the message for r in dst, which is reset first. r's memory is
// not kept. For the same recipient and capabilities the result is the same at
// every attempt. The errors are ErrNeedsSMTPUTF8, *MissingFieldError, *AddressError,
// *RenderError, and one for fields that are not an encoded row: all concern
// this recipient alone.
func (c *Composer) Compose(dst *Message, r *Recipient, caps Caps) error {
	dst.Reset()
	t := c.t
	c.r, c.replaced, c.eight, c.scratch = r, 0, t.eightBit, c.scratch[:0]
	if err := c.fields.Decode(r.Fields); err != nil {
		return err
	}
	c.keys()
	for i := range t.texts {
		if err := c.renderText(&t.texts[i], &c.runs[i]); err != nil {
			return err
		}
		c.decide(&t.texts[i], &c.runs[i], caps)
		c.eight = c.eight || c.runs[i].form == eightBit
	}

	b := buffers.Get().(*buffer)
	b.reserve(c.usualData, c.usualSpans)
	dst.buf = b
	c.out, c.spanFrom, c.spans = b.data[:0], 0, b.spans[:0]
	utf8, err := c.writeHeader()
	var from []byte
	if err == nil {
		from, err = c.sender(&utf8)
	}
	if err == nil && utf8 && !caps.SMTPUTF8 {
		err = ErrNeedsSMTPUTF8
	}
	b.data, b.spans = c.out, c.spans
	if err != nil {
		dst.Reset()
		return err
	}
	c.writeBody()
	b.data, b.spans = c.out, c.spans
	c.usualData, c.usualSpans = max(len(b.data), c.usualData-c.usualData/64), len(b.spans)

	b.parts = b.parts[:0]
	for _, s := range c.spans {
		part := b.data[s.from:s.to:s.to]
		if s.segment >= 0 {
			part = t.segments[s.segment]
		}
		b.parts = append(b.parts, part)
		dst.Size += len(part)
	}
	// One string for both addresses: one allocation.
	n := len(from)
	from = append(from, r.Local...)
	from = append(from, '@')
	from = append(from, r.Domain...)
	c.line = from
	both := string(from)
	dst.From, dst.To = both[:n], both[n:]
	dst.Parts, dst.EightBit, dst.UTF8, dst.Replaced = b.parts, c.eight || utf8, utf8, c.replaced
	c.out, c.spans, c.r = nil, nil, nil
	return nil
}

// keys derives the recipient's Message-ID and, where it is used, VERP token.
func (c *Composer) keys() {
	sum := c.keyed.recipient(c.t.opt.Number, c.r.Seq)
	c.messageID = lowerBase32.AppendEncode(c.messageID[:0], sum[verpCheck:verpCheck+16])
	if c.t.verp {
		c.token = appendVERP(c.token[:0], c.t.opt.Number, c.r.Seq, sum)
	}
}

// sender is the envelope's from address, in c.line.
func (c *Composer) sender(utf8 *bool) ([]byte, error) {
	box := c.t.envelope
	switch {
	case c.t.nullSender:
		return c.line[:0], nil
	case box == nil:
		box = c.t.from
	}
	var err error
	var needs bool
	c.line, needs, err = c.appendAddress(c.line[:0], box)
	*utf8 = *utf8 || needs
	return c.line, err
}

// writeBody writes what is behind the header, and the last line's end.
func (c *Composer) writeBody() {
	for i := range c.t.layout.body {
		c.perform(&c.t.layout.body[i])
	}
	c.closeSpan()
	if !c.endsLine() {
		c.out = append(c.out, "\r\n"...)
		c.closeSpan()
	}
}

// endsLine reports whether what was written last ends in CRLF.
func (c *Composer) endsLine() bool {
	last := c.spans[len(c.spans)-1]
	if last.segment >= 0 {
		return bytes.HasSuffix(c.t.segments[last.segment], []byte("\r\n"))
	}
	// The header block ends in an empty line, so an empty body needs none.
	return bytes.HasSuffix(c.out[last.from:last.to], []byte("\r\n"))
}

func (c *Composer) perform(o *op) {
	switch o.kind {
	case writeFixed:
		c.emitFixed(o.fixed)
	case writeEight:
		if c.eight {
			c.out = append(c.out, o.fixed.bytes...)
		}
	case writeEncoding:
		c.out = append(c.out, encodingField[c.runs[o.text].form]...)
	case writeText:
		c.emitText(&c.t.texts[o.text], &c.runs[o.text])
	}
}
