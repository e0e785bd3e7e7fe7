package compose

import (
	"slices"
	"strings"
)

// program is one compiled text: literals with values between them. A value is a
// merge field or, where the template needs more than that, an island: a stretch
// of Liquid, from {% if %} to its {% endif %}, say. So the text around islands
// is prepared once for all messages, whatever the template does elsewhere.
type program struct {
	field string // the setting, for messages
	text  Text
	place usePlace
	// literals has one more than values; each is ready for its place of use.
	literals []string
	values   []substitution
	// bindings are the merge fields that islands use, by the name they use.
	bindings map[string]source
	// own: islands use the reserved name. verp: the token is used anywhere.
	own, verp bool
}

// substitution is one {{ name | filters }}, or an island.
type substitution struct {
	island *island
	source source
	name   string // as the template has it, for errors
	steps  []step
	// optional: an empty value is no mistake (a default follows, or the
	// campaign says so).
	optional bool
	// safe: the template declares the value ready for its place of use.
	safe bool
}

// island is a stretch of Liquid, rewritten for the interpreter.
type island struct{ source string }

// source is where a value comes from: a column from 0, or one of these.
type source int32

const (
	fromCampaign source = -1 - iota
	fromSeq
	fromVERP
)

// reservedName is the variable that is ours.
const reservedName = "penstock"

// ownFields are the properties of the reserved name.
var ownFields = map[string]source{
	reservedName + ".campaign": fromCampaign,
	reservedName + ".seq":      fromSeq,
	reservedName + ".verp":     fromVERP,
}

// constant reports whether the text is the same in every message, and which.
func (p *program) constant() (string, bool) {
	if p == nil || len(p.values) > 0 {
		return "", false
	}
	return p.literals[0], true
}

// compileText compiles one text for its place of use. What is wrong with it is
// reported; the program is nil then.
func (c *compiler) compileText(t Text, field string, place usePlace) *program {
	before := len(c.List)
	p := &program{field: field, text: t, place: place, bindings: map[string]source{}}
	c.checkUTF8(t, field)
	tokens := scanTemplate(&c.checker, field, t)
	names := c.namesOf(t, field, tokens)
	plain := make([]bool, len(tokens))
	for i, tok := range tokens {
		switch tok.kind {
		case tagToken:
			c.checkTag(p, tok, names.local)
		case objectToken:
			plain[i] = c.checkObject(p, tok, names.local)
		}
	}
	if c.mistakesSince(before) {
		return nil
	}
	var literal []byte
	add := func(s substitution) {
		p.literals = append(p.literals, finishLiteral(literal, place))
		p.values = append(p.values, s)
		literal = literal[:0]
	}
	for i := 0; i < len(tokens); i++ {
		tok := tokens[i]
		switch {
		case tok.kind == textToken:
			literal = append(literal, tok.text...)
		case plain[i]:
			s := c.compileObject(p, tok)
			if s.source != noSource {
				add(s)
				break
			}
			// A literal is known now.
			literal = appendConstant(literal, &s, place)
		default:
			n := islandLength(tokens[i:])
			source := c.compileIsland(p, tokens[i:i+n], names)
			if source == "" {
				return nil
			}
			add(substitution{island: &island{source}})
			i += n - 1
		}
	}
	p.literals = append(p.literals, finishLiteral(literal, place))
	return p
}

// islandLength is how many tokens belong to the stretch of Liquid that the
// first one begins: a block with its end, or that token alone.
func islandLength(tokens []token) int {
	depth := 0
	for i, tok := range tokens {
		if tok.kind == tagToken {
			switch {
			case liquidTags[tok.name]:
				depth++
			case strings.HasPrefix(tok.name, "end"):
				depth--
			}
		}
		if depth <= 0 {
			return i + 1
		}
	}
	return len(tokens) // unclosed, which parsing will report
}

// compileObject compiles a plain object.
func (c *compiler) compileObject(p *program, tok token) substitution {
	pipe, _ := parsePipeline(lexExpression(tok.text))
	s := substitution{source: noSource, name: pipe.path, optional: c.content.OnMissing == MissingEmpty}
	if pipe.head.kind == nameLexeme {
		var known bool
		if s.source, known = c.lookup(pipe.path); !known {
			s.source = noColumn
		}
		p.verp = p.verp || s.source == fromVERP
	}
	for _, f := range pipe.calls {
		s.safe = f.name == "raw" || f.name == "escape"
		if f.name == "raw" {
			continue
		}
		st := step{apply: plainFilters[f.name].apply, fallback: f.name == "default"}
		s.optional = s.optional || st.fallback
		if len(f.args) > 0 {
			st.arg = f.args[0].text
		}
		s.steps = append(s.steps, st)
	}
	return s
}

// appendConstant appends a literal's value, {{ 'text' | upcase }}.
func appendConstant(dst []byte, s *substitution, place usePlace) []byte {
	value := []byte(s.name)
	for i := range s.steps {
		value = s.steps[i].run(nil, value)
	}
	if s.safe {
		dst, _ = appendSafe(dst, value, place)
	} else {
		dst, _ = appendEscaped(dst, value, place)
	}
	return dst
}

// finishLiteral makes the template's own text ready: it is trusted, so nothing
// is escaped, but line ends and characters are put right.
func finishLiteral(s []byte, place usePlace) string {
	out, _ := appendSafe(nil, s, place)
	return string(out)
}

const (
	// noColumn is the source of a field that no row has.
	noColumn source = 1<<31 - 1
	// noSource is that of a literal.
	noSource source = -1 << 31
)

func (s *step) run(dst, value []byte) []byte {
	if !s.fallback {
		return s.apply(dst, value, s.arg)
	}
	if len(value) == 0 {
		return append(dst, s.arg...)
	}
	return append(dst, value...)
}

// isPlain reports whether an object can do without the interpreter.
func isPlain(p pipeline, locals []string) bool {
	if slices.Contains(locals, p.head.text) || liquidWords[p.head.text] {
		return false
	}
	if _, own := ownFields[p.path]; !own && p.path != p.head.text {
		return false
	}
	for _, f := range p.calls {
		known, ok := plainFilters[f.name]
		if !ok || known.args != len(f.args) {
			return false
		}
	}
	return true
}

// lookup finds a merge field: a column of that name, else a column whose name,
// with what cannot stand in a Liquid name replaced by "_", is that name.
func (c *compiler) lookup(name string) (source, bool) {
	if own, ok := ownFields[name]; ok {
		return own, true
	}
	i, ok := c.columns[name]
	return i, ok
}
