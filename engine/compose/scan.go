package compose

import "strings"

// tokenKind is what a stretch of a template is.
type tokenKind uint8

const (
	textToken   tokenKind = iota // goes out as it stands
	objectToken                  // {{ body }}
	tagToken                     // {% name body %}
)

// token is one stretch of a template. Comments are gone, the content of raw
// blocks is text, and whitespace control ({{- -}}) has been applied to the
// texts beside it.
type token struct {
	kind tokenKind
	// text is the literal text, or an object's expression, or a tag's
	// arguments, without surrounding space.
	text string
	// name of a tag.
	name string
	// at is where text begins in the source.
	at int
}

// scanTemplate splits a template. Text that was never closed and the like is
// reported to c.
func scanTemplate(c *checker, field string, t Text) []token {
	var tokens []token
	src := t.Source
	trimNext := false // the token before ended with -}} or -%}
	addText := func(s string, at int) {
		if trimNext {
			cut := strings.TrimLeft(s, " \t\r\n")
			at += len(s) - len(cut)
			s = cut
		}
		if s != "" {
			trimNext = false
			tokens = append(tokens, token{kind: textToken, text: s, at: at})
		}
	}
	trimLast := func() {
		if n := len(tokens); n > 0 && tokens[n-1].kind == textToken {
			tokens[n-1].text = strings.TrimRight(tokens[n-1].text, " \t\r\n")
		}
	}
	for pos := len(src) - len(withoutBOM(src)); pos < len(src); {
		open := indexOpen(src, pos)
		if open < 0 {
			addText(src[pos:], pos)
			break
		}
		addText(src[pos:open], pos)
		closer := "}}"
		if src[open+1] == '%' {
			closer = "%}"
		}
		end := strings.Index(src[open+2:], closer)
		if end < 0 {
			c.at(t, open, field, "%q is never closed by %q", src[open:open+2], closer)
			return tokens
		}
		end += open + 2
		body, at := src[open+2:end], open+2
		if inner := indexOpen(body, 0); inner >= 0 && hasBadLexeme(body) {
			// The end that was found belongs to the next one.
			c.at(t, open, field, "%q is never closed by %q", src[open:open+2], closer)
			pos = open + 2 + inner
			continue
		}
		pos = end + 2
		if strings.HasPrefix(body, "-") {
			trimLast()
			body, at = body[1:], at+1
		}
		trimNext = strings.HasSuffix(body, "-")
		body = strings.TrimSuffix(body, "-")
		trimmed := strings.TrimLeft(body, " \t\r\n")
		at += len(body) - len(trimmed)
		body = strings.TrimRight(trimmed, " \t\r\n")
		if closer == "}}" {
			if body == "" {
				c.at(t, open, field, "{{ }} is empty")
				continue
			}
			tokens = append(tokens, token{kind: objectToken, text: body, at: at})
			continue
		}
		name := body[:identifierLength(body)]
		if name == "" {
			c.at(t, open, field, "{%% %%} lacks the name of a tag")
			continue
		}
		switch name {
		case "raw", "comment":
			from, to, next, trim := findEnd(src, pos, "end"+name)
			if from < 0 {
				c.at(t, open, field, "{%% %s %%} lacks its {%% end%s %%}", name, name)
				return tokens
			}
			if name == "raw" {
				addText(src[from:to], from)
			}
			trimNext, pos = trim, next
		default:
			args := strings.TrimLeft(body[len(name):], " \t\r\n")
			tokens = append(tokens, token{kind: tagToken, name: name, text: args, at: at + len(body) - len(args)})
		}
	}
	return tokens
}

// withoutBOM drops the byte order mark that some editors put before a file.
func withoutBOM(s string) string { return strings.TrimPrefix(s, "\ufeff") }

// indexOpen finds the next "{{" or "{%" from pos, or -1.
func indexOpen(s string, pos int) int {
	for {
		i := strings.IndexByte(s[pos:], '{')
		if i < 0 || pos+i+1 >= len(s) {
			return -1
		}
		pos += i
		if s[pos+1] == '{' || s[pos+1] == '%' {
			return pos
		}
		pos++
	}
}

// findEnd finds {% name %} from pos: the content before it is src[from:to],
// what follows it begins at next and loses its leading space if trim. from is
// -1 when there is none.
func findEnd(src string, pos int, name string) (from, to, next int, trim bool) {
	for at := pos; ; {
		i := strings.Index(src[at:], "{%")
		if i < 0 {
			return -1, 0, 0, false
		}
		at += i
		end := strings.Index(src[at:], "%}")
		if end < 0 {
			return -1, 0, 0, false
		}
		body := src[at+2 : at+end]
		trim = strings.HasSuffix(body, "-")
		left := strings.HasPrefix(body, "-")
		if strings.Trim(strings.TrimPrefix(strings.TrimSuffix(body, "-"), "-"), " \t\r\n") == name {
			to = at
			if left {
				to = pos + len(strings.TrimRight(src[pos:at], " \t\r\n"))
			}
			return pos, to, at + end + 2, trim
		}
		at += 2
	}
}

// identifierLength is the length of the name that s begins with, 0 for none.
// Names are those of the Liquid grammar: a letter or "_", then letters, digits,
// "_" and "-", and perhaps a "?" at the end.
func identifierLength(s string) int {
	n := 0
	for n < len(s) && (isLetter(s[n]) || s[n] == '_' || n > 0 && (isDigit(s[n]) || s[n] == '-')) {
		n++
	}
	if n > 0 && n < len(s) && s[n] == '?' {
		n++
	}
	return n
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
func isDigit(b byte) bool  { return b >= '0' && b <= '9' }
