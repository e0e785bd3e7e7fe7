package compose

import (
	"strings"

	"github.com/penstock-mail/penstock/engine/address"
)

// mailbox is a compiled `Display Name <local@domain>`. Its structure is the
// template's: values can fill in the name or the address, never add to it.
type mailbox struct {
	field   string // the setting
	display *program
	address *program
	// fixedAddress and domain are set when the address is the same for all.
	fixedAddress, domain string
	utf8                 bool
}

// compileMailbox compiles an address setting. What is wrong is reported.
func (c *compiler) compileMailbox(t Text, field string) *mailbox {
	display, addr := splitMailbox(t)
	m := &mailbox{field: field}
	before := len(c.List)
	if display.Source != "" {
		m.display = c.compileText(display, field, inHeader)
	}
	m.address = c.compileText(addr, field, inHeader)
	if c.mistakesSince(before) {
		return nil
	}
	if s, ok := m.address.constant(); ok {
		local, domain, err := address.Parse(s)
		if err != nil {
			c.at(addr, 0, field, "%q %v", strings.TrimSpace(s), err)
			return nil
		}
		m.fixedAddress, m.domain, m.utf8 = local+"@"+domain, domain, !isASCII(local)
	}
	return m
}

// splitMailbox takes a mailbox apart where its own text has the angle brackets:
// those within {{ }} are none.
func splitMailbox(t Text) (display, addr Text) {
	src := t.Source
	trimmed := strings.TrimRight(src, " \t\r\n")
	open := -1
	for i := 0; i < len(trimmed); i++ {
		switch {
		case strings.HasPrefix(trimmed[i:], "{{"), strings.HasPrefix(trimmed[i:], "{%"):
			closer := "}}"
			if trimmed[i+1] == '%' {
				closer = "%}"
			}
			if end := strings.Index(trimmed[i+2:], closer); end >= 0 {
				i += 2 + end + 1
			}
		case trimmed[i] == '<':
			open = i
		}
	}
	if open < 0 || !strings.HasSuffix(trimmed, ">") {
		return t.part(0, 0), t.part(0, len(src))
	}
	name := strings.TrimSpace(src[:open])
	at := strings.Index(src, name)
	display = t.part(at, at+len(name))
	if len(name) >= 2 && name[0] == '"' && name[len(name)-1] == '"' {
		display = t.part(at+1, at+len(name)-1)
		display.Source = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(display.Source)
	}
	return display, t.part(open+1, len(trimmed)-1)
}

// part is a stretch of a text, with its own place.
func (t Text) part(from, to int) Text {
	p := t
	p.Line, p.Column = t.place(from)
	p.Source = t.Source[from:to]
	return p
}

// appendAddress appends the mailbox's address for the message in work.
func (c *Composer) appendAddress(dst []byte, m *mailbox) (_ []byte, utf8 bool, err error) {
	if m.fixedAddress != "" {
		return append(dst, m.fixedAddress...), m.utf8, nil
	}
	start := len(dst)
	dst, err = c.appendProgram(dst, m.address)
	if err != nil {
		return dst, false, err
	}
	parsed, err := c.parser.Parse(dst[start:])
	if err != nil {
		return dst, false, &AddressError{Field: m.field, Address: string(dst[start:]), Err: err}
	}
	// The parser's result may lie in what is overwritten here.
	c.address = append(append(append(c.address[:0], parsed.Local...), '@'), parsed.Domain...)
	return append(dst[:start], c.address...), !isASCII(parsed.Local), nil
}
