package compose

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// checkUTF8 reports the first octet that is not UTF-8: texts are kept and sent
// as such.
func (c *compiler) checkUTF8(t Text, field string) bool {
	if utf8.ValidString(t.Source) {
		return true
	}
	at := 0
	for at < len(t.Source) {
		r, n := utf8.DecodeRuneInString(t.Source[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	c.at(t, at, field, "is not UTF-8 from here on (octet %#x)", t.Source[at])
	return false
}

// checkObject reports what is wrong with {{ object }} and whether it is plain.
func (c *compiler) checkObject(p *program, tok token, locals []string) (plain bool) {
	lexemes := lexExpression(tok.text)
	if !c.checkExpression(p, tok, lexemes, locals) {
		return false
	}
	head := headOf(lexemes)
	if _, column := c.lookup(head); column && liquidWords[head] {
		c.at(p.text, tok.at, p.field, "%q is a word of the language: the column needs another name", head)
		return false
	}
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

// checkTag reports what is wrong with {% tag %} as far as it can be seen alone.
func (c *compiler) checkTag(p *program, tok token, locals []string) {
	name := tok.name
	if opens, known := liquidTags[strings.TrimPrefix(name, "end")]; !known || strings.HasPrefix(name, "end") && !opens {
		if near := nearest(name, sortedNames(liquidTags)); near != "" {
			c.at(p.text, tok.at, p.field, "no tag %q; did you mean %q?", name, near)
			return
		}
		c.at(p.text, tok.at, p.field, "no tag %q; there are %s", name, strings.Join(sortedNames(liquidTags), ", "))
		return
	}
	if name == "capture" {
		if tok.text == "" || identifierLength(tok.text) != len(tok.text) {
			c.at(p.text, tok.at, p.field, "capture needs one name, not %q", tok.text)
		}
		return
	}
	lexemes := lexExpression(tok.text)
	if !c.checkExpression(p, tok, lexemes, locals) {
		return
	}
	if c.opt.Columns == nil {
		return
	}
	// A condition on a field that no row has is no mistake by itself, but
	// probably a slip.
	for _, name := range references(lexemes).names {
		if _, known := c.lookup(name.text); known || slices.Contains(locals, name.text) || name.text == reservedName {
			continue
		}
		hint := ""
		if near := nearest(name.text, c.opt.Columns); near != "" {
			hint = "; did you mean " + strconv.Quote(near) + "?"
		}
		c.warnAt(p.text, tok.at+name.at, p.field, "no column %q in the recipients%s", name.text, hint)
	}
}

// reportSyntax finds the token that the interpreter objects to: it is asked for
// each alone, since it numbers the lines of the rewritten source.
func (c *compiler) reportSyntax(p *program, tokens []token, err error) {
	in := newInterpreter(&meter{})
	var open []token
	for _, tok := range tokens {
		switch {
		case tok.kind == objectToken:
			if _, err := in.parse("{{ " + oneLine(tok.text) + " }}"); err != nil {
				c.at(p.text, tok.at, p.field, "%q is not understood", tok.text)
				return
			}
		case tok.kind == tagToken && strings.HasPrefix(tok.name, "end"):
			begins := func(t token) bool { return t.name == tok.name[3:] }
			if !slices.ContainsFunc(open, begins) {
				c.at(p.text, tok.at, p.field, "{%% %s %%} without its {%% %s %%}", tok.name, tok.name[3:])
				return
			}
			if top := open[len(open)-1]; !begins(top) {
				c.at(p.text, top.at, p.field, "{%% %s %%} lacks its {%% end%s %%}", top.name, top.name)
				return
			}
			open = open[:len(open)-1]
		case tok.kind == tagToken && clauseOf[tok.name] != nil && (len(open) == 0 || !slices.Contains(clauseOf[tok.name], open[len(open)-1].name)):
			c.at(p.text, tok.at, p.field, "{%% %s %%} is not inside %s", tok.name, strings.Join(clauseOf[tok.name], " or "))
			return
		case tok.kind == tagToken:
			if _, err := in.parse(tagAlone(tok)); err != nil {
				c.at(p.text, tok.at, p.field, "{%% %s %s %%} is not understood", tok.name, tok.text)
				return
			}
			if liquidTags[tok.name] {
				open = append(open, tok)
			}
		}
	}
	if n := len(open); n > 0 {
		c.at(p.text, open[n-1].at, p.field, "{%% %s %%} lacks its {%% end%s %%}", open[n-1].name, open[n-1].name)
		return
	}
	c.at(p.text, 0, p.field, "the template is not understood: %s", err)
}

// clauseOf tells which blocks a clause divides.
var clauseOf = map[string][]string{"else": {"if", "unless", "case", "for"}, "elsif": {"if"}, "when": {"case"}}

// tagAlone is the smallest template around one tag.
func tagAlone(tok token) string {
	tag := "{% " + tok.name + " " + oneLine(tok.text) + " %}"
	switch tok.name {
	case "else", "elsif":
		return "{% if true %}" + tag + "{% endif %}"
	case "when":
		return "{% case 1 %}" + tag + "{% endcase %}"
	}
	if liquidTags[tok.name] {
		return tag + "{% end" + tok.name + " %}"
	}
	return tag
}
