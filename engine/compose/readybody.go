package compose

import (
	"mime"
	"strings"
	"unicode/utf8"
)

// Bounds of a ready-made message's tree.
const (
	maxParts = 200
	maxDepth = 20
)

// parseEntity compiles a part of a ready-made message: text with templates in
// it is decoded, compiled and encoded again; everything else stays octet for
// octet as it is, but for line ends, as far as the wire allows.
func (c *compiler) parseEntity(t *Template, fields []rawField, body located, depth int) *entity {
	src := c.content.Message
	kind, params := "text/plain", map[string]string{}
	encoding, typeAt := "", body.at
	for _, f := range fields {
		if hasTemplate(f.value) {
			c.at(src, f.at, "message", "the field %s of a part cannot hold a template", f.name)
			return nil
		}
		switch strings.ToLower(f.name) {
		case "content-type":
			k, p, err := mime.ParseMediaType(f.value)
			if err != nil {
				c.at(src, f.at, "message", "the content type %q is not understood", cut(f.value, 80))
				return nil
			}
			kind, params, typeAt = k, p, f.at
		case "content-transfer-encoding":
			encoding = f.value
		}
		if !c.checkRawField(f) {
			return nil
		}
	}
	switch {
	case kind == "multipart/signed" || kind == "multipart/encrypted":
		// Any change would break what the sender vouched for.
		return c.opaqueEntity(t, fields, body, "multipart")
	case strings.HasPrefix(kind, "multipart/"):
		return c.parseMultipart(t, kind, params, fields, body, typeAt, depth)
	case strings.HasPrefix(kind, "message/"):
		return c.opaqueEntity(t, fields, body, encoding)
	case strings.HasPrefix(kind, "text/"):
		return c.textLeaf(t, kind, params, fields, body, encoding)
	}
	return c.opaqueEntity(t, fields, body, encoding)
}

// parseMultipart splits RFC 2046 5.1. Preamble and epilogue, which no reader
// shows, are left out.
func (c *compiler) parseMultipart(t *Template, kind string, params map[string]string, fields []rawField, body located, typeAt, depth int) *entity {
	src := c.content.Message
	boundary := params["boundary"]
	if boundary == "" {
		c.at(src, typeAt, "message", "%s lacks its boundary", kind)
		return nil
	}
	if depth >= maxDepth {
		c.at(src, typeAt, "message", "parts are nested deeper than %d", maxDepth)
		return nil
	}
	parts, closed := splitParts(body, "--"+boundary)
	switch {
	case len(parts) == 0:
		c.at(src, typeAt, "message", "%s has no parts", kind)
		return nil
	case len(parts) > maxParts:
		c.at(src, typeAt, "message", "%s has more than %d parts", kind, maxParts)
		return nil
	case !closed:
		c.warnAt(src, typeAt, "message", "%s lacks its end", kind)
	}
	delete(params, "boundary")
	e := container(strings.TrimPrefix(kind, "multipart/"))
	if len(params) > 0 {
		formatted := strings.TrimPrefix(mime.FormatMediaType("x/y", params), "x/y")
		e.params = strings.ReplaceAll(formatted, "; ", ";\r\n ")
		e.params = strings.TrimPrefix(e.params, ";") + ";"
	}
	e.fields = keepFields(fields, "content-type", "content-transfer-encoding")
	for _, p := range parts {
		inner, content, ok := c.splitHeader(p.s, p.at)
		if !ok {
			return nil
		}
		child := c.parseEntity(t, inner, content, depth+1)
		if child == nil {
			return nil
		}
		e.children = append(e.children, child)
	}
	return e
}

