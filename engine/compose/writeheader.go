package compose

import (
	"bytes"
	"errors"
	"time"
)

// writeHeader writes the header block with the empty line behind it, and
// reports whether an address in it needs SMTPUTF8.
func (c *Composer) writeHeader() (utf8 bool, err error) {
	for i := range c.t.headers {
		h := &c.t.headers[i]
		switch h.kind {
		case fixedFields:
			c.out = append(c.out, h.fixed...)
		case unstructuredField:
			if c.line, err = c.appendProgram(c.line[:0], h.program); err != nil {
				return utf8, err
			}
			c.out = appendUnstructured(c.out, h.name, c.line)
		case mailboxField:
			needs, err := c.writeMailbox(h)
			if err != nil {
				return utf8, err
			}
			utf8 = utf8 || needs
		case toField:
			c.out = append(append(c.out, h.name...), ": "...)
			c.out = c.appendOwnAddress(c.out)
			c.out = append(c.out, "\r\n"...)
			utf8 = utf8 || !isASCII(c.r.Local)
		case dateField:
			c.writeDate()
		case messageIDField:
			if err := c.writeMessageID(); err != nil {
				return utf8, err
			}
		case unsubscribeFields:
			if err := c.writeUnsubscribe(h); err != nil {
				return utf8, err
			}
		}
	}
	for i := range c.t.layout.header {
		o := &c.t.layout.header[i]
		if o.kind == writeFixed {
			// Always into the header's own part.
			c.out = append(c.out, o.fixed.bytes...)
			continue
		}
		c.perform(o)
	}
	c.out = append(c.out, "\r\n"...)
	c.closeSpan()
	return utf8, nil
}

func (c *Composer) writeMailbox(h *headerOp) (utf8 bool, err error) {
	c.line = c.line[:0]
	if h.box.display != nil {
		if c.line, err = c.appendProgram(c.line, h.box.display); err != nil {
			return false, err
		}
	}
	n := len(c.line)
	if c.line, utf8, err = c.appendAddress(c.line, h.box); err != nil {
		return false, err
	}
	c.out = appendMailbox(c.out, h.name, c.line[:n], c.line[n:])
	return utf8, nil
}

// writeDate writes RFC 5322 3.3, formatted once per second of difference.
func (c *Composer) writeDate() {
	if s := c.r.Date.Unix(); s != c.second {
		c.second = s
		c.date = c.r.Date.UTC().AppendFormat(c.date[:0], time.RFC1123Z)
	}
	c.out = append(c.out, "Date: "...)
	c.out = append(c.out, c.date...)
	c.out = append(c.out, "\r\n"...)
}

// writeMessageID writes an identifier that nobody else makes, the same at every
// attempt, in the From address's domain (RFC 5322 3.6.4).
func (c *Composer) writeMessageID() error {
	domain := c.t.from.domain
	if domain == "" {
		var err error
		if c.line, _, err = c.appendAddress(c.line[:0], c.t.from); err != nil {
			return err
		}
		domain = string(c.line[bytes.LastIndexByte(c.line, '@')+1:])
	}
	c.out = append(c.out, "Message-ID: <"...)
	c.out = append(append(c.out, c.messageID...), '@')
	c.out = append(append(c.out, domain...), ">\r\n"...)
	return nil
}

var (
	errNotURL    = errors.New("is neither an https nor an http URL")
	errURLLength = errors.New("is too long for a header line")
	errNotMailto = errors.New("is not a mailto URL")
)

// writeUnsubscribe writes RFC 2369 3.2 and, with https, RFC 8058 3.1.
func (c *Composer) writeUnsubscribe(h *headerOp) (err error) {
	c.out = append(c.out, "List-Unsubscribe: "...)
	oneClick := false
	if h.url != nil {
		if c.line, err = c.appendProgram(c.line[:0], h.url); err != nil {
			return err
		}
		oneClick = hasFoldedPrefix(c.line, "https://")
		if !oneClick && !hasFoldedPrefix(c.line, "http://") {
			return &AddressError{h.url.field, string(c.line), errNotURL}
		}
		if err := c.writeAngled(h.url.field); err != nil {
			return err
		}
	}
	if h.mailto != nil {
		if h.url != nil {
			c.out = append(c.out, ",\r\n "...)
		}
		if c.line, err = c.appendProgram(c.line[:0], h.mailto); err != nil {
			return err
		}
		if !hasFoldedPrefix(c.line, "mailto:") {
			c.line, c.other = append(append(c.other[:0], "mailto:"...), c.line...), c.line
		}
		if bytes.IndexByte(c.line, '@') < 0 {
			return &AddressError{h.mailto.field, string(c.line), errNotMailto}
		}
		if err := c.writeAngled(h.mailto.field); err != nil {
			return err
		}
	}
	c.out = append(c.out, "\r\n"...)
	if oneClick {
		c.out = append(c.out, "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"...)
	}
	return nil
}

var errURLOctets = errors.New("holds octets that cannot be in a URL")

// writeAngled writes c.line in angle brackets.
func (c *Composer) writeAngled(field string) error {
	if len(c.line) > maxLine-len("List-Unsubscribe: <>,") {
		return &AddressError{field, string(c.line), errURLLength}
	}
	for _, b := range c.line {
		if b <= ' ' || b >= 0x7f || b == '<' || b == '>' || b == '"' {
			return &AddressError{field, string(c.line), errURLOctets}
		}
	}
	c.out = append(append(append(c.out, '<'), c.line...), '>')
	return nil
}

func hasFoldedPrefix(s []byte, prefix string) bool {
	return len(s) >= len(prefix) && bytes.EqualFold(s[:len(prefix)], []byte(prefix))
}
