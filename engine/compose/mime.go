package compose

import (
	"bytes"
	"encoding/base64"
	"mime"
	"path"
	"path/filepath"
	"strings"
)

// entity is a node of the message's MIME tree (RFC 2045 2.4), compiled. Either
// text, or body, or children are set.
type entity struct {
	// fields are its content header fields, each ending in CRLF; for text and
	// containers without Content-Transfer-Encoding.
	fields string
	// text is the index of a text part, -1 if it is none.
	text int
	// body is a fixed body in its final encoding.
	body []byte
	// eight: the body holds octets above 127.
	eight    bool
	children []*entity
	// subtype of a container, such as "related"; params go with it.
	subtype, params string
}

func textEntity(fields string, index int) *entity { return &entity{fields: fields, text: index} }

func container(subtype string, children ...*entity) *entity {
	return &entity{text: -1, subtype: subtype, children: children}
}

// mayBeEight reports whether octets above 127 can be within: a container must
// then say so too (RFC 2045 6.4).
func (e *entity) mayBeEight() bool {
	if e.text >= 0 || e.eight {
		return true
	}
	for _, c := range e.children {
		if c.mayBeEight() {
			return true
		}
	}
	return false
}

// op is one step in writing a message.
type op struct {
	kind  opKind
	fixed fixed
	text  int
}

type opKind uint8

const (
	writeFixed    opKind = iota
	writeEight           // fixed, if any text part goes out as 8bit
	writeEncoding        // the text part's Content-Transfer-Encoding
	writeText            // the text part
)

// layout is the compiled order of a message's MIME part.
type layout struct {
	header, body []op
}

// lay compiles the tree. boundary is the stem of the boundaries.
func (t *Template) lay(root *entity, boundary string) layout {
	w := layoutWriter{template: t, boundary: boundary}
	w.entity(root, 0)
	ops := w.ops
	// The root's fields belong into the message's header.
	return layout{header: t.register(ops[:w.rootFields]), body: t.register(ops[w.rootFields:])}
}

// register joins neighbouring fixed ops and registers what is long.
func (t *Template) register(ops []op) (out []op) {
	for _, o := range ops {
		if n := len(out); n > 0 && o.kind == writeFixed && out[n-1].kind == writeFixed {
			out[n-1].fixed.bytes = append(out[n-1].fixed.bytes[:len(out[n-1].fixed.bytes):len(out[n-1].fixed.bytes)], o.fixed.bytes...)
			continue
		}
		out = append(out, o)
	}
	for i := range out {
		out[i].fixed = t.addFixed(out[i].fixed.bytes)
	}
	return out
}

type layoutWriter struct {
	template   *Template
	boundary   string
	containers int
	ops        []op
	// rootFields is how many ops are the root's header fields.
	rootFields int
}

func (w *layoutWriter) write(s string) {
	w.ops = append(w.ops, op{kind: writeFixed, fixed: fixed{[]byte(s), -1}})
}

func (w *layoutWriter) entity(e *entity, depth int) {
	boundary := ""
	if e.children != nil {
		// No boundary is the beginning of another: all have the same length
		// but for the number, which "_" ends.
		boundary = w.boundary + "_" + string(rune('a'+w.containers%26)) + strings.Repeat("z", w.containers/26) + "_"
		w.containers++
		w.write("Content-Type: multipart/" + e.subtype + ";" + e.params + "\r\n boundary=\"" + boundary + "\"\r\n" + e.fields)
		if e.mayBeEight() {
			w.ops = append(w.ops, op{kind: writeEight, fixed: fixed{[]byte(encodingField[eightBit]), -1}})
		}
	} else {
		w.write(e.fields)
		if e.text >= 0 {
			w.ops = append(w.ops, op{kind: writeEncoding, text: e.text})
		}
	}
	if depth == 0 {
		w.rootFields = len(w.ops)
	} else {
		w.write("\r\n")
	}
	switch {
	case e.children != nil:
		for i, child := range e.children {
			if i > 0 {
				w.write("\r\n")
			}
			w.write("--" + boundary + "\r\n")
			w.entity(child, depth+1)
		}
		w.write("\r\n--" + boundary + "--\r\n")
	case e.text >= 0:
		w.ops = append(w.ops, op{kind: writeText, text: e.text})
	default:
		w.write(string(e.body))
	}
}

