package bounce

import (
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
)

//go:embed rules.txt
var rulesText string

// builtin is the embedded table; a test keeps it free of errors.
var builtin = func() *table {
	t, err := parseRules(rulesText)
	if err != nil {
		panic("bounce: rules.txt: " + err.Error())
	}
	return t
}()

// table is the rules: a site's own first, then those for all, in file order.
type table struct {
	sites   map[string][]rule
	general []rule
}

// rule is one line of rules.txt.
type rule struct {
	step     step
	code     int // 421; 4 or 5: the class; 0: any
	enhanced pattern
	class    Class
	rest     time.Duration // throttle.Signal.RetryAfter
	hold     time.Duration // throttle.Signal.Hold
	texts    []string      // lower case; any of them occurs; none: any text
}

// step narrows a rule to replies to RCPT or to the message's end.
type step uint8

const (
	anyStep step = iota
	atRcpt
	atEnd
)

// pattern matches an enhanced code's subject and detail; the class is the
// code's affair, since servers send 5.7.1 with 421 and the reverse.
type pattern struct {
	set             bool
	subject, lo, hi uint16
}

// fallback is for a table that has no last line for everything.
var fallback = rule{class: Other}

// match finds the first rule for these facts; text is the reply's in lower case.
func (t *table) match(f *Facts, text string) *rule {
	for _, rules := range [...][]rule{t.sites[f.Site], t.general} {
		for i := range rules {
			if rules[i].matches(f, text) {
				return &rules[i]
			}
		}
	}
	return &fallback
}

func (r *rule) matches(f *Facts, text string) bool {
	switch {
	case r.step == atRcpt && f.Command != smtp.Rcpt, r.step == atEnd && f.Command != smtp.End:
		return false
	case r.code >= 100 && r.code != f.Reply.Code, r.code > 0 && r.code < 100 && r.code != f.Reply.Code/100:
		return false
	case r.enhanced.set && !r.enhanced.matches(f.Reply.Enhanced):
		return false
	}
	for _, t := range r.texts {
		if strings.Contains(text, t) {
			return true
		}
	}
	return len(r.texts) == 0
}

func (p pattern) matches(e smtp.EnhancedCode) bool {
	return e[0] != 0 && e[1] == p.subject && p.lo <= e[2] && e[2] <= p.hi
}

// parseRules reads lines of
//
//	site step code enhanced class [rest=DURATION] [hold=DURATION] ["text|text"]
//
// with "-" for a column that does not matter, and lists all mistakes.
func parseRules(s string) (*table, error) {
	t := &table{sites: make(map[string][]rule)}
	var errs []error
	n := 0
	for line := range strings.Lines(s) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		site, r, err := parseRule(line)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
		case site == "-":
			t.general = append(t.general, r)
		default:
			t.sites[site] = append(t.sites[site], r)
		}
	}
	return t, errors.Join(errs...)
}

func parseRule(line string) (site string, r rule, err error) {
	head, quoted, hasText := strings.Cut(line, `"`)
	fields := strings.Fields(head)
	if len(fields) < 5 {
		return "", r, fmt.Errorf("%d columns, want at least 5", len(fields))
	}
	if hasText {
		text, rest, ok := strings.Cut(quoted, `"`)
		if !ok || strings.TrimSpace(rest) != "" {
			return "", r, errors.New("the quoted text must end the line")
		}
		for t := range strings.SplitSeq(strings.ToLower(text), "|") {
			if t == "" {
				return "", r, errors.New("an empty text matches everything")
			}
			r.texts = append(r.texts, t)
		}
	}
	site = fields[0]
	switch fields[1] {
	case "-":
	case "rcpt":
		r.step = atRcpt
	case "end":
		r.step = atEnd
	default:
		return "", r, fmt.Errorf("step %q, want rcpt, end or -", fields[1])
	}
	if r.code, err = parseCode(fields[2]); err != nil {
		return "", r, err
	}
	if r.enhanced, err = parsePattern(fields[3]); err != nil {
		return "", r, err
	}
	var ok bool
	if r.class, ok = ParseClass(fields[4]); !ok {
		return "", r, fmt.Errorf("no class %q", fields[4])
	}
	for _, option := range fields[5:] {
		name, value, _ := strings.Cut(option, "=")
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return "", r, fmt.Errorf("%s: %q is not a duration above 0", name, value)
		}
		switch name {
		case "rest":
			r.rest = d
		case "hold":
			r.hold = d
		default:
			return "", r, fmt.Errorf("no option %q", name)
		}
	}
	return site, r, nil
}

// parseCode reads 421, 4xx, 5xx or "-".
func parseCode(s string) (int, error) {
	switch s {
	case "-":
		return 0, nil
	case "4xx":
		return 4, nil
	case "5xx":
		return 5, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 400 || n > 599 {
		return 0, fmt.Errorf("code %q, want 400 to 599, 4xx, 5xx or -", s)
	}
	return n, nil
}

// parsePattern reads x.7.28, x.7.500-699, x.7.* or "-".
func parsePattern(s string) (pattern, error) {
	if s == "-" {
		return pattern{}, nil
	}
	bad := fmt.Errorf("enhanced code %q, want x.SUBJECT.DETAIL, a range, x.SUBJECT.* or -", s)
	parts := strings.Split(s, ".")
	if len(parts) != 3 || parts[0] != "x" {
		return pattern{}, bad
	}
	subject, err := strconv.ParseUint(parts[1], 10, 16)
	if err != nil {
		return pattern{}, bad
	}
	if parts[2] == "*" {
		return pattern{set: true, subject: uint16(subject), hi: 999}, nil
	}
	from, to, isRange := strings.Cut(parts[2], "-")
	if !isRange {
		to = from
	}
	lo, err1 := strconv.ParseUint(from, 10, 16)
	hi, err2 := strconv.ParseUint(to, 10, 16)
	if err1 != nil || err2 != nil || lo > hi {
		return pattern{}, bad
	}
	return pattern{set: true, subject: uint16(subject), lo: uint16(lo), hi: uint16(hi)}, nil
}
