package compose

// Quoted-printable (RFC 2045 6.7), in pieces: a body's fixed text is encoded
// once, each piece from the start of a line, and a value is encoded per
// recipient from wherever the piece before it ended. A soft line break after
// each value brings the next piece to the start of a line again.

// maxQPLine is the longest line, without its CRLF (RFC 2045 6.7 rule 5); a soft
// break's "=" counts, so encoded text stops one before.
const maxQPLine = 76

// qpPlain are the octets that stand for themselves anywhere in a line.
var qpPlain = func() (t [256]bool) {
	for b := 33; b <= 126; b++ {
		t[b] = b != '='
	}
	return t
}()

// appendQP encodes s, whose line breaks are CRLF, from the given column, and
// returns the column it ended in. White space before a line break, and at the
// end of s (where a line break may follow), is encoded, RFC 2045 6.7 rule 3.
func appendQP[T string | []byte](dst []byte, s T, column int) ([]byte, int) {
	for i := 0; i < len(s); {
		// A run of octets that stand for themselves.
		n := 0
		for room := maxQPLine - 1 - column; n < room && i+n < len(s) && qpPlain[s[i+n]]; {
			n++
		}
		if n > 0 {
			dst = append(dst, s[i:i+n]...)
			column += n
			i += n
			if i == len(s) {
				break
			}
		}
		b := s[i]
		switch {
		case b == '\r' && i+1 < len(s) && s[i+1] == '\n':
			dst = append(dst, '\r', '\n')
			column = 0
			i += 2
			continue
		case b == ' ' || b == '\t':
			if i+1 < len(s) && s[i+1] != '\r' {
				if column+1 > maxQPLine-1 {
					dst, column = append(dst, "=\r\n"...), 0
				}
				dst = append(dst, b)
				column++
				i++
				continue
			}
		case qpPlain[b]: // the line is full
			dst, column = append(dst, "=\r\n"...), 0
			continue
		}
		if column+3 > maxQPLine-1 {
			dst, column = append(dst, "=\r\n"...), 0
		}
		dst = append(dst, '=', upperHex[b>>4], upperHex[b&15])
		column += 3
		i++
	}
	return dst, column
}
