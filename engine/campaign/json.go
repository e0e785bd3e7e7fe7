package campaign

import (
	"unicode/utf16"
	"unicode/utf8"
)

// jsonRow takes one line of JSON apart: an object whose members are columns
// (RFC 8259, jsonlines.org). Strings are unescaped; every other value stays as
// it is written, so that its type and a number's digits last.
type jsonRow struct {
	members []member
	text    []byte // the line
	at      int
	scratch []byte // unescaped strings
}

// member is one key with its value. Both point into the line or the scratch.
type member struct {
	key, value []byte
	isText     bool
}

// jsonFault is why a line is no row. The zero value is none.
type jsonFault struct {
	reason Reason
	detail string
}

func malformed(detail string) jsonFault { return jsonFault{Malformed, detail} }

// maxNesting bounds values within values.
const maxNesting = 32

// parse reads text, which is valid UTF-8. The members die at the next parse.
func (j *jsonRow) parse(text []byte) jsonFault {
	j.members, j.text, j.at = j.members[:0], text, 0
	// Unescaped strings are never longer than they are written; with the room
	// there from the start, slices of it stay where they are.
	if cap(j.scratch) < len(text) {
		j.scratch = make([]byte, 0, 2*len(text))
	}
	j.scratch = j.scratch[:0]
	if !j.eat('{') {
		return malformed("is not a JSON object")
	}
	if j.eat('}') {
		return j.end()
	}
	for {
		key, f := j.str()
		if f.reason != "" {
			return f
		}
		if !j.eat(':') {
			return malformed("lacks a colon behind a key")
		}
		m := member{key: key}
		j.space()
		if j.at < len(j.text) && j.text[j.at] == '"' {
			m.isText = true
			m.value, f = j.str()
		} else {
			from := j.at
			f = j.skip(0)
			m.value = j.text[from:j.at]
		}
		if f.reason != "" {
			return f
		}
		j.members = append(j.members, m)
		if j.eat(',') {
			continue
		}
		if !j.eat('}') {
			return malformed("is not closed, or lacks a comma")
		}
		return j.end()
	}
}

func (j *jsonRow) end() jsonFault {
	if j.space(); j.at < len(j.text) {
		return malformed("has something behind its JSON object")
	}
	return jsonFault{}
}

func (j *jsonRow) space() {
	for j.at < len(j.text) {
		switch j.text[j.at] {
		case ' ', '\t', '\r', '\n':
			j.at++
		default:
			return
		}
	}
}

// eat takes c, with space before it, if it comes next.
func (j *jsonRow) eat(c byte) bool {
	if j.space(); j.at < len(j.text) && j.text[j.at] == c {
		j.at++
		return true
	}
	return false
}

// str reads a string: a slice of the line where nothing is escaped.
func (j *jsonRow) str() ([]byte, jsonFault) {
	if !j.eat('"') {
		return nil, malformed("has no string where one belongs")
	}
	from := j.at
	for ; j.at < len(j.text); j.at++ {
		switch c := j.text[j.at]; {
		case c == '"':
			j.at++
			return j.text[from : j.at-1], jsonFault{}
		case c == '\\':
			return j.escaped(from)
		case c < ' ':
			return nil, malformed("has a control character in a string")
		}
	}
	return nil, malformed("has a string that is not closed")
}

// escaped goes on with a string whose first escape is at j.at.
func (j *jsonRow) escaped(from int) ([]byte, jsonFault) {
	begin := len(j.scratch)
	j.scratch = append(j.scratch, j.text[from:j.at]...)
	for j.at < len(j.text) {
		c := j.text[j.at]
		j.at++
		switch {
		case c == '"':
			return j.scratch[begin:], jsonFault{}
		case c < ' ':
			return nil, malformed("has a control character in a string")
		case c != '\\':
			j.scratch = append(j.scratch, c)
			continue
		}
		if f := j.escape(); f.reason != "" {
			return nil, f
		}
	}
	return nil, malformed("has a string that is not closed")
}

