package compose

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
)

const (
	// foldAt is where header lines are folded where they can be (RFC 5322 2.1.1).
	foldAt = 78
	// maxLine is the longest line of a message without its CRLF (RFC 5322 2.1.1).
	maxLine = 998
	// maxWord is the longest encoded word (RFC 2047 2).
	maxWord = 75
)

// appendUnstructured appends the field "name: text", folded. Text is valid
// UTF-8 without controls; where ASCII cannot say it, or it could be mistaken
// for an encoded word, all of it goes in encoded words.
func appendUnstructured(dst []byte, name string, text []byte) []byte {
	text = bytes.Trim(text, " ")
	dst = append(dst, name...)
	dst = append(dst, ':')
	if len(text) == 0 {
		return append(dst, ' ', '\r', '\n')
	}
	dst = append(dst, ' ')
	column := len(name) + 2
	if foldable(text, column) {
		dst = appendFolded(dst, text, column)
	} else {
		dst, _ = appendWords(dst, text, column)
	}
	return append(dst, '\r', '\n')
}

// foldable reports whether the text can go as it is: ASCII, nothing that looks
// like an encoded word, and no stretch that would make a line too long.
func foldable(text []byte, column int) bool {
	if !isASCII(text) || bytes.Contains(text, []byte("=?")) {
		return false
	}
	if column+len(text) <= maxLine {
		return true
	}
	for line, i := column, 0; i < len(text); i++ {
		if foldsAt(text, i) {
			line = 0
		}
		if line++; line > maxLine {
			return false
		}
	}
	return true
}

// foldsAt reports whether a line may end before text[i]: a single space, since
// many readers make one space of a fold with all the white space behind it.
func foldsAt(text []byte, i int) bool {
	return text[i] == ' ' && i > 0 && text[i-1] != ' ' && i+1 < len(text) && text[i+1] != ' '
}

// appendFolded appends ASCII text, folding it so that lines stay within foldAt
// where they can. No line is of white space alone.
func appendFolded(dst, text []byte, column int) []byte {
	for column+len(text) > foldAt {
		// The last place within the line, else the first behind it.
		at := -1
		for i := 1; i < len(text) && (at < 0 || column+i <= foldAt); i++ {
			if foldsAt(text, i) {
				at = i
			}
		}
		if at < 0 {
			break
		}
		dst = append(dst, text[:at]...)
		dst = append(dst, '\r', '\n')
		text, column = text[at:], 0
	}
	return append(dst, text...)
}

// appendWords appends text as encoded words (RFC 2047), each on a line of its
// own after the first, and returns the column behind the last. The Q form is
// limited to what is allowed anywhere, phrases included (RFC 2047 5 (3)).
func appendWords(dst, text []byte, column int) ([]byte, int) {
	high := 0
	for _, b := range text {
		if !wordPlain[b] {
			high++
		}
	}
	base64Form := high*3+len(text)-high > (len(text)+2)/3*4
	const head, tail = len("=?utf-8?q?"), len("?=")
	for first := true; len(text) > 0; first = false {
		if !first {
			dst = append(dst, '\r', '\n', ' ')
			column = 1
		}
		// A name of nearly a line: begin on the next one.
		if first && column+head+tail+16 > foldAt {
			dst = append(dst, '\r', '\n', ' ')
			column = 1
		}
		room := min(maxWord, foldAt-2-column) - head - tail
		n, used := 0, 0
		for n < len(text) {
			// Characters are never split between words (RFC 2047 5).
			_, size := utf8.DecodeRune(text[n:])
			cost := used
			if base64Form {
				cost = (n + size + 2) / 3 * 4
			} else {
				for _, b := range text[n : n+size] {
					if cost++; !wordPlain[b] {
						cost += 2
					}
				}
			}
			if cost > room {
				break
			}
			n, used = n+size, cost
		}
		if base64Form {
			dst = append(dst, "=?utf-8?b?"...)
			dst = base64.StdEncoding.AppendEncode(dst, text[:n])
		} else {
			dst = append(dst, "=?utf-8?q?"...)
			for _, b := range text[:n] {
				switch {
				case b == ' ':
					dst = append(dst, '_')
				case wordPlain[b]:
					dst = append(dst, b)
				default:
					dst = append(dst, '=', upperHex[b>>4], upperHex[b&15])
				}
			}
		}
		dst = append(dst, '?', '=')
		column += head + tail + used
		text = text[n:]
	}
	return dst, column
}

// wordPlain are the octets that the Q form takes as one octet.
var wordPlain = func() (t [256]bool) {
	for b := range t {
		c := byte(b)
		t[b] = isLetter(c) || isDigit(c) || c == ' ' || c == '!' || c == '*' || c == '+' || c == '-' || c == '/'
	}
	return t
}()

// appendMailbox appends the field "name: display <local@domain>".
func appendMailbox[T string | []byte](dst []byte, name string, display []byte, address T) []byte {
	display = bytes.Trim(display, " ")
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	column := len(name) + 2
	if len(display) == 0 {
		dst = append(dst, address...)
		return append(dst, '\r', '\n')
	}
	start := len(dst)
	switch {
	case !isASCII(display) || bytes.Contains(display, []byte("=?")) || column+2*len(display) > maxLine-2:
		dst, column = appendWords(dst, display, column)
	case isPhrase(display):
		dst = appendFolded(dst, display, column)
	default:
		dst = appendQuoted(dst, display)
		if quoted := dst[start:]; column+len(quoted) > foldAt {
			// Spaces within quotes may be folded at as well (RFC 5322 3.2.4).
			dst = appendFolded(dst[:start], bytes.Clone(quoted), column)
		}
	}
	if last := bytes.LastIndexByte(dst[start:], '\n'); last >= 0 {
		column = len(dst) - start - last - 1
	} else {
		column += len(dst) - start
	}
	if column+3+len(address) > foldAt {
		dst = append(dst, '\r', '\n')
	}
	dst = append(dst, ' ', '<')
	dst = append(dst, address...)
	return append(dst, '>', '\r', '\n')
}

// isPhrase reports whether text is words of atoms, one space between them.
func isPhrase(text []byte) bool {
	for i, b := range text {
		if !isAtomOctet(b) && (b != ' ' || text[i-1] == ' ') {
			return false
		}
	}
	return true
}

// appendQuoted appends a quoted-string (RFC 5322 3.2.4).
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, b := range text {
		if b == '"' || b == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, b)
	}
	return append(dst, '"')
}

// isAtomOctet reports RFC 5322 3.2.3 atext.
func isAtomOctet(b byte) bool {
	if isLetter(b) || isDigit(b) {
		return true
	}
	switch b {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '/', '=', '?', '^', '_', '`', '{', '|', '}', '~':
		return true
	}
	return false
}
