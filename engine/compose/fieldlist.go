package compose

import (
	"strings"

	"github.com/penstock-mail/penstock/engine/address"
)

// ownHeaders are header fields that compose writes, or that have no place in a
// bulk message, and why a campaign cannot give them.
var ownHeaders = map[string]string{
	"from": "use from", "reply-to": "use reply_to", "subject": "use subject",
	"to": "it is the recipient", "cc": "each message has one recipient", "bcc": "each message has one recipient",
	"date": "it is written per recipient", "message-id": "it is written per recipient",
	"mime-version": "it is written by us", "return-path": "use envelope_from",
	"received": "it is written by servers", "dkim-signature": "signing is a setting of its own",
	"list-unsubscribe": "use list_unsubscribe", "list-unsubscribe-post": "use list_unsubscribe",
}

// buildHeaders compiles the header fields. ready is the ready-made message, or nil.
func (c *compiler) buildHeaders(t *Template, ready *readyMade) {
	content := c.content
	if content.From.Given() {
		t.from = c.compileMailbox(content.From, "from")
	} else if ready != nil {
		t.from = ready.from
	}
	if t.from == nil && !content.From.Given() && (ready == nil || !ready.broken) {
		c.at(content.Message, 0, "from", "is missing")
	}
	c.envelopeFrom(t)
	add := func(h headerOp) { t.headers = append(t.headers, h) }
	has := ready.has
	add(headerOp{kind: mailboxField, name: "From", box: t.from})
	if !has("to") {
		add(headerOp{kind: toField, name: "To"})
	}
	if content.ReplyTo.Given() {
		add(headerOp{kind: mailboxField, name: "Reply-To", box: c.compileMailbox(content.ReplyTo, "reply_to")})
	}
	switch {
	case content.Subject.Given():
		if strings.TrimSpace(content.Subject.Source) == "" {
			c.warnAt(content.Subject, 0, "subject", "is empty")
		}
		add(headerOp{kind: unstructuredField, name: "Subject", program: c.compileText(content.Subject, "subject", inHeader)})
	case !has("subject"):
		c.warnAt(content.From, 0, "subject", "is missing")
	}
	if !has("date") {
		add(headerOp{kind: dateField, name: "Date"})
	}
	if !has("message-id") {
		add(headerOp{kind: messageIDField, name: "Message-ID"})
	}
	c.unsubscribe(t, ready)
	for _, h := range content.Headers {
		if c.checkHeaderName(h) {
			add(c.customHeader(h.Name, h.Value, "headers."+h.Name))
		}
	}
	if ready != nil {
		t.headers = append(t.headers, ready.headers...)
	}
	add(headerOp{kind: fixedFields, fixed: []byte("MIME-Version: 1.0\r\n")})
	c.fixHeaders(t)
}

// customHeader compiles one field that is not among ours.
func (c *compiler) customHeader(name string, value Text, field string) headerOp {
	if strings.EqualFold(name, "sender") {
		return headerOp{kind: mailboxField, name: name, box: c.compileMailbox(value, field)}
	}
	return headerOp{kind: unstructuredField, name: name, program: c.compileText(value, field, inHeader)}
}

// checkHeaderName reports a name that cannot be or is not the campaign's to give.
func (c *compiler) checkHeaderName(h Header) bool {
	field := "headers." + h.Name
	if !validFieldName(h.Name) {
		c.at(h.Value, 0, "headers", "%q cannot be the name of a header field", h.Name)
		return false
	}
	lower := strings.ToLower(h.Name)
	why, ours := ownHeaders[lower]
	switch {
	case ours:
		c.at(h.Value, 0, field, "is not yours to set: %s", why)
	case strings.HasPrefix(lower, "content-"):
		c.at(h.Value, 0, field, "is not yours to set: it is written by us")
	case strings.HasPrefix(lower, "resent-"), strings.HasPrefix(lower, "arc-"):
		c.at(h.Value, 0, field, "is not yours to set: it belongs to those who pass a message on")
	default:
		return true
	}
	return false
}

