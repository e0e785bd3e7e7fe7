// Package address parses envelope addresses: an RFC 5321 Mailbox as it goes
// into MAIL and RCPT, with the domain in the one form that everything is keyed
// by. Header addresses ("Name <a@b>") are another matter and not taken.
//
// What is taken: dot-atom and quoted-string local parts, also with UTF-8 (RFC
// 6531), and host names of two labels or more, IDNs included. The local part is
// kept octet for octet, but for quotes that change nothing: "bob"@x is bob@x
// (RFC 5321 4.1.2). The domain becomes lower-case A-labels (RFC 5891).
//
// What is refused although RFC 5321 would allow it: address literals, since
// limits, routes and site names hang on domains; "<" and ">" in quoted local
// parts, which too many servers read wrongly; domains of one label, which are
// typing errors (RFC 5321 2.3.5 wants them fully qualified).
package address

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Bounds in octets.
const (
	// MaxLocal is RFC 5321 4.5.3.1.1.
	MaxLocal = 64
	// MaxDomain is RFC 1035 2.3.4 without the root's octets; RFC 5321
	// 4.5.3.1.2 says 255 of the wire form.
	MaxDomain = 253
	// MaxAddress is a path of 256 (RFC 5321 4.5.3.1.3) without "<" and ">".
	MaxAddress = 254
	maxLabel   = 63
)

// Address is a parsed one.
type Address struct {
	// Local is in wire form, quotes included where it needs them.
	Local []byte
	// Domain is in lower-case A-label form.
	Domain []byte
}

// Parser parses addresses one after another without allocating. The zero value
// is ready. Not safe for concurrent use.
type Parser struct {
	local  []byte
	domain []byte
}

// Parse takes one address; spaces around it are ignored. What it returns points
// into s or the parser and holds until either changes. An error is a [Fault].
func (p *Parser) Parse(s []byte) (Address, error) {
	s = bytes.TrimSpace(s)
	if len(s) == 0 {
		return Address{}, Empty
	}
	local, rest, fault := p.parseLocal(s)
	if fault != 0 {
		return Address{}, explain(s, fault)
	}
	domain, fault := p.parseDomain(rest)
	if fault != 0 {
		return Address{}, explain(s, fault)
	}
	if len(local) > MaxLocal {
		return Address{}, LocalTooLong
	}
	if len(local)+1+len(domain) > MaxAddress {
		return Address{}, TooLong
	}
	return Address{Local: local, Domain: domain}, nil
}

// Parse is [Parser.Parse] for a single address.
func Parse(s string) (local, domain string, err error) {
	a, err := new(Parser).Parse([]byte(s))
	return string(a.Local), string(a.Domain), err
}

// ParseDomain is the lower-case A-label form of a domain name.
func ParseDomain(s string) (string, error) {
	domain, fault := new(Parser).parseDomain([]byte(strings.TrimSpace(s)))
	if fault != 0 {
		return "", fault
	}
	return string(domain), nil
}

// atext marks the octets of RFC 5322 3.2.3 atext.
var atext = func() (t [256]bool) {
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for c := byte('0'); c <= '9'; c++ {
		t[c] = true
	}
	for _, c := range []byte("!#$%&'*+-/=?^_`{|}~") {
		t[c] = true
	}
	return t
}()

// parseLocal gives the local part and what follows its "@".
func (p *Parser) parseLocal(s []byte) (local, rest []byte, f Fault) {
	if s[0] == '"' {
		return p.parseQuoted(s)
	}
	atom := 0 // where the current atom began
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case atext[c]:
		case c == '@' || c == '.':
			if i == atom {
				return nil, nil, emptyAtom(s, i)
			}
			if c == '@' {
				return s[:i], s[i+1:], 0
			}
			atom = i + 1
		case c >= utf8.RuneSelf:
			size, f := utf8Text(s[i:])
			if f != 0 {
				return nil, nil, f
			}
			i += size - 1
		case c < ' ' || c == 0x7f:
			return nil, nil, Control
		default:
			return nil, nil, LocalCharacter
		}
	}
	return nil, nil, NoAt
}

// emptyAtom says why there is nothing before the dot or "@" at i.
func emptyAtom(s []byte, i int) Fault {
	if s[i] == '@' && i == 0 {
		return NoLocal
	}
	return LocalDots
}

