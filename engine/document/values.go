package document

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Each method below sets *dst and reports true, or records a problem, leaves
// *dst as it was and reports false.

// Text takes any single value as it is written. Control characters other than
// line breaks and tabs are refused.
func (n *Node) Text(dst *string) bool {
	s, ok := n.scalar()
	if !ok {
		n.expected("text")
		return false
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f }); i >= 0 {
		n.Problem("holds a control character (U+%04X)", s[i])
		return false
	}
	*dst = s
	return true
}

// Word is a text of one line that is not empty, without spaces around it.
func (n *Node) Word(dst *string) bool {
	var s string
	if !n.Text(&s) {
		return false
	}
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		n.Problem("is empty")
		return false
	case strings.ContainsAny(s, "\r\n"):
		n.Problem("must be one line")
		return false
	}
	*dst = s
	return true
}

// Choice is one of the given words.
func (n *Node) Choice(dst *string, words ...string) bool {
	var s string
	if !n.Word(&s) {
		return false
	}
	if !slices.Contains(words, s) {
		n.Problem("is %q, but must be one of %s", s, strings.Join(words, ", "))
		return false
	}
	*dst = s
	return true
}

// Int is a whole number from least to most.
func (n *Node) Int(dst *int, least, most int) bool {
	var s string
	if !n.Word(&s) {
		return false
	}
	v, err := strconv.Atoi(strings.ReplaceAll(s, "_", ""))
	if err != nil {
		n.Problem("is %q, but must be a whole number", s)
		return false
	}
	if v < least || v > most {
		n.Problem("is %d, but must be from %d to %d", v, least, most)
		return false
	}
	*dst = v
	return true
}

// Number is a finite number from least to most.
func (n *Node) Number(dst *float64, least, most float64) bool {
	var s string
	if !n.Word(&s) {
		return false
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		n.Problem("is %q, but must be a number", s)
		return false
	}
	if v < least || v > most {
		n.Problem("is %v, but must be from %v to %v", v, least, most)
		return false
	}
	*dst = v
	return true
}

// Duration is a time span such as 300ms, 5m, 1h30m or 3d, from least to most.
func (n *Node) Duration(dst *time.Duration, least, most time.Duration) bool {
	var s string
	if !n.Word(&s) {
		return false
	}
	v, ok := ParseDuration(s)
	if !ok {
		n.Problem("is %q, but must be a time span such as 300ms, 30s, 5m, 4h or 3d", s)
		return false
	}
	if v < least || v > most {
		n.Problem("is %s, but must be from %s to %s", FormatDuration(v), FormatDuration(least), FormatDuration(most))
		return false
	}
	*dst = v
	return true
}

// Size is a number of octets such as 64MB or 1GiB, from least to most.
func (n *Node) Size(dst *int64, least, most int64) bool {
	var s string
	if !n.Word(&s) {
		return false
	}
	v, ok := ParseSize(s)
	if !ok {
		n.Problem("is %q, but must be a size such as 512kB, 64MB or 1GiB", s)
		return false
	}
	if v < least || v > most {
		n.Problem("is %s, but must be from %s to %s", FormatSize(v), FormatSize(least), FormatSize(most))
		return false
	}
	*dst = v
	return true
}

// Rate is so many per time, such as 100/s, 5000/h or 10/30s; "none" is a Rate
// of infinitely many.
func (n *Node) Rate(dst *Rate) bool {
	var s string
	if !n.Word(&s) {
		return false
	}
	v, ok := ParseRate(s)
	if !ok {
		n.Problem("is %q, but must be a rate such as 100/s, 600/m or 5000/h, or none", s)
		return false
	}
	*dst = v
	return true
}

// Time is a moment with its zone (RFC 3339), such as 2026-03-01T09:00:00+01:00.
func (n *Node) Time(dst *time.Time) bool {
	var s string
	if !n.Word(&s) {
		return false
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04Z07:00"} {
		if v, err := time.Parse(layout, s); err == nil {
			*dst = v
			return true
		}
	}
	n.Problem("is %q, but must be a time with its zone, such as 2026-03-01T09:00:00+01:00", s)
	return false
}

// Addr is an IP address without a zone.
func (n *Node) Addr(dst *netip.Addr) bool {
	var s string
	if !n.Word(&s) {
		return false
	}
	v, err := netip.ParseAddr(s)
	if err != nil || v.Zone() != "" {
		n.Problem("is %q, but must be an IP address", s)
		return false
	}
	*dst = v
	return true
}

// Prefix is a network such as 10.0.0.0/8; a single address is its own network.
func (n *Node) Prefix(dst *netip.Prefix) bool {
	var s string
	if !n.Word(&s) {
		return false
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		*dst = netip.PrefixFrom(addr, addr.BitLen())
		return true
	}
	v, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		n.Problem("is %q, but must be a network such as 10.0.0.0/8 or fd00::/8", s)
		return false
	case v != v.Masked():
		n.Problem("is %s, which has bits set behind its mask; did you mean %s?", v, v.Masked())
		return false
	}
	*dst = v
	return true
}