// validFieldName is RFC 5322 3.6.8 ftext, with a length that leaves room for a value.
func validFieldName(s string) bool {
	if len(s) == 0 || len(s) > 70 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == ':' {
			return false
		}
	}
	return true
}

// envelopeFrom compiles the envelope's from address.
func (c *compiler) envelopeFrom(t *Template) {
	given := c.content.EnvelopeFrom
	if !given.Given() {
		return
	}
	trimmed := strings.TrimSpace(given.Source)
	if trimmed == "<>" {
		t.nullSender = true
		return
	}
	display, _ := splitMailbox(given)
	if display.Source != "" {
		c.at(given, 0, "envelope_from", "is an address without a name")
		return
	}
	t.envelope = c.compileMailbox(given, "envelope_from")
}

// unsubscribe compiles List-Unsubscribe (RFC 2369) and List-Unsubscribe-Post
// (RFC 8058 3.1).
func (c *compiler) unsubscribe(t *Template, ready *readyMade) {
	url, mailto := c.content.UnsubscribeURL, c.content.UnsubscribeMailto
	if !url.Given() && !mailto.Given() {
		if !ready.has("list-unsubscribe") {
			c.warnAt(c.content.From, 0, "list_unsubscribe", "is missing: large receivers want bulk mail to have it (RFC 8058)")
		}
		return
	}
	op := headerOp{kind: unsubscribeFields}
	if url.Given() {
		src := strings.ToLower(strings.TrimSpace(url.Source))
		switch {
		case strings.HasPrefix(src, "https://"), strings.HasPrefix(src, "{"):
		case strings.HasPrefix(src, "http://"):
			c.warnAt(url, 0, "list_unsubscribe.url", "is not https, so one-click unsubscribing (RFC 8058) is not offered")
		default:
			c.at(url, 0, "list_unsubscribe.url", "%q does not begin with https://", url.Source)
		}
		op.url = c.compileURL(url, "list_unsubscribe.url")
	} else {
		c.warnAt(mailto, 0, "list_unsubscribe.url", "is missing: one-click unsubscribing (RFC 8058) needs an https address")
	}
	if mailto.Given() {
		op.mailto = c.compileURL(mailto, "list_unsubscribe.mailto")
		if s, ok := op.mailto.constant(); ok {
			at, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(s), "mailto:"), "?")
			if _, _, err := address.Parse(at); err != nil {
				c.at(mailto, 0, "list_unsubscribe.mailto", "%q %v", at, err)
			}
		}
	}
	t.headers = append(t.headers, op)
}

// compileURL compiles a URL; a value that it begins with is one itself, and
// not to be encoded.
func (c *compiler) compileURL(t Text, field string) *program {
	p := c.compileText(t, field, inURL)
	if p == nil {
		return nil
	}
	if strings.ContainsAny(strings.Join(p.literals, ""), "<> \t\"") {
		c.at(t, 0, field, "a URL cannot hold spaces, quotes or angle brackets")
	}
	if len(p.values) > 0 && p.literals[0] == "" {
		p.values[0].safe = true
	}
	return p
}

// fixHeaders writes the fields that are the same for all once and joins them.
func (c *compiler) fixHeaders(t *Template) {
	if c.Err() != nil {
		return
	}
	var out []headerOp
	for _, h := range t.headers {
		switch h.kind {
		case unstructuredField:
			if s, ok := h.program.constant(); ok {
				h = headerOp{kind: fixedFields, fixed: appendUnstructured(nil, h.name, []byte(s))}
			}
		case mailboxField:
			name, fixedName := "", h.box.display == nil
			if !fixedName {
				name, fixedName = h.box.display.constant()
			}
			if fixedName && h.box.fixedAddress != "" && !h.box.utf8 {
				h = headerOp{kind: fixedFields, fixed: appendMailbox(nil, h.name, []byte(name), h.box.fixedAddress)}
			}
		}
		if n := len(out); n > 0 && h.kind == fixedFields && out[n-1].kind == fixedFields {
			out[n-1].fixed = append(out[n-1].fixed, h.fixed...)
			continue
		}
		out = append(out, h)
	}
	t.headers = out
}
