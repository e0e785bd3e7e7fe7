package campaign

import (
	"mime"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/penstock-mail/penstock/engine/compose"
	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/problem"
)

// Bounds of the files that go into messages, in octets.
const (
	// MaxTemplate is the largest html, text or message file.
	MaxTemplate = 10 << 20
	// MaxAttached is the largest sum of inline parts and attachments.
	MaxAttached = 50 << 20
)

// Read reads the campaign file at path and the files it names, but for the
// recipients, which are only looked at. The Campaign is usable only if the
// problems hold no mistake; it is never nil.
func Read(path string) (*Campaign, problem.List) {
	return read(document.Read(path), nil)
}

// Parse is Read for a campaign file that is in memory and names files that need
// not lie on disk; name stands for it in problems. Suppression lists are
// Campaign.Suppress, and DKIM keys keep the names that they have in the file.
func Parse(name string, source []byte, files Files) (*Campaign, problem.List) {
	return read(document.Parse(name, source), files)
}

func read(doc *document.Document, files Files) (*Campaign, problem.List) {
	r := reading{
		doc: doc, files: files,
		campaign: &Campaign{Path: doc.File, AddressField: "email", Settings: Settings{Priority: DefaultPriority, Weight: DefaultWeight}},
	}
	if m, ok := r.doc.Root().Mapping(); ok && r.doc.Problems.Err() == nil {
		r.read(m)
		m.Close()
	}
	r.doc.Problems.Sort()
	return r.campaign, r.doc.Problems
}

type reading struct {
	doc      *document.Document
	campaign *Campaign
	files    Files // nil: on disk, relative to the campaign file
	attached int64 // octets of parts so far
}

func (r *reading) read(m *document.Mapping) {
	if n := m.Take("id"); n == nil {
		r.missing("id", "give the campaign a name of its own, such as spring-2026")
	} else if n.Word(&r.campaign.ID) && !validID(r.campaign.ID) {
		n.Problem("is %q, but must be 1 to 64 letters, digits, dots, hyphens or underscores, beginning with a letter or digit", r.campaign.ID)
	}
	r.readContent(m)
	r.readRecipients(m)
	r.readSettings(m)
}

// missing reports a key that must be there.
func (r *reading) missing(key, advice string) {
	r.doc.Problems.Add(r.doc.File, 0, 0, key, "is missing: %s", advice)
}

func validID(id string) bool {
	if len(id) > 64 {
		return false
	}
	for i, c := range []byte(id) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '-' && c != '_') {
			return false
		}
	}
	return id != ""
}

func (r *reading) readContent(m *document.Mapping) {
	c := &r.campaign.Content
	if n := m.Take("from"); n == nil {
		r.missing("from", `such as "Acme News <news@acme.example>"`)
	} else {
		headerText(n, &c.From)
	}
	for _, t := range []struct {
		key string
		dst *compose.Text
	}{{"reply_to", &c.ReplyTo}, {"envelope_from", &c.EnvelopeFrom}} {
		if n := m.Take(t.key); n != nil {
			headerText(n, t.dst)
		}
	}
	r.readBody(m)
	if n := m.Take("headers"); n != nil {
		headers, _ := n.Mapping()
		for _, e := range entries(headers) {
			h := compose.Header{Name: e.Key}
			if headerText(e.Value, &h.Value) {
				c.Headers = append(c.Headers, h)
			}
		}
	}
	if n := m.Take("list_unsubscribe"); n != nil {
		if u, ok := n.Mapping(); ok {
			if url := u.Take("url"); url != nil {
				headerText(url, &c.UnsubscribeURL)
			}
			if mailto := u.Take("mailto"); mailto != nil {
				headerText(mailto, &c.UnsubscribeMailto)
			}
			u.Close()
		}
	}
	if n := m.Take("on_missing"); n != nil {
		word := ""
		if n.Choice(&word, "error", "empty") && word == "empty" {
			c.OnMissing = compose.MissingEmpty
		}
	}
}

