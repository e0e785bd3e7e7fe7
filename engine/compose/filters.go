package compose

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// step is one filter of a substitution, made ready: it appends its result.
type step struct {
	apply func(dst, value []byte, arg string) []byte
	arg   string
	// fallback: the filter is default, and takes the place of an empty value.
	fallback bool
}

// plainFilter is a filter that needs no Liquid interpreter.
type plainFilter struct {
	args  int // how many it takes
	apply func(dst, value []byte, arg string) []byte
}

// plainFilters work on text alone. The Liquid path is given the same functions,
// so that a template means the same on either path.
var plainFilters = map[string]plainFilter{
	"default":    {1, nil},
	"raw":        {0, nil},
	"escape":     {0, appendMarkupEscaped},
	"upcase":     {0, appendUpper},
	"downcase":   {0, appendLower},
	"capitalize": {0, appendCapitalized},
	"strip":      {0, func(dst, v []byte, _ string) []byte { return append(dst, bytes.TrimSpace(v)...) }},
	"append":     {1, func(dst, v []byte, arg string) []byte { return append(append(dst, v...), arg...) }},
	"prepend":    {1, func(dst, v []byte, arg string) []byte { return append(append(dst, arg...), v...) }},
	"url_encode": {0, appendURLEncoded},
}

func appendMarkupEscaped(dst, value []byte, _ string) []byte {
	for _, b := range value {
		if e := entities[b]; e != "" {
			dst = append(dst, e...)
		} else {
			dst = append(dst, b)
		}
	}
	return dst
}

func appendUpper(dst, value []byte, _ string) []byte {
	if !isASCII(value) {
		return append(dst, bytes.ToUpper(value)...)
	}
	for _, b := range value {
		if b >= 'a' && b <= 'z' {
			b -= 0x20
		}
		dst = append(dst, b)
	}
	return dst
}

func appendLower(dst, value []byte, _ string) []byte {
	if !isASCII(value) {
		return append(dst, bytes.ToLower(value)...)
	}
	for _, b := range value {
		if b >= 'A' && b <= 'Z' {
			b += 0x20
		}
		dst = append(dst, b)
	}
	return dst
}

func appendCapitalized(dst, value []byte, _ string) []byte {
	r, n := utf8.DecodeRune(value)
	if n == 0 || r == utf8.RuneError {
		return append(dst, value...)
	}
	return append(utf8.AppendRune(dst, unicode.ToUpper(r)), value[n:]...)
}

func appendURLEncoded(dst, value []byte, _ string) []byte {
	for _, b := range value {
		switch {
		case b == ' ':
			dst = append(dst, '+')
		case octetClass[b]&(unsafeOctet|highOctet|controlOctet|breakOctet|nulOctet) != 0:
			dst = append(dst, '%', upperHex[b>>4], upperHex[b&15])
		default:
			dst = append(dst, b)
		}
	}
	return dst
}

// isASCII reports whether every octet is below 128.
func isASCII[T string | []byte](s T) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// truncate cuts s to length characters, the ellipsis included.
func truncate(s string, length int, ellipsis string) string {
	runes := []rune(s)
	if length < 0 || len(runes) <= length {
		return s
	}
	keep := max(length-utf8.RuneCountInString(ellipsis), 0)
	return string(runes[:keep]) + ellipsis
}

// truncateWords cuts s to so many words.
func truncateWords(s string, words int, ellipsis string) string {
	fields := strings.Fields(s)
	words = max(words, 1)
	if len(fields) <= words {
		return s
	}
	return strings.Join(fields[:words], " ") + ellipsis
}
