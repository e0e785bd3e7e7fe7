package compose

import (
	"slices"
	"strings"
)

// program is one compiled text: literals with substitutions between them, or,
// where a template needs more than that, a Liquid template.
type program struct {
	field string // the setting, for messages
	text  Text
	place usePlace
	// literals has one more than subs; each is ready for its place of use.
	literals []string
	subs     []substitution
	// liquid is set when the template needs the interpreter; literals and subs
	// are empty then.
	liquid *liquidSource
	// fromField: at least one merge field is used, so messages differ.
	fromField bool
}

// substitution is one {{ name | filters }}.
type substitution struct {
	source source
	name   string // as the template has it, for errors
	steps  []step
	// optional: an empty value is no mistake (a default follows, or the
	// campaign says so).
	optional bool
	// safe: the template declares the value ready for its place of use.
	safe bool
}

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
	if p.liquid != nil || len(p.subs) > 0 {
		return "", false
	}
	return p.literals[0], true
}

// compileText compiles one text for its place of use. What is wrong with it is
// reported; the program is nil then.
func (c *compiler) compileText(t Text, field string, place usePlace) *program {
	before := len(c.List)
	tokens := scanTemplate(&c.checker, field, t)
	p := &program{field: field, text: t, place: place}
	plain := true
	locals := c.localNames(t, field, tokens)
	for _, tok := range tokens {
		switch tok.kind {
		case tagToken:
			plain = false
			c.checkTag(p, tok, locals)
		case objectToken:
			if !c.checkObject(p, tok, locals) {
				plain = false
			}
		}
	}
	if c.mistakesSince(before) {
		return nil
	}
	if !plain {
		p.liquid = c.compileLiquid(p, tokens, locals)
		return p
	}
	var literal []byte
	for _, tok := range tokens {
		if tok.kind == textToken {
			literal = append(literal, tok.text...)
			continue
		}
		pipe, _ := parsePipeline(lexExpression(tok.text))
		steps, safe, optional := compileSteps(pipe)
		if pipe.head.kind != nameLexeme {
			// A literal is known now.
			value, other := []byte(pipe.head.text), []byte(nil)
			for _, s := range steps {
				value, other = s.run(other[:0], value), value
			}
			escape := appendEscaped[[]byte]
			if safe {
				escape = appendSafe[[]byte]
			}
			literal, _ = escape(literal, value, place)
			continue
		}
		src, known := c.lookup(pipe.path)
		if !known {
			src = noColumn
		}
		p.literals = append(p.literals, c.finishLiteral(literal, place))
		p.subs = append(p.subs, substitution{src, pipe.path, steps, optional || c.content.OnMissing == MissingEmpty, safe})
		p.fromField = true
		literal = literal[:0]
	}
	p.literals = append(p.literals, c.finishLiteral(literal, place))
	return p
}

// noColumn is the source of a field that no row has.
const noColumn source = 1<<31 - 1

// finishLiteral makes the template's own text ready: it is trusted, so nothing
// is escaped, but line ends and characters are put right.
func (c *compiler) finishLiteral(s []byte, place usePlace) string {
	out, _ := appendSafe(nil, s, place)
	return string(out)
}

// compileSteps turns a pipeline's calls into steps.
func compileSteps(p pipeline) (steps []step, safe, optional bool) {
	for _, f := range p.calls {
		safe = f.name == "raw" || f.name == "escape"
		if f.name == "raw" {
			continue
		}
		s := step{apply: plainFilters[f.name].apply, fallback: f.name == "default"}
		optional = optional || s.fallback
		if len(f.args) > 0 {
			s.arg = f.args[0].text
		}
		steps = append(steps, s)
	}
	return steps, safe, optional
}

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

// checkObject reports what is wrong with {{ object }} and whether it is plain.
func (c *compiler) checkObject(p *program, tok token, locals []string) (plain bool) {
	lexemes := lexExpression(tok.text)
	if !c.checkExpression(p, tok, lexemes, locals) {
		return false
	}
	head := headOf(lexemes)
	if head != "" && !slices.Contains(locals, head) && !liquidWords[head] {
		c.checkField(p, tok, head, hasDefault(lexemes))
	}
	pipe, ok := parsePipeline(lexemes)
	return ok && isPlain(pipe, locals)
}

// checkField reports a merge field that no row has, where it is shown.
func (c *compiler) checkField(p *program, tok token, name string, hasDefault bool) {
	if c.opt.Columns == nil {
		return
	}
	if _, known := c.lookup(name); known || name == reservedName {
		return
	}
	report := c.at
	if hasDefault || c.content.OnMissing == MissingEmpty {
		report = c.warnAt
	}
	if near := nearest(name, c.opt.Columns); near != "" {
		report(p.text, tok.at, p.field, "no column %q in the recipients; did you mean %q?", name, near)
		return
	}
	report(p.text, tok.at, p.field, "no column %q in the recipients; there are %s", name, listed(c.opt.Columns))
}

// checkExpression reports bad syntax, unknown filters and misuse of our name.
func (c *compiler) checkExpression(p *program, tok token, lexemes []lexeme, locals []string) bool {
	ok := true
	wrong := func(at int, format string, args ...any) {
		c.at(p.text, tok.at+at, p.field, format, args...)
		ok = false
	}
	if len(tok.text) > maxExpression {
		wrong(0, "the expression is longer than %d octets", maxExpression)
		return false
	}
	for i, l := range lexemes {
		switch {
		case l.kind == badLexeme:
			wrong(l.at, "%q is not understood", l.text)
		case l.kind == nameLexeme && l.text == reservedName && (i == 0 || lexemes[i-1].kind != punctuation || lexemes[i-1].text != "|"):
			path := l.text
			if i+1 < len(lexemes) && lexemes[i+1].kind == propertyLexeme {
				path += "." + lexemes[i+1].text
			}
			if _, known := ownFields[path]; !known {
				wrong(l.at, "%q is not known; there are penstock.campaign, penstock.seq and penstock.verp", path)
			}
		}
	}
	for _, f := range references(lexemes).filters {
		if !liquidFilters[f.text] {
			if near := nearest(f.text, sortedNames(liquidFilters)); near != "" {
				wrong(f.at, "no filter %q; did you mean %q?", f.text, near)
			} else {
				wrong(f.at, "no filter %q", f.text)
			}
		}
	}
	return ok
}

// headOf is the variable that an expression shows, "" for anything else.
func headOf(lexemes []lexeme) string {
	if len(lexemes) > 0 && lexemes[0].kind == nameLexeme {
		return lexemes[0].text
	}
	return ""
}

// hasDefault reports whether the pipeline has a default filter.
func hasDefault(lexemes []lexeme) bool {
	return slices.ContainsFunc(references(lexemes).filters, func(f lexeme) bool { return f.text == "default" })
}

// listed is a list for people, cut to what can be taken in.
func listed(names []string) string {
	const most = 12
	if len(names) == 0 {
		return "none"
	}
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
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
