package compose

import (
	"slices"
	"strings"
)

// lexeme is one word of an expression.
type lexeme struct {
	kind lexemeKind
	// text: a name, a literal's value, or punctuation.
	text string
	// at and end are its place in the expression.
	at, end int
}

type lexemeKind uint8

const (
	nameLexeme     lexemeKind = iota
	keywordLexeme             // name: with its colon
	propertyLexeme            // .name
	stringLexeme
	numberLexeme
	punctuation
	badLexeme
)

// lexExpression splits an expression as the Liquid grammar does.
func lexExpression(s string) []lexeme {
	var out []lexeme
	for i := 0; i < len(s); {
		b, start := s[i], i
		l := lexeme{at: start}
		switch {
		case b == ' ' || b == '\t' || b == '\r' || b == '\n':
			i++
			continue
		case b == '"' || b == '\'':
			end := strings.IndexByte(s[i+1:], b)
			if end < 0 {
				l.kind, l.text, i = badLexeme, s[i:], len(s)
				break
			}
			l.kind, l.text = stringLexeme, s[i+1:i+1+end]
			i += end + 2
		case isDigit(b) || b == '-' && i+1 < len(s) && isDigit(s[i+1]):
			i++
			for i < len(s) && isDigit(s[i]) {
				i++
			}
			if i+1 < len(s) && s[i] == '.' && isDigit(s[i+1]) {
				for i++; i < len(s) && isDigit(s[i]); i++ {
				}
			}
			l.kind, l.text = numberLexeme, s[start:i]
		case b == '.' && identifierLength(s[i+1:]) > 0:
			i += 1 + identifierLength(s[i+1:])
			l.kind, l.text = propertyLexeme, s[start+1:i]
		case identifierLength(s[i:]) > 0:
			i += identifierLength(s[i:])
			l.kind, l.text = nameLexeme, s[start:i]
			if i < len(s) && s[i] == ':' {
				l.kind = keywordLexeme
				i++
			}
		case strings.HasPrefix(s[i:], "==") || strings.HasPrefix(s[i:], "!=") || strings.HasPrefix(s[i:], "<=") ||
			strings.HasPrefix(s[i:], ">=") || strings.HasPrefix(s[i:], ".."):
			i += 2
			l.kind, l.text = punctuation, s[start:i]
		default:
			i++
			l.kind, l.text = punctuation, s[start:i]
			if strings.IndexByte("|,()[]<>=", b) < 0 {
				l.kind = badLexeme
			}
		}
		l.end = i
		out = append(out, l)
	}
	return out
}

func hasBadLexeme(s string) bool {
	return slices.ContainsFunc(lexExpression(s), func(l lexeme) bool { return l.kind == badLexeme })
}

// call is one filter of a pipeline.
type call struct {
	name string
	at   int
	args []lexeme // literals and names, without commas
}

// pipeline is an expression of the plain form: a field or a literal, then
// filters whose arguments are literals.
type pipeline struct {
	head  lexeme // a name, string or number
	path  string // the head's name with its properties: penstock.seq
	calls []call
}

// parsePipeline reads an expression of the plain form; ok is false for any other.
func parsePipeline(lexemes []lexeme) (p pipeline, ok bool) {
	if len(lexemes) == 0 {
		return p, false
	}
	p.head = lexemes[0]
	if p.head.kind != nameLexeme && p.head.kind != stringLexeme && p.head.kind != numberLexeme {
		return p, false
	}
	p.path = p.head.text
	rest := lexemes[1:]
	for len(rest) > 0 && rest[0].kind == propertyLexeme && p.head.kind == nameLexeme {
		p.path += "." + rest[0].text
		rest = rest[1:]
	}
	for len(rest) > 0 {
		if rest[0].kind != punctuation || rest[0].text != "|" || len(rest) < 2 {
			return p, false
		}
		f := call{name: rest[1].text, at: rest[1].at}
		kind := rest[1].kind
		rest = rest[2:]
		switch kind {
		case nameLexeme:
		case keywordLexeme:
			for {
				if len(rest) == 0 || rest[0].kind != stringLexeme && rest[0].kind != numberLexeme {
					return p, false
				}
				f.args = append(f.args, rest[0])
				rest = rest[1:]
				if len(rest) == 0 || rest[0].text != "," || rest[0].kind != punctuation {
					break
				}
				rest = rest[1:]
			}
		default:
			return p, false
		}
		p.calls = append(p.calls, f)
	}
	return p, true
}

// liquidWords are names that are part of the language where a field could stand.
var liquidWords = map[string]bool{
	"true": true, "false": true, "nil": true, "and": true, "or": true, "contains": true, "in": true,
	"blank": true, "empty": true, "forloop": true, "reversed": true,
}

// usage is what an expression refers to.
type usage struct {
	names   []lexeme // variables
	filters []lexeme
}

// references lists the variables and filters of an expression.
func references(lexemes []lexeme) (u usage) {
	for i, l := range lexemes {
		piped := i > 0 && lexemes[i-1].kind == punctuation && lexemes[i-1].text == "|"
		switch {
		case piped && (l.kind == nameLexeme || l.kind == keywordLexeme):
			u.filters = append(u.filters, l)
		case l.kind == nameLexeme && !liquidWords[l.text]:
			u.names = append(u.names, l)
		}
	}
	return u
}