// fileEntity is an inline part or an attachment, in base64.
func (c *compiler) fileEntity(p Part, inline bool, field string) *entity {
	place := Text{File: p.File}
	kind := p.ContentType
	if kind == "" {
		kind = mime.TypeByExtension(strings.ToLower(filepath.Ext(p.File)))
	}
	if kind == "" {
		kind = mime.TypeByExtension(strings.ToLower(path.Ext(p.Name)))
	}
	if kind == "" {
		kind = "application/octet-stream"
	}
	mediaType, params, err := mime.ParseMediaType(kind)
	if err != nil || !isASCII(kind) || strings.HasPrefix(mediaType, "multipart/") || strings.HasPrefix(mediaType, "message/") {
		c.at(place, 0, field, "%q cannot be the content type of a file", kind)
		return nil
	}
	typeField := contentType(mediaType, params)
	if typeField == "" {
		c.at(place, 0, field, "%q cannot be the content type of a file", kind)
		return nil
	}
	name := path.Base(filepath.ToSlash(p.Name))
	if p.Name == "" || strings.ContainsFunc(p.Name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }) {
		c.at(place, 0, field, "%q cannot be a file's name", p.Name)
		return nil
	}
	var b strings.Builder
	b.WriteString(typeField)
	b.WriteString("Content-Transfer-Encoding: base64\r\n")
	if inline {
		if strings.ContainsFunc(p.Name, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("<>()\\\",:;[]", r) }) {
			c.at(place, 0, field, "%q cannot be used as cid: letters, digits and . _ - @ only", p.Name)
			return nil
		}
		b.WriteString("Content-ID: <" + p.Name + ">\r\n")
		b.WriteString("Content-Disposition: inline" + filenameParam(path.Base(filepath.ToSlash(p.File))) + "\r\n")
	} else {
		b.WriteString("Content-Disposition: attachment" + filenameParam(name) + "\r\n")
	}
	return &entity{fields: b.String(), text: -1, body: appendBase64Lines(nil, p.Bytes)}
}

// contentType is the Content-Type field, "" where it cannot be written.
func contentType(kind string, params map[string]string) string {
	s := mime.FormatMediaType(kind, params)
	if s == "" {
		return ""
	}
	if s = "Content-Type: " + s; len(s) > foldAt {
		s = strings.ReplaceAll(s, "; ", ";\r\n ")
	}
	if longestInside(s) > maxLine {
		return ""
	}
	return s + "\r\n"
}

// filenameParam is the filename parameter, in the form of RFC 2231 where it is
// not ASCII; "" for a file without a name.
func filenameParam(name string) string {
	const head = "x/y; "
	s := strings.TrimPrefix(mime.FormatMediaType("x/y", map[string]string{"filename": name}), head)
	if name == "." || name == "" || s == "" || len(s) > maxLine-2 {
		return ""
	}
	return ";\r\n " + s
}

// appendBase64Lines encodes in lines of 76 (RFC 2045 6.8), without a line break
// behind the last: the boundary brings it.
func appendBase64Lines(dst, raw []byte) []byte {
	const line = 76 / 4 * 3
	for len(raw) > line {
		dst = append(base64.StdEncoding.AppendEncode(dst, raw[:line]), "\r\n"...)
		raw = raw[line:]
	}
	return base64.StdEncoding.AppendEncode(dst, raw)
}

// chooseBoundary derives the boundaries' stem from the secret, so that nobody
// who writes values can know it, and makes sure that no fixed text holds it.
func (c *compiler) chooseBoundary(t *Template, k *keyed) string {
	for round := 'a'; ; round++ {
		sum := k.text("boundary " + string(round) + " " + c.opt.Campaign)
		stem := boundaryMark + lowerBase32.EncodeToString(sum[:15])
		if !c.occurs(t, stem) {
			return stem
		}
	}
}

// occurs reports whether fixed text holds the stem. Text whose end could be
// completed to it by a value is marked to be encoded always.
func (c *compiler) occurs(t *Template, stem string) bool {
	for i := range t.texts {
		part := &t.texts[i]
		for _, p := range part.pieces {
			for s := p.text.bytes; ; {
				at := bytes.Index(s, []byte(boundaryMark))
				if at < 0 {
					break
				}
				s = s[at:]
				if bytes.HasPrefix(s, []byte(stem)) {
					return true
				}
				if strings.HasPrefix(stem, string(s)) {
					part.encoded = true
				}
				s = s[len(boundaryMark):]
			}
		}
	}
	for _, b := range c.opaque {
		if bytes.Contains(b, []byte(stem)) {
			return true
		}
	}
	return false
}
