package compose

import (
	"bytes"
	"strconv"

	"github.com/osteele/liquid/render"
)

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
