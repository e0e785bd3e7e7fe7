package compose

import (
	"unicode/utf8"
)

// place of use decides what a value may contain and how it is escaped.
type usePlace uint8

const (
	inText   usePlace = iota // a text body
	inHTML                   // an HTML body
	inHeader                 // a header field or an address
	inURL                    // a URL in a header field
)

// Classes of octets that a place of use treats specially.
const (
	breakOctet uint8 = 1 << iota // CR and LF
	nulOctet
	markupOctet  // & < > " '
	controlOctet // controls except CR, LF, NUL; DEL
	highOctet    // part of a non-ASCII character
	unsafeOctet  // not to stand in a URL unescaped, beside the above
)

var octetClass = func() (t [256]uint8) {
	for b := range t {
		switch {
		case b >= 0x80:
			t[b] = highOctet
		case b < 0x20 || b == 0x7f:
			t[b] = controlOctet
		}
	}
	t['\r'], t['\n'], t[0] = breakOctet, breakOctet, nulOctet
	for _, b := range []byte("&<>\"'") {
		t[b] |= markupOctet
	}
	// Everything but RFC 3986 2.3 unreserved: a value must not be able to
	// change the URL's structure.
	for b := range 0x80 {
		if c := byte(b); !isLetter(c) && !isDigit(c) && c != '-' && c != '.' && c != '_' && c != '~' {
			t[b] |= unsafeOctet
		}
	}
	return t
}()

var special = [...]uint8{
	inText:   breakOctet | nulOctet,
	inHTML:   breakOctet | nulOctet | markupOctet,
	inHeader: breakOctet | nulOctet | controlOctet,
	inURL:    breakOctet | nulOctet | controlOctet | highOctet | unsafeOctet,
}

// appendEscaped appends a value for its place of use: valid UTF-8, no NUL, line
// breaks as CRLF in bodies and as spaces in headers, markup escaped in HTML,
// percent-encoded in URLs. It returns how many line breaks became spaces.
func appendEscaped[T string | []byte](dst []byte, s T, place usePlace) ([]byte, int) {
	return appendSpecial(dst, s, special[place], place)
}

// appendSafe is appendEscaped for a value that the template declares safe:
// markup in HTML, ready-made URLs; only what would break the message is changed.
func appendSafe[T string | []byte](dst []byte, s T, place usePlace) ([]byte, int) {
	mask := special[place] &^ markupOctet
	if place == inURL {
		mask &^= unsafeOctet
	}
	return appendSpecial(dst, s, mask, place)
}

func appendSpecial[T string | []byte](dst []byte, s T, mask uint8, place usePlace) ([]byte, int) {
	breaks, from, begin := 0, 0, len(dst)
	var seen uint8
	for i := 0; i < len(s); i++ {
		class := octetClass[s[i]]
		seen |= class
		if class&mask == 0 {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch b := s[i]; {
		case class&breakOctet != 0:
			if b == '\r' && i+1 < len(s) && s[i+1] == '\n' {
				i++
				from++
			}
			switch place {
			case inText, inHTML:
				dst = append(dst, '\r', '\n')
			case inHeader:
				dst = append(dst, ' ')
				breaks++
			case inURL:
				breaks++
			}
		case class&nulOctet != 0:
		case place == inURL:
			dst = append(dst, '%', upperHex[b>>4], upperHex[b&15])
		case class&controlOctet != 0:
			if b == '\t' {
				dst = append(dst, ' ')
			}
		default:
			dst = append(dst, entities[b]...)
		}
	}
	dst = append(dst, s[from:]...)
	if seen&highOctet != 0 && mask&highOctet == 0 && !utf8.ValidString(string(s)) {
		dst = repairUTF8(dst, begin)
	}
	return dst, breaks
}

const upperHex = "0123456789ABCDEF"

var entities = [256]string{'&': "&amp;", '<': "&lt;", '>': "&gt;", '"': "&#34;", '\'': "&#39;"}

// repairUTF8 replaces malformed UTF-8 in dst[begin:] by U+FFFD.
func repairUTF8(dst []byte, begin int) []byte {
	broken := string(dst[begin:])
	dst = dst[:begin]
	for _, r := range broken {
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}