// parseQuoted reads a quoted-string (RFC 5321 4.1.2 Quoted-string, with RFC
// 6531's UTF-8) and writes it back as plainly as it can be said.
func (p *Parser) parseQuoted(s []byte) (local, rest []byte, f Fault) {
	// The most plain form: p.local collects the content, then quotes it again
	// if it is not a dot-atom.
	content := p.local[:0]
	defer func() { p.local = content[:0] }()
	i := 1
	for ; ; i++ {
		if i == len(s) {
			return nil, nil, Unquoted
		}
		c := s[i]
		if c == '"' {
			break
		}
		if c == '\\' {
			if i++; i == len(s) {
				return nil, nil, Unquoted
			}
			c = s[i]
		}
		switch {
		case c < ' ' || c == 0x7f:
			return nil, nil, Control
		case c == '<' || c == '>':
			return nil, nil, LocalCharacter
		case c >= utf8.RuneSelf:
			size, f := utf8Text(s[i:])
			if f != 0 {
				return nil, nil, f
			}
			content = append(content, s[i:i+size]...)
			i += size - 1
		default:
			content = append(content, c)
		}
	}
	rest = s[i+1:]
	if len(rest) == 0 || rest[0] != '@' {
		return nil, nil, LocalCharacter
	}
	if isDotAtom(content) {
		return content, rest[1:], 0
	}
	n := len(content)
	content = append(content, '"')
	for _, c := range content[:n] {
		if c == '"' || c == '\\' {
			content = append(content, '\\')
		}
		content = append(content, c)
	}
	content = append(content, '"')
	return content[n:], rest[1:], 0
}

func isDotAtom(s []byte) bool {
	dot := true
	for _, c := range s {
		switch {
		case c == '.' && dot:
			return false
		case c == '.':
			dot = true
		case atext[c] || c >= utf8.RuneSelf:
			dot = false
		default:
			return false
		}
	}
	return !dot
}

// utf8Text is the size of the character that s begins with, if it may stand in
// a local part: RFC 6531 allows nearly all; what nobody can see is refused,
// since two addresses that look alike are the trouble of both. The joiners
// U+200C and U+200D are letters' business in some scripts.
func utf8Text(s []byte) (int, Fault) {
	r, size := utf8.DecodeRune(s)
	switch {
	case r == utf8.RuneError && size <= 1:
		return 0, NotUTF8
	case r < 0xa0: // C1 controls
		return 0, Control
	case invisible(r):
		return 0, Invisible
	}
	return size, 0
}

func (p *Parser) parseDomain(s []byte) ([]byte, Fault) {
	if len(s) == 0 {
		return nil, NoDomain
	}
	if s[0] == '[' {
		return nil, Literal
	}
	upper, puny := false, false
	label, dots := 0, 0
	for i, c := range s {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
		case c == '-':
			if i == label {
				return nil, DomainHyphen
			}
			// "xn--" at a label's start: the label must decode.
			if i == label+3 && s[i-1] == '-' && s[label]|0x20 == 'x' && s[label+1]|0x20 == 'n' {
				puny = true
			}
		case c >= 'A' && c <= 'Z':
			upper = true
		case c == '.':
			if f := labelFault(s, label, i); f != 0 {
				return nil, f
			}
			label = i + 1
			dots++
		case c >= utf8.RuneSelf:
			return p.mapDomain(s)
		case c < ' ' || c == 0x7f:
			return nil, Control
		default:
			return nil, DomainCharacter
		}
	}
	if f := labelFault(s, label, len(s)); f != 0 {
		return nil, f
	}
	switch {
	case dots == 0:
		return nil, OneLabel
	case len(s) > MaxDomain:
		return nil, DomainTooLong
	case puny:
		return p.mapDomain(s)
	case allDigits(s[label:]):
		// RFC 3696 2: a top-level domain is never all-numeric; this is an
		// IP address without its brackets.
		return nil, Numeric
	case upper:
		p.domain = append(p.domain[:0], s...)
		for i, c := range p.domain {
			if c >= 'A' && c <= 'Z' {
				p.domain[i] = c | 0x20
			}
		}
		return p.domain, 0
	}
	return s, 0
}

func labelFault(s []byte, from, to int) Fault {
	switch {
	case from == to:
		return DomainDots
	case s[to-1] == '-':
		return DomainHyphen
	case to-from > maxLabel:
		return LabelTooLong
	}
	return 0
}

func allDigits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// profile is UTS 46 non-transitional look-up with every check: what it passes
// is a domain that a registry may have handed out.
var profile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false),
	idna.StrictDomainName(true), idna.ValidateLabels(true), idna.VerifyDNSLength(true))

// mapDomain is the way of domains that are not plain ASCII. It allocates.
func (p *Parser) mapDomain(s []byte) ([]byte, Fault) {
	if !utf8.Valid(s) {
		return nil, NotUTF8
	}
	if len(s) > 4*MaxAddress {
		return nil, DomainTooLong // bounds the work; no A-label form is shorter
	}
	mapped, err := profile.ToASCII(string(s))
	if err != nil {
		return nil, IDN
	}
	p.domain = append(p.domain[:0], mapped...)
	// Once more through the plain rules: mapping can bring forth dots and
	// digits. Labels that begin with xn-- were just checked.
	label, dots := 0, 0
	for i, c := range p.domain {
		if c == '.' {
			if f := labelFault(p.domain, label, i); f != 0 {
				return nil, f
			}
			label, dots = i+1, dots+1
		} else if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return nil, IDN
		}
	}
	if f := labelFault(p.domain, label, len(p.domain)); f != 0 {
		return nil, f
	}
	switch {
	case dots == 0:
		return nil, OneLabel
	case len(p.domain) > MaxDomain:
		return nil, DomainTooLong
	case allDigits(p.domain[label:]):
		return nil, Numeric
	}
	return p.domain, 0
}