// splitParts cuts a multipart body at its delimiter lines. The line end before
// a delimiter belongs to it (RFC 2046 5.1.1).
func splitParts(body located, delimiter string) (parts []located, closed bool) {
	s, start := body.s, -1
	for pos := 0; pos < len(s); {
		end, next := lineEnd(s, pos)
		line := strings.TrimRight(s[pos:end], " \t")
		if line != delimiter && line != delimiter+"--" {
			pos = next
			continue
		}
		if start >= 0 {
			stop := pos
			if stop > start && s[stop-1] == '\n' {
				stop--
				if stop > start && s[stop-1] == '\r' {
					stop--
				}
			}
			parts = append(parts, located{s[start:stop], body.at + start})
		}
		if line != delimiter {
			return parts, true
		}
		start, pos = next, next
	}
	if start >= 0 && start < len(s) {
		parts = append(parts, located{s[start:], body.at + start})
	}
	return parts, false
}

// keepFields writes the fields but those named.
func keepFields(fields []rawField, drop ...string) string {
	var b strings.Builder
next:
	for _, f := range fields {
		for _, d := range drop {
			if strings.EqualFold(f.name, d) {
				continue next
			}
		}
		b.WriteString(f.raw)
	}
	return b.String()
}

// textLeaf compiles a text part: one that has templates, or that may have to be
// encoded for a server that takes seven bits only.
func (c *compiler) textLeaf(t *Template, kind string, params map[string]string, fields []rawField, body located, encoding string) *entity {
	decoded, ok := decodeBody(body.s, encoding)
	if !ok {
		c.at(c.content.Message, body.at, "message", "the part cannot be decoded as %q", encoding)
		return nil
	}
	encoded := decoded != body.s
	utf, known := toUTF8(decoded, params["charset"])
	templated := known && hasTemplate(utf)
	if !templated && (encoded || isASCII(decoded)) {
		return c.opaqueEntity(t, fields, body, encoding)
	}
	if !known {
		c.at(c.content.Message, body.at, "message", "the charset %q is not known", params["charset"])
		return nil
	}
	if !utf8.ValidString(utf) {
		c.at(c.content.Message, body.at, "message", "the part is not valid %s", params["charset"])
		return nil
	}
	text := c.content.Message.part(body.at, body.at)
	if encoded {
		// Lines of the decoded text are not those of the file.
		text.Column = 0
	}
	text.Source = utf
	place := inText
	if kind == "text/html" || kind == "text/xml" {
		place = inHTML
	}
	p := c.compileText(text, "message", place)
	if p == nil {
		return nil
	}
	params["charset"] = "utf-8"
	head := contentType(kind, params)
	if head == "" {
		c.at(c.content.Message, body.at, "message", "the content type of a text part cannot be written")
		return nil
	}
	return textEntity(head+keepFields(fields, "content-type", "content-transfer-encoding"), t.addText(p))
}

// opaqueEntity keeps a part as it is. Octets above 127 or long lines, which not
// every server takes, are encoded where the part's type allows it.
func (c *compiler) opaqueEntity(t *Template, fields []rawField, body located, encoding string) *entity {
	normal, _ := appendSpecial(nil, []byte(body.s), breakOctet, inText)
	e := &entity{fields: keepFields(fields), text: -1, body: normal}
	switch {
	case strings.Contains(body.s, "\x00") || longestInside(string(normal)) > maxLine:
		if encoding == "multipart" {
			c.at(c.content.Message, body.at, "message", "a signed part has lines of more than %d octets or NULs", maxLine)
			return nil
		}
		return c.encodedEntity(fields, body)
	case !isASCII(body.s):
		if encoding != "multipart" {
			return c.encodedEntity(fields, body)
		}
		t.eightBit, e.eight = true, true
	}
	c.opaque = append(c.opaque, normal)
	return e
}

// encodedEntity puts a part into base64.
func (c *compiler) encodedEntity(fields []rawField, body located) *entity {
	return &entity{
		fields: keepFields(fields, "content-transfer-encoding") + "Content-Transfer-Encoding: base64\r\n",
		text:   -1,
		body:   appendBase64Lines(nil, []byte(body.s)),
	}
}
