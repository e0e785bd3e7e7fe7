package compose

import (
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"slices"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// readyMade is a compiled ready-made message. nil stands for "none".
type readyMade struct {
	root    *entity
	from    *mailbox
	headers []headerOp
	names   map[string]bool
	// broken: it could not be read; that was reported.
	broken bool
}

func (r *readyMade) has(lower string) bool { return r != nil && r.names[lower] }

// dropped are fields of a ready-made message that do not go out, and why; ""
// goes without saying.
var dropped = map[string]string{
	"bcc":            "each message has one recipient",
	"return-path":    "it is written by the receiver; use envelope_from",
	"dkim-signature": "it would not fit the message any more",
	"mime-version":   "",
}

// rawField is a header field of a ready-made message.
type rawField struct {
	name string
	// value is unfolded; raw is the field as it stands, ending in CRLF.
	value, raw string
	at         int // offset of the value in the message's source
}

// parseMessage compiles Content.Message.
func (c *compiler) parseMessage(t *Template) *readyMade {
	r := &readyMade{names: map[string]bool{}}
	src := c.content.Message
	header := withoutBOM(src.Source)
	if !c.checkUTF8(src, "message") {
		r.broken = true
		return r
	}
	fields, body, ok := c.splitHeader(header, len(src.Source)-len(header))
	if !ok {
		r.broken = true
		return r
	}
	var contentFields []rawField
	for _, f := range fields {
		lower := strings.ToLower(f.name)
		if strings.HasPrefix(lower, "content-") {
			contentFields = append(contentFields, f)
			continue
		}
		if why, drop := dropped[lower]; drop {
			if why != "" {
				c.warnAt(src, f.at, "message", "the field %s is left out: %s", f.name, why)
			}
			continue
		}
		c.readyField(r, f, lower)
	}
	if !slices.ContainsFunc(contentFields, func(f rawField) bool { return strings.EqualFold(f.name, "content-type") }) {
		// RFC 2045 5.2: what nothing is said of is plain text.
		const plain = "text/plain; charset=utf-8"
		contentFields = append(contentFields, rawField{name: "Content-Type", value: plain, raw: "Content-Type: " + plain + "\r\n", at: body.at})
	}
	r.root = c.parseEntity(t, contentFields, body, 0)
	if r.root == nil {
		r.broken = true
	}
	return r
}

// readyField takes over one header field.
func (c *compiler) readyField(r *readyMade, f rawField, lower string) {
	content, src := c.content, c.content.Message
	templated := hasTemplate(f.value)
	decoded := f.value
	if strings.Contains(f.value, "=?") {
		if s, err := new(mime.WordDecoder).DecodeHeader(f.value); err == nil {
			decoded, templated = s, templated || hasTemplate(s)
		}
	}
	text := src.part(f.at, f.at)
	text.Source = decoded
	text.File = src.File
	switch lower {
	case "from":
		// The settings go before what the message says, and From must be
		// understood in any case: Message-ID and envelope hang on it.
		if !content.From.Given() {
			r.from = c.compileMailbox(text, "message.From")
			r.broken = r.broken || r.from == nil
		}
		return
	case "reply-to":
		if content.ReplyTo.Given() {
			return
		}
	case "subject":
		if content.Subject.Given() {
			return
		}
	case "message-id":
		if !templated {
			c.warnAt(src, f.at, "message", "the Message-ID is replaced: receivers drop messages that have the same one")
			return
		}
	case "list-unsubscribe", "list-unsubscribe-post":
		if content.UnsubscribeURL.Given() || content.UnsubscribeMailto.Given() {
			return
		}
	}
	for _, h := range content.Headers {
		if strings.EqualFold(h.Name, f.name) {
			return
		}
	}
	if r.names[lower] && lower != "received" && (lower == "to" || lower == "subject" || lower == "date" || lower == "reply-to") {
		c.at(src, f.at, "message", "the field %s occurs twice", f.name) // RFC 5322 3.6
		return
	}
	r.names[lower] = true
	switch {
	case templated && (lower == "to" || lower == "reply-to" || lower == "sender" || lower == "cc"):
		r.headers = append(r.headers, headerOp{kind: mailboxField, name: f.name, box: c.compileMailbox(text, "message."+f.name)})
	case templated:
		r.headers = append(r.headers, headerOp{kind: unstructuredField, name: f.name, program: c.compileText(text, "message."+f.name, inHeader)})
	case c.checkRawField(f):
		r.headers = append(r.headers, headerOp{kind: fixedFields, fixed: []byte(f.raw)})
	}
}

// checkRawField reports a field that cannot go out as it stands.
func (c *compiler) checkRawField(f rawField) bool {
	switch {
	case !isASCII(f.raw):
		c.at(c.content.Message, f.at, "message", "the field %s is not ASCII: encode it as RFC 2047 says", f.name)
	case strings.ContainsFunc(strings.ReplaceAll(f.raw, "\r\n", ""), func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		c.at(c.content.Message, f.at, "message", "the field %s holds control characters", f.name)
	case longestInside(f.raw) > maxLine:
		c.at(c.content.Message, f.at, "message", "the field %s has a line of more than %d octets", f.name, maxLine)
	default:
		return true
	}
	return false
}

func hasTemplate(s string) bool { return strings.Contains(s, "{{") || strings.Contains(s, "{%") }

// splitHeader takes a header block apart; at is its offset in the message.
// body is what follows the empty line, with its offset.
func (c *compiler) splitHeader(s string, at int) (fields []rawField, body located, ok bool) {
	pos := 0
	for pos < len(s) {
		end, next := lineEnd(s, pos)
		line := s[pos:end]
		if line == "" {
			pos = next
			return fields, located{s[pos:], at + pos}, true
		}
		colon := strings.IndexByte(line, ':')
		if colon < 0 || !validFieldName(strings.TrimRight(line[:max(colon, 0)], " \t")) {
			c.at(c.content.Message, at+pos, "message", "%q is no header field", cut(line, 60))
			return nil, located{}, false
		}
		f := rawField{name: strings.TrimRight(line[:colon], " \t")}
		value := line[colon+1:]
		lead := len(value) - len(strings.TrimLeft(value, " \t"))
		f.at = at + pos + colon + 1 + lead
		f.raw = f.name + ":" + value + "\r\n"
		pos = next
		for pos < len(s) && (s[pos] == ' ' || s[pos] == '\t') {
			end, next = lineEnd(s, pos)
			if strings.Trim(s[pos:end], " \t") != "" { // RFC 5322 3.2.2: no empty folds
				value += s[pos:end]
				f.raw += s[pos:end] + "\r\n"
			}
			pos = next
		}
		f.value = strings.TrimSpace(value)
		fields = append(fields, f)
	}
	return fields, located{"", at + len(s)}, true
}

// located is a stretch of the message's source with its offset.
type located struct {
	s  string
	at int
}

// lineEnd is where the line at pos ends, and where the next begins.
func lineEnd(s string, pos int) (end, next int) {
	i := strings.IndexByte(s[pos:], '\n')
	if i < 0 {
		return len(s), len(s)
	}
	end, next = pos+i, pos+i+1
	if end > pos && s[end-1] == '\r' {
		end--
	}
	return end, next
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}

// decodeBody undoes a Content-Transfer-Encoding.
func decodeBody(s, encoding string) (string, bool) {
	var r io.Reader
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "7bit", "8bit", "binary":
		return s, true
	case "quoted-printable":
		r = quotedprintable.NewReader(strings.NewReader(s))
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, strings.NewReader(strings.NewReplacer(" ", "", "\t", "").Replace(s)))
	default:
		return "", false
	}
	b, err := io.ReadAll(r)
	return string(b), err == nil
}

// toUTF8 converts text from a charset.
func toUTF8(s, charset string) (string, bool) {
	switch strings.ToLower(charset) {
	case "", "us-ascii", "utf-8":
		return s, true
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		return "", false
	}
	out, err := e.NewDecoder().String(s)
	return out, err == nil
}