// escape reads what follows a backslash.
func (j *jsonRow) escape() jsonFault {
	if j.at == len(j.text) {
		return malformed("has a string that is not closed")
	}
	c := j.text[j.at]
	j.at++
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return j.unicode()
	default:
		return malformed("has an unknown escape in a string")
	}
	j.scratch = append(j.scratch, c)
	return jsonFault{}
}

func (j *jsonRow) unicode() jsonFault {
	r, ok := j.hex()
	if !ok {
		return malformed("has an unknown escape in a string")
	}
	if r == 0 {
		return jsonFault{HasNUL, "has a NUL character in a string"}
	}
	if utf16.IsSurrogate(r) {
		// Half a pair is no character: a guess would change the text.
		const half = "has half of a surrogate pair in a string"
		if j.at+1 >= len(j.text) || j.text[j.at] != '\\' || j.text[j.at+1] != 'u' {
			return malformed(half)
		}
		j.at += 2
		low, ok := j.hex()
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return malformed(half)
		}
	}
	j.scratch = utf8.AppendRune(j.scratch, r)
	return jsonFault{}
}

func (j *jsonRow) hex() (r rune, ok bool) {
	if len(j.text)-j.at < 4 {
		return 0, false
	}
	for _, c := range j.text[j.at : j.at+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = (c | 0x20) - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	j.at += 4
	return r, true
}

// skip checks and passes one value that stays as it is written.
func (j *jsonRow) skip(depth int) jsonFault {
	j.space()
	if j.at == len(j.text) {
		return malformed("lacks a value")
	}
	if depth > maxNesting {
		return malformed("is nested too deeply")
	}
	switch c := j.text[j.at]; {
	case c == '"':
		// Unescaped for its check alone; the room is given back.
		n := len(j.scratch)
		_, f := j.str()
		j.scratch = j.scratch[:n]
		return f
	case c == '[':
		return j.skipList(depth)
	case c == '{':
		return j.skipObject(depth)
	case c == '-' || c >= '0' && c <= '9':
		return j.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if n := j.at + len(word); n <= len(j.text) && string(j.text[j.at:n]) == word {
			j.at = n
			return jsonFault{}
		}
	}
	return malformed("has a value that is no JSON")
}

func (j *jsonRow) skipList(depth int) jsonFault {
	j.at++
	if j.eat(']') {
		return jsonFault{}
	}
	for {
		if f := j.skip(depth + 1); f.reason != "" {
			return f
		}
		if j.eat(']') {
			return jsonFault{}
		}
		if !j.eat(',') {
			return malformed("has a list that is not closed, or lacks a comma")
		}
	}
}

func (j *jsonRow) skipObject(depth int) jsonFault {
	j.at++
	if j.eat('}') {
		return jsonFault{}
	}
	for {
		n := len(j.scratch)
		_, f := j.str()
		j.scratch = j.scratch[:n]
		if f.reason != "" {
			return f
		}
		if !j.eat(':') {
			return malformed("lacks a colon behind a key")
		}
		if f := j.skip(depth + 1); f.reason != "" {
			return f
		}
		if j.eat('}') {
			return jsonFault{}
		}
		if !j.eat(',') {
			return malformed("is not closed, or lacks a comma")
		}
	}
}

// number passes an RFC 8259 6 number.
func (j *jsonRow) number() jsonFault {
	digits := func() (n int) {
		for ; j.at < len(j.text) && j.text[j.at] >= '0' && j.text[j.at] <= '9'; n++ {
			j.at++
		}
		return n
	}
	next := func(set string) bool {
		for i := range len(set) {
			if j.at < len(j.text) && j.text[j.at] == set[i] {
				j.at++
				return true
			}
		}
		return false
	}
	const detail = "has a number that is no JSON"
	next("-")
	zero := j.at < len(j.text) && j.text[j.at] == '0'
	if n := digits(); n == 0 || zero && n > 1 {
		return malformed(detail)
	}
	if next(".") && digits() == 0 {
		return malformed(detail)
	}
	if next("eE") {
		next("+-")
		if digits() == 0 {
			return malformed(detail)
		}
	}
	return jsonFault{}
}
