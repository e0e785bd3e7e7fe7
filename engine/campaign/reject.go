package campaign

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Reason is why a row is not loaded. Closed set.
type Reason string

const (
	// Malformed: not a record of CSV, or not a JSON object.
	Malformed Reason = "malformed"
	// WrongColumns: more or fewer values than the header has names.
	WrongColumns Reason = "wrong-columns"
	// TooLong: more than MaxRow octets.
	TooLong Reason = "too-long"
	// NotUTF8: octets that are no UTF-8 text.
	NotUTF8 Reason = "not-utf8"
	// HasNUL: a NUL octet or character in a value.
	HasNUL Reason = "nul"
	// NoAddress: the address is empty or not there.
	NoAddress Reason = "no-address"
	// InvalidAddress: nothing that mail can be sent to.
	InvalidAddress Reason = "invalid-address"
	// Duplicate: the campaign has the address already. It is given where the
	// rows are loaded, since only there are all of them known.
	Duplicate Reason = "duplicate"
)

// Reject is a row that is not loaded.
type Reject struct {
	Seq  uint32
	File string
	// Line is the row's first, from 1.
	Line   int
	Reason Reason
	// Detail says more, for people; it completes a sentence about the row.
	Detail string
	// Address as it stands in the row, printable and cut at 254 octets; empty
	// where the row could not be taken apart.
	Address string
}

// printable is an address that was refused in a form that can be shown: what
// cannot be printed becomes "?".
func printable(s []byte) string {
	const most = 254
	cut := len(s) > most
	if cut {
		s = s[:most]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if len(s) > 0 && s[len(s)-1] >= utf8.RuneSelf {
			s = s[:len(s)-1]
		}
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(s))
}

// number is "1 value", "2 values".
func number(n int) string {
	if n == 1 {
		return "1 value"
	}
	return strconv.Itoa(n) + " values"
}
