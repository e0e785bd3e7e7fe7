package compose

import (
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Stretches of Liquid that are more than fields and simple filters are run by an
// interpreter (github.com/osteele/liquid). It knows neither escaping nor
// bounds, so the source it is given is rewritten first:
//
//	{{ name | upcase }}     {{ (name | penstock_need: "name" | upcase) | penstock_html }}
//	{% for x in list %}     {% for x in list %}{% penstock_round 120 %}
//
// penstock_need notes a missing merge field; penstock_html and its like bring
// the value into the form for its place of use, after conditions and filters
// have seen it as it is; penstock_round counts a loop's rounds, by the size of
// its body, against the budget of one text; penstock_keep, at an island's end,
// hands what it assigned to the islands behind it.

// Bounds of one rendering and of a template.
const (
	maxRounds     = 100_000  // of all loops together
	maxRendered   = 8 << 20  // octets, captures and loop bodies counted as often as they run
	maxFiltered   = 32 << 20 // octets and list elements that filters are given or give
	maxExpression = 4096     // octets of one expression or tag
	maxNesting    = 64       // blocks within blocks
)

// liquidTags are the tags that may be used; true: it opens a block.
var liquidTags = map[string]bool{
	"if": true, "unless": true, "case": true, "for": true, "tablerow": true, "capture": true,
	"elsif": false, "else": false, "when": false, "assign": false, "cycle": false, "break": false, "continue": false,
}

// templateNames are the names that a template itself gives values to.
type templateNames struct {
	local []string
	// captured are those that only capture gives values to: they hold text in
	// which every value has its form already.
	captured []string
}

func (c *compiler) namesOf(t Text, field string, tokens []token) (n templateNames) {
	var others []string
	for _, tok := range tokens {
		if tok.kind != tagToken {
			continue
		}
		name := tok.text[:identifierLength(tok.text)]
		switch tok.name {
		case "capture":
			n.captured = append(n.captured, name)
		case "assign", "for", "tablerow":
			others = append(others, name)
		default:
			continue
		}
		if name == reservedName {
			c.at(t, tok.at, field, "the name %q is reserved", reservedName)
		}
		n.local = append(n.local, name)
	}
	n.captured = slices.DeleteFunc(n.captured, func(s string) bool {
		_, column := c.lookup(s)
		return column || slices.Contains(others, s)
	})
	return n
}

// compileIsland rewrites a stretch of Liquid, and parses it once to find
// mistakes; "" if there are any.
func (c *compiler) compileIsland(p *program, tokens []token, names templateNames) string {
	sizes := bodySizes(tokens)
	var b strings.Builder
	depth, loops := 0, 0
	for i, tok := range tokens {
		switch tok.kind {
		case textToken:
			writeLiteral(&b, tok.text)
			continue
		case objectToken:
			b.WriteString(c.rewriteObject(p, tok, names))
		case tagToken:
			b.WriteString("{% " + tok.name + " " + oneLine(tok.text) + " %}")
			switch tok.name {
			case "for", "tablerow":
				b.WriteString("{% penstock_round " + strconv.Itoa(sizes[i]) + " %}")
				loops++
			case "endfor", "endtablerow":
				loops--
			case "break", "continue", "cycle":
				if loops <= 0 {
					c.at(p.text, tok.at, p.field, "{%% %s %%} is not inside for or tablerow", tok.name)
					return ""
				}
			}
			if liquidTags[tok.name] {
				if depth++; depth > maxNesting {
					c.at(p.text, tok.at, p.field, "blocks are nested deeper than %d", maxNesting)
					return ""
				}
			} else if strings.HasPrefix(tok.name, "end") {
				depth--
			}
		}
		for _, name := range references(lexExpression(tok.text)).names {
			src, known := c.lookup(name.text)
			switch {
			case name.text == reservedName:
				p.own = true
				p.verp = p.verp || strings.Contains(tok.text, "verp")
			case known:
				p.bindings[name.text] = src
			}
		}
	}
	if slices.ContainsFunc(tokens, func(t token) bool { return t.name == "assign" || t.name == "capture" }) {
		b.WriteString("{% penstock_keep %}")
	}
	if _, err := newInterpreter(&meter{}).parse(b.String()); err != nil {
		c.reportSyntax(p, tokens, err)
		return ""
	}
	return b.String()
}

// rewriteObject gives {{ object }} its checks and its form.
func (c *compiler) rewriteObject(p *program, tok token, names templateNames) string {
	lexemes := lexExpression(tok.text)
	expression := oneLine(tok.text)
	filters := references(lexemes).filters
	last := ""
	if n := len(filters); n > 0 {
		last = filters[n-1].text
	}
	head := headOf(lexemes)
	safe := last == "raw" || last == "escape" || last == "escape_once" ||
		last == "" && len(lexemes) == 1 && slices.Contains(names.captured, head)
	if last == "newline_to_br" && p.place == inHTML {
		// Its own markup shall stand, the value's shall not.
		at := filters[len(filters)-1].at
		expression = oneLine(tok.text[:at]) + "penstock_markup | " + oneLine(tok.text[at:])
		safe = true
	}
	if _, known := c.lookup(head); (known || !slices.Contains(names.local, head)) && head != "" && !liquidWords[head] && head != reservedName &&
		c.content.OnMissing == MissingError && !hasDefault(lexemes) && simpleHead(lexemes) {
		end := pathEnd(lexemes)
		expression = oneLine(tok.text[:end]) + ` | penstock_need: "` + strings.ReplaceAll(oneLine(tok.text[:end]), `"`, "'") + `"` + oneLine(expression[min(end, len(expression)):])
	}
	return "{{ (" + expression + ") | " + formFilter(p.place, safe) + " }}"
}

// formFilter brings a value into the form for its place.
func formFilter(place usePlace, safe bool) string {
	name := [...]string{inText: "penstock_text", inHTML: "penstock_html", inHeader: "penstock_header", inURL: "penstock_url"}[place]
	if safe {
		name += "_safe"
	}
	return name
}

// pathEnd is where the leading variable with its properties and indexes ends.
func pathEnd(lexemes []lexeme) int {
	end := lexemes[0].end
	for depth, i := 0, 1; i < len(lexemes); i++ {
		l := lexemes[i]
		switch {
		case l.kind == punctuation && l.text == "[":
			depth++
		case l.kind == punctuation && l.text == "]":
			depth--
		case depth == 0 && l.kind != propertyLexeme:
			return end
		}
		end = l.end
	}
	return end
}

// simpleHead reports whether the leading variable is what is shown: it stands
// alone or is followed by a filter, and not by a comparison.
func simpleHead(lexemes []lexeme) bool {
	end := pathEnd(lexemes)
	for _, l := range lexemes {
		if l.at >= end {
			return l.kind == punctuation && l.text == "|"
		}
	}
	return true
}

// bodySizes is, for each loop tag by its index, how many octets of template
// its body has: what one round can cost beside values.
func bodySizes(tokens []token) map[int]int {
	sizes := map[int]int{}
	var open []int
	for i, tok := range tokens {
		for _, o := range open {
			sizes[o] += len(tok.text) + 1
		}
		switch {
		case tok.kind != tagToken:
		case tok.name == "for" || tok.name == "tablerow":
			open = append(open, i)
		case (tok.name == "endfor" || tok.name == "endtablerow") && len(open) > 0:
			open = open[:len(open)-1]
		}
	}
	return sizes
}

// writeLiteral writes text so that it stays text.
func writeLiteral(b *strings.Builder, s string) {
	if indexOpen(s, 0) < 0 && !strings.HasSuffix(s, "{") {
		b.WriteString(s)
		return
	}
	b.WriteString("{% raw %}" + s + "{% endraw %}")
}

// oneLine replaces the line breaks of an expression, which the interpreter's
// scanner does not expect, one for one.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, s)
}

func sortedNames(set map[string]bool) []string {
	names := make([]string, 0, len(set))
	for n := range set {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
