package address

import (
	"bytes"
	"unicode"
)

// Fault is why an address was refused. Closed set; it is an error.
type Fault uint8

const (
	_ Fault = iota
	Empty
	NoAt
	NoLocal
	NoDomain
	DisplayName
	SeveralAddresses
	Scheme
	Space
	LocalDots
	LocalCharacter
	LocalTooLong
	Unquoted
	DomainDots
	DomainHyphen
	DomainCharacter
	DomainTooLong
	LabelTooLong
	OneLabel
	Numeric
	Literal
	IDN
	TooLong
	Control
	Invisible
	NotUTF8

	numFaults = int(NotUTF8) + 1
)

var faultTexts = [numFaults]string{
	Empty:            "is empty",
	NoAt:             "has no @",
	NoLocal:          "has nothing before the @",
	NoDomain:         "has nothing behind the @",
	DisplayName:      "has a name or angle brackets: only the bare address belongs here",
	SeveralAddresses: "holds several addresses: one row, one address",
	Scheme:           "begins with mailto: only the bare address belongs here",
	Space:            "has a space in it",
	LocalDots:        "has a dot too many before the @",
	LocalCharacter:   "has a character before the @ that must not be there",
	LocalTooLong:     "has more than 64 octets before the @",
	Unquoted:         "has a quotation mark that is not closed",
	DomainDots:       "has a dot too many in its domain",
	DomainHyphen:     "has a hyphen at the edge of a part of its domain",
	DomainCharacter:  "has a character in its domain that must not be there",
	DomainTooLong:    "has a domain of more than 253 octets",
	LabelTooLong:     "has a domain part of more than 63 octets",
	OneLabel:         "has a domain without a dot",
	Numeric:          "has a number as its top-level domain",
	Literal:          "has an IP address instead of a domain",
	IDN:              "has an internationalised domain that is not valid",
	TooLong:          "has more than 254 octets",
	Control:          "has a control character in it",
	Invisible:        "has an invisible character in it",
	NotUTF8:          "is not valid UTF-8",
}

// Error completes a sentence that begins with the address.
func (f Fault) Error() string {
	if int(f) >= numFaults || f == 0 {
		return "is not valid"
	}
	return faultTexts[f]
}

// explain finds the mistake that a person most likely made behind a fault of
// the grammar, so that the reason helps. Only refused addresses come here.
func explain(s []byte, f Fault) Fault {
	switch f {
	case LocalCharacter, DomainCharacter, Unquoted, NoAt:
	default:
		return f
	}
	switch {
	case bytes.IndexByte(s, '<') >= 0 || bytes.IndexByte(s, '>') >= 0:
		return DisplayName
	case len(s) > 7 && bytes.EqualFold(s[:7], []byte("mailto:")):
		return Scheme
	case bytes.Count(s, []byte("@")) > 1 && bytes.ContainsAny(s, ",; "):
		return SeveralAddresses
	case f != NoAt && f != Unquoted && bytes.ContainsAny(s, " \t"):
		return Space
	}
	return f
}

// invisible characters would make two addresses look like one.
func invisible(r rune) bool {
	if r == 0x200c || r == 0x200d {
		return false
	}
	return unicode.IsSpace(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}
