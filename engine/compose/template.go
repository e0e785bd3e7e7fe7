package compose

import (
	"slices"
	"strings"

	"github.com/penstock-mail/penstock/engine/problem"
)

// Options is what a template needs to know beside its content.
type Options struct {
	// Campaign is the campaign's id, Number its number in the ledger, which
	// VERP tokens carry.
	Campaign string
	Number   uint32
	// Columns are the recipients' columns, in the order that rows are encoded
	// in. nil: not known yet, so merge fields are not checked; such a template
	// is for checking only.
	Columns []string
	// Secret keys VERP tokens, Message-IDs and boundaries. It must be the same
	// at every attempt of a campaign.
	Secret []byte
}

// Template is a campaign's compiled content. It is immutable and safe for
// concurrent use; the work is done by a Composer.
type Template struct {
	opt     Options
	headers []headerOp
	from    *mailbox // nil: a ready-made message's own From
	// envelope is the envelope's from address; nil: from's.
	envelope *mailbox
	// nullSender: the envelope's from address is empty (RFC 5321 4.5.5).
	nullSender bool
	texts      []textPart
	layout     layout
	segments   [][]byte
	// eightBit: fixed parts hold octets above 127 and cannot be encoded.
	eightBit bool
	// verp: tokens are used.
	verp bool
}

// Segment is a fixed segment's octets, for what Message.Segment names. They
// must not be changed.
func (t *Template) Segment(i int) []byte { return t.segments[i] }

// Segments is how many fixed segments there are.
func (t *Template) Segments() int { return len(t.segments) }

// SenderDomain is the domain of the From address, in A-label form; empty where
// it differs by recipient, or stands in a ready-made message.
func (t *Template) SenderDomain() string {
	if t.from == nil {
		return ""
	}
	return t.from.domain
}

// headerOp writes one header field, or several fixed ones.
type headerOp struct {
	kind    headerKind
	name    string
	program *program // unstructured
	box     *mailbox
	fixed   []byte
	url     *program // unsubscribe
	mailto  *program
}

type headerKind uint8

const (
	fixedFields headerKind = iota
	unstructuredField
	mailboxField
	toField
	dateField
	messageIDField
	unsubscribeFields
)

// compiler compiles one content.
type compiler struct {
	checker
	content *Content
	opt     Options
	columns map[string]source
	// opaque are parts of a ready-made message that go out as they are.
	opaque [][]byte
}

// Compile checks and compiles a campaign's content. The list holds every
// mistake and warning; the template is nil if there is a mistake (List.Err).
func Compile(content *Content, opt Options) (*Template, problem.List) {
	opt.Columns = slices.Clone(opt.Columns)
	opt.Secret = slices.Clone(opt.Secret)
	c := &compiler{content: content, opt: opt, columns: map[string]source{}}
	c.indexColumns()
	t := &Template{opt: opt}
	k := newKeyed(opt.Secret)
	var root *entity
	var ready *readyMade
	if content.Message.Given() {
		c.checkAlone()
		ready = c.parseMessage(t)
		if ready != nil {
			root = ready.root
		}
	} else {
		root = c.buildBody(t)
	}
	c.buildHeaders(t, ready)
	if c.Err() != nil {
		c.Sort()
		return nil, c.List
	}
	t.layout = t.lay(root, c.chooseBoundary(t, k))
	t.verp = t.usesVERP()
	c.Sort()
	return t, c.List
}

// mistakesSince reports whether a mistake was added behind the first n problems.
func (c *compiler) mistakesSince(n int) bool { return c.List[n:].Err() != nil }

// indexColumns makes the names under which columns are found.
func (c *compiler) indexColumns() {
	for i, name := range c.opt.Columns {
		if name == reservedName {
			c.Add("", 0, 0, "recipients", "the column name %q is reserved", reservedName)
		}
		if _, taken := c.columns[name]; !taken {
			c.columns[name] = source(i)
		}
	}
	for i, name := range c.opt.Columns {
		alias := strings.Map(func(r rune) rune {
			if r < 0x80 && (isLetter(byte(r)) || isDigit(byte(r)) || r == '_' || r == '-') {
				return r
			}
			return '_'
		}, strings.TrimSpace(name))
		if alias != "" && isDigit(alias[0]) {
			alias = "_" + alias
		}
		if _, taken := c.columns[alias]; !taken {
			c.columns[alias] = source(i)
		}
	}
}

