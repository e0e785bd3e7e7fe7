package sink

import "bytes"

// verb is an SMTP command as far as the sink tells them apart.
type verb uint8

const (
	verbUnknown verb = iota
	verbEhlo
	verbHelo
	verbMail
	verbRcpt
	verbData
	verbBdat
	verbRset
	verbNoop
	verbQuit
	verbStartTLS
	verbVrfy
	verbHelp
)

// maxLine bounds a command line, CRLF included: 512 octets (RFC 5321 4.5.3.1.4)
// and ample room for what extensions add.
const maxLine = 2048

// splitVerb tells a command line's verb and what follows it. The line has no
// CRLF. Verbs are case-insensitive (RFC 5321 2.4).
func splitVerb(line []byte) (verb, []byte) {
	if len(line) < 4 {
		return verbUnknown, nil
	}
	key := uint32(line[0]|0x20)<<24 | uint32(line[1]|0x20)<<16 | uint32(line[2]|0x20)<<8 | uint32(line[3]|0x20)
	v, n := verbUnknown, 4
	switch key {
	case 'm'<<24 | 'a'<<16 | 'i'<<8 | 'l':
		v = verbMail
	case 'r'<<24 | 'c'<<16 | 'p'<<8 | 't':
		v = verbRcpt
	case 'b'<<24 | 'd'<<16 | 'a'<<8 | 't':
		v = verbBdat
	case 'd'<<24 | 'a'<<16 | 't'<<8 | 'a':
		v = verbData
	case 'r'<<24 | 's'<<16 | 'e'<<8 | 't':
		v = verbRset
	case 'e'<<24 | 'h'<<16 | 'l'<<8 | 'o':
		v = verbEhlo
	case 'h'<<24 | 'e'<<16 | 'l'<<8 | 'o':
		v = verbHelo
	case 'n'<<24 | 'o'<<16 | 'o'<<8 | 'p':
		v = verbNoop
	case 'q'<<24 | 'u'<<16 | 'i'<<8 | 't':
		v = verbQuit
	case 'v'<<24 | 'r'<<16 | 'f'<<8 | 'y':
		v = verbVrfy
	case 'h'<<24 | 'e'<<16 | 'l'<<8 | 'p':
		v = verbHelp
	case 's'<<24 | 't'<<16 | 'a'<<8 | 'r':
		if len(line) < 8 || !bytes.EqualFold(line[4:8], []byte("ttls")) {
			return verbUnknown, nil
		}
		v, n = verbStartTLS, 8
	}
	if v == verbUnknown || len(line) > n && line[n] != ' ' {
		return verbUnknown, nil
	}
	return v, bytes.Trim(line[n:], " \t")
}

// splitPath reads "FROM:<path> params" or "TO:<path> params" (RFC 5321 4.1.2).
// The path is returned without brackets and without a source route.
func splitPath(arg []byte, keyword string) (path, params []byte, ok bool) {
	if len(arg) < len(keyword)+3 || !bytes.EqualFold(arg[:len(keyword)], []byte(keyword)) || arg[len(keyword)] != ':' {
		return nil, nil, false
	}
	arg = bytes.TrimLeft(arg[len(keyword)+1:], " ") // tolerated, as most servers do
	if len(arg) < 2 || arg[0] != '<' {
		return nil, nil, false
	}
	quoted := false
	for i := 1; i < len(arg); i++ {
		switch c := arg[i]; {
		case c == '\\' && quoted:
			i++ // a quoted pair (RFC 5321 4.1.2)
		case c == '"':
			quoted = !quoted
		case c < ' ' || c == 0x7f || c == '<' && !quoted:
			return nil, nil, false
		case c == '>' && !quoted:
			path, params = arg[1:i], arg[i+1:]
			if len(params) > 0 && params[0] != ' ' {
				return nil, nil, false
			}
			if len(path) > 0 && path[0] == '@' { // a source route is ignored (RFC 5321 4.1.1.3)
				_, rest, found := bytes.Cut(path, []byte(":"))
				if !found {
					return nil, nil, false
				}
				path = rest
			}
			return path, bytes.TrimLeft(params, " "), true
		}
	}
	return nil, nil, false
}

// nextParam cuts the next "KEY[=VALUE]" off esmtp parameters; key is nil at the end.
func nextParam(params []byte) (key, value, rest []byte) {
	params = bytes.TrimLeft(params, " ")
	if len(params) == 0 {
		return nil, nil, nil
	}
	word := params
	if i := bytes.IndexByte(params, ' '); i >= 0 {
		word, rest = params[:i], params[i+1:]
	}
	if i := bytes.IndexByte(word, '='); i >= 0 {
		return word[:i], word[i+1:], rest
	}
	return word, nil, rest
}

// number reads a decimal number of at most 15 digits.
func number(p []byte) (int64, bool) {
	if len(p) == 0 || len(p) > 15 {
		return 0, false
	}
	var n int64
	for _, c := range p {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// splitChunk reads BDAT's argument: a size and perhaps LAST (RFC 3030 2).
func splitChunk(arg []byte) (size int64, last, ok bool) {
	word, rest := arg, []byte(nil)
	if i := bytes.IndexByte(arg, ' '); i >= 0 {
		word, rest = arg[:i], bytes.TrimLeft(arg[i+1:], " ")
	}
	size, ok = number(word)
	if len(rest) > 0 {
		last = bytes.EqualFold(rest, []byte("LAST"))
		ok = ok && last
	}
	return size, last, ok
}

// dotFinder looks for the end of DATA content, CRLF "." CRLF and nothing else:
// accepting a bare LF there is how messages are smuggled.
type dotFinder struct {
	seen int // octets of dotEnd that the content so far ends with
}

var dotEnd = []byte("\r\n.\r\n")

// reset starts a content: its first line begins as if a CRLF came before it.
func (d *dotFinder) reset() { d.seen = 2 }

// find returns how many octets of p belong to the content and its end mark, and
// whether the end is among them.
func (d *dotFinder) find(p []byte) (n int, end bool) {
	i := 0
	for d.seen > 0 && i < len(p) {
		d.step(p[i])
		i++
		if d.seen == len(dotEnd) {
			return i, true
		}
	}
	if i == len(p) {
		return i, false
	}
	if j := bytes.Index(p[i:], dotEnd); j >= 0 {
		return i + j + len(dotEnd), true
	}
	// Only the last octets can be the beginning of an end mark.
	for _, c := range p[max(i, len(p)-len(dotEnd)+1):] {
		d.step(c)
	}
	return len(p), false
}

func (d *dotFinder) step(c byte) {
	switch {
	case c == dotEnd[d.seen]:
		d.seen++
	case c == '\r':
		d.seen = 1
	default:
		d.seen = 0
	}
}