// readBody reads what the message says: a ready-made one, or its parts.
func (r *reading) readBody(m *document.Mapping) {
	c := &r.campaign.Content
	message, subject := m.Take("message"), m.Take("subject")
	html, text := m.Take("html"), m.Take("text")
	inline, attachments := m.Take("inline"), m.Take("attachments")
	if message != nil {
		for key, n := range map[string]*document.Node{"subject": subject, "html": html, "text": text, "inline": inline, "attachments": attachments} {
			if n != nil {
				n.Problem("cannot be given together with message, which has its own %s", key)
			}
		}
		r.template(message, &c.Message)
		return
	}
	if subject == nil {
		r.missing("subject", "give the message a subject")
	} else {
		headerText(subject, &c.Subject)
	}
	if html == nil && text == nil {
		r.missing("html", "give html, text or both, or a ready-made message")
	}
	if html != nil {
		r.template(html, &c.HTML)
	}
	if text != nil {
		r.template(text, &c.Text)
	}
	if inline != nil {
		if html == nil {
			inline.Problem("needs html that shows it")
		}
		parts, _ := inline.Mapping()
		for _, e := range entries(parts) {
			r.part(e.Value, e.Key, &c.Inline)
		}
	}
	if attachments != nil {
		files, _ := attachments.OneOrMany()
		for _, n := range files {
			r.part(n, "", &c.Attachments)
		}
	}
}

func entries(m *document.Mapping) []document.Entry {
	if m == nil {
		return nil
	}
	return m.Entries()
}

// headerText reads a template that becomes part of a header: one line.
func headerText(n *document.Node, dst *compose.Text) bool {
	var s string
	if !n.Text(&s) {
		return false
	}
	// A block text (>) ends in a line break that nobody means.
	s = strings.TrimRight(s, "\r\n")
	switch {
	case strings.TrimSpace(s) == "":
		n.Problem("is empty")
		return false
	case strings.ContainsAny(s, "\r\n"):
		n.Problem("must be one line")
		return false
	}
	*dst = compose.Text{File: n.File, Line: n.Line, Column: n.Column, Source: s}
	return true
}

func (r *reading) template(n *document.Node, dst *compose.Text) {
	var name string
	if !n.Word(&name) {
		return
	}
	path := r.path(name)
	source, err := r.readFile(name, MaxTemplate)
	if err != nil {
		n.Problem("%s: %s", name, document.Reason(err))
		return
	}
	text := strings.TrimPrefix(string(source), "\ufeff")
	switch i := strings.IndexByte(text, 0); {
	case !utf8.ValidString(text) && dst != &r.campaign.Content.Message:
		// A ready-made message may hold other charsets and says so itself.
		n.Problem("%s: is not UTF-8 text; save it as UTF-8", name)
	case i >= 0:
		n.Problem("%s: holds a NUL in line %d", name, 1+strings.Count(text[:i], "\n"))
	case strings.TrimSpace(text) == "":
		n.Problem("%s: is empty", name)
	default:
		*dst = compose.Text{File: path, Line: 1, Column: 1, Source: text}
	}
}

// part reads a file that goes along; an attachment has no cid.
func (r *reading) part(n *document.Node, cid string, dst *[]compose.Part) {
	var name string
	if !n.Word(&name) {
		return
	}
	path := r.path(name)
	content, err := r.readFile(name, MaxAttached)
	if err != nil {
		n.Problem("%s: %s", name, document.Reason(err))
		return
	}
	before := r.attached
	r.attached += int64(len(content))
	if before <= MaxAttached && r.attached > MaxAttached {
		n.Problem("makes inline parts and attachments larger than %s together", document.FormatSize(MaxAttached))
	}
	p := compose.Part{Name: cid, File: path, Bytes: content, ContentType: mime.TypeByExtension(filepath.Ext(path))}
	if cid == "" {
		p.Name = filepath.Base(path)
	}
	*dst = append(*dst, p)
}