// checkAlone reports what a ready-made message leaves no room for.
func (c *compiler) checkAlone() {
	content := c.content
	for _, other := range []struct {
		name  string
		given bool
		at    Text
	}{
		{"text", content.Text.Given(), content.Text},
		{"html", content.HTML.Given(), content.HTML},
		{"inline", len(content.Inline) > 0, content.Message},
		{"attachments", len(content.Attachments) > 0, content.Message},
	} {
		if other.given {
			c.at(other.at, 0, other.name, "cannot be given beside message, which has the whole body")
		}
	}
}

// buildBody compiles text, html and files.
func (c *compiler) buildBody(t *Template) *entity {
	content := c.content
	var text, html *entity
	c.warnEmpty(content.Text, "text")
	c.warnEmpty(content.HTML, "html")
	if content.Text.Given() {
		if p := c.compileText(content.Text, "text", inText); p != nil {
			text = textEntity("Content-Type: text/plain; charset=utf-8\r\n", t.addText(p))
		}
	}
	if content.HTML.Given() {
		if p := c.compileText(content.HTML, "html", inHTML); p != nil {
			html = textEntity("Content-Type: text/html; charset=utf-8\r\n", t.addText(p))
		}
		if !content.Text.Given() {
			c.warnAt(content.HTML, 0, "text", "no text part: some readers and many filters want one beside the html")
		}
	}
	if !content.Text.Given() && !content.HTML.Given() {
		c.at(content.From, 0, "html", "there is no body: html, text or message is needed")
	}
	if html != nil && len(content.Inline) > 0 {
		children := []*entity{html}
		for _, p := range content.Inline {
			if e := c.fileEntity(p, true, "inline"); e != nil {
				children = append(children, e)
			}
		}
		html = container("related", children...)
		html.params = "\r\n type=\"text/html\";"
	}
	c.checkInline()
	body := text
	switch {
	case text != nil && html != nil:
		body = container("alternative", text, html)
	case html != nil:
		body = html
	}
	if body != nil && len(content.Attachments) > 0 {
		children := []*entity{body}
		for _, p := range content.Attachments {
			if e := c.fileEntity(p, false, "attachments"); e != nil {
				children = append(children, e)
			}
		}
		body = container("mixed", children...)
	}
	return body
}

func (c *compiler) warnEmpty(t Text, field string) {
	if t.Given() && strings.TrimSpace(withoutBOM(t.Source)) == "" {
		c.warnAt(t, 0, field, "is empty")
	}
}

// checkInline holds the html's references against the inline parts.
func (c *compiler) checkInline() {
	content := c.content
	for _, p := range content.Inline {
		if !content.HTML.Given() {
			c.Add(p.File, 0, 0, "inline", "inline parts need an html part")
		} else if !strings.Contains(content.HTML.Source, "cid:"+p.Name) {
			c.Warn(p.File, 0, 0, "inline", "the html does not refer to cid:%s", p.Name)
		}
	}
	src := content.HTML.Source
	for at := 0; ; {
		i := strings.Index(src[at:], "cid:")
		if i < 0 {
			return
		}
		at += i + len("cid:")
		name := src[at:]
		if end := strings.IndexAny(name, "\"'<> \t\r\n)&"); end >= 0 {
			name = name[:end]
		}
		before := byte(' ')
		if at > 4 {
			before = src[at-5]
		}
		if name == "" || strings.Contains(name, "{{") || strings.IndexByte("\"'(=", before) < 0 {
			continue // prose, or known only per recipient
		}
		if !slices.ContainsFunc(content.Inline, func(p Part) bool { return p.Name == name }) {
			c.warnAt(content.HTML, at-4, "html", "cid:%s is not among the inline parts", name)
		}
	}
}

// usesVERP reports whether any text has the token.
func (t *Template) usesVERP() bool {
	uses := func(p *program) bool { return p != nil && p.verp }
	boxUses := func(m *mailbox) bool { return m != nil && (uses(m.display) || uses(m.address)) }
	return boxUses(t.envelope) || boxUses(t.from) ||
		slices.ContainsFunc(t.texts, func(p textPart) bool { return uses(p.program) }) ||
		slices.ContainsFunc(t.headers, func(h headerOp) bool {
			return uses(h.program) || uses(h.url) || uses(h.mailto) || boxUses(h.box)
		})
}
