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
	runs      []textRun
	out       []byte
	spanFrom  int
	spans     []span

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

// renderText puts a text part's values into scratch, ready for their place.
func (c *Composer) renderText(part *textPart, run *textRun) error {
	p := part.program
	run.values = run.values[:0]
	from := len(c.scratch)
	c.bound = nil
	for i := range p.values {
		if err := c.appendValue(p, &p.values[i]); err != nil {
			return err
		}
		run.values = append(run.values, valueSpan{from, len(c.scratch)})
		from = len(c.scratch)
	}
	return nil
}

// appendProgram appends a whole text, for header fields and addresses.
func (c *Composer) appendProgram(dst []byte, p *program) ([]byte, error) {
	c.bound = nil
	for i := range p.values {
		dst = append(dst, p.literals[i]...)
		from := len(c.scratch)
		if err := c.appendValue(p, &p.values[i]); err != nil {
			return dst, err
		}
		dst = append(dst, c.scratch[from:]...)
		c.scratch = c.scratch[:from]
	}
	return append(dst, p.literals[len(p.values)]...), nil
}

// appendValue appends one value to scratch, escaped for its place.
func (c *Composer) appendValue(p *program, s *substitution) error {
	if s.island != nil {
		return c.interpret(p, s.island)
	}
	value := c.fetch(s.source)
	if len(value) == 0 && !s.optional {
		return &MissingFieldError{Setting: p.field, Field: s.name}
	}
	if len(s.steps) > 0 && s.steps[0].fallback && c.isFalse(s.source) {
		value = nil // Liquid's default stands in for false, too
	}
	for i := range s.steps {
		c.other = s.steps[i].run(c.other[:0], value)
		c.value, c.other = c.other, c.value
		value = c.value
	}
	breaks := 0
	if s.safe {
		c.scratch, breaks = appendSafe(c.scratch, value, p.place)
	} else {
		c.scratch, breaks = appendEscaped(c.scratch, value, p.place)
	}
	c.replaced += breaks
	return nil
}

// fetch is a merge field's text; it may lie in c.value.
func (c *Composer) fetch(from source) []byte {
	switch from {
	case fromCampaign:
		c.value = append(c.value[:0], c.t.opt.Campaign...)
		return c.value
	case fromSeq:
		c.value = strconv.AppendUint(c.value[:0], uint64(c.r.Seq), 10)
		return c.value
	case fromVERP:
		return c.token
	}
	switch v := c.fields.Value(int(from)); v.Kind {
	case String:
		return v.Bytes
	case OwnAddress:
		c.value = c.appendOwnAddress(c.value[:0])
		return c.value
	case JSON:
		if emptyJSON(v.Bytes) {
			return nil
		}
		c.value = appendValueText(c.value[:0], v.Bytes)
		return c.value
	}
	return nil
}

// isFalse reports whether a field is JSON's false, which is not the text "false".
func (c *Composer) isFalse(from source) bool {
	if from < 0 {
		return false
	}
	v := c.fields.Value(int(from))
	return v.Kind == JSON && string(bytes.TrimSpace(v.Bytes)) == "false"
}

func (c *Composer) appendOwnAddress(dst []byte) []byte {
	dst = append(append(dst, c.r.Local...), '@')
	return append(dst, c.r.Domain...)
}

// interpret appends what an island gives to scratch.
func (c *Composer) interpret(p *program, is *island) error {
	if c.interpreter == nil {
		c.interpreter = newInterpreter(&c.meter)
		c.parsed = map[*island]render.Node{}
		c.vars = map[string]any{}
	}
	node := c.parsed[is]
	if node == nil {
		var err error
		if node, err = c.interpreter.parse(is.source); err != nil {
			return &RenderError{p.field, err}
		}
		c.parsed[is] = node
	}
	if c.bound != p {
		c.bindAll(p)
	}
	var err error
	c.value, err = c.interpreter.run(c.value[:0], node, c.vars)
	switch {
	case err != nil && c.meter.missing != "":
		return &MissingFieldError{Setting: p.field, Field: c.meter.missing}
	case err != nil:
		return &RenderError{p.field, err}
	}
	c.replaced += c.meter.breaks
	c.meter.breaks = 0
	// Values have their form; the template's own text is put in order here.
	c.scratch, _ = appendSafe(c.scratch, c.value, p.place)
	return nil
}

// bindAll begins a text: its fields are bound, what another assigned is gone,
// and the meter is full again.
func (c *Composer) bindAll(p *program) {
	c.bound = p
	c.meter.reset()
	c.interpreter.now = c.r.Date.UTC()
	clear(c.vars)
	c.vars["blank"], c.vars["empty"] = "", ""
	for name, from := range p.bindings {
		c.vars[name] = c.bind(from)
	}
	if p.own {
		c.vars[reservedName] = map[string]any{"campaign": c.t.opt.Campaign, "seq": int(c.r.Seq), "verp": string(c.token)}
	}
}

// bind is a merge field's Liquid value.
func (c *Composer) bind(from source) any {
	switch v := c.fields.Value(int(from)); v.Kind {
	case String:
		return string(v.Bytes)
	case OwnAddress:
		return string(c.appendOwnAddress(nil))
	case JSON:
		return decodeJSON(v.Bytes)
	}
	return nil
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
