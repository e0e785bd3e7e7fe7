package campaign

import "bytes"

// csvRows cuts a stream into the records of RFC 4180, with commas or tabs,
// LF or CR LF, as encoding/csv reads them with its strict rules. encoding/csv
// itself is not used because it reads on without bound behind a quotation mark
// that has no partner, and cannot go back.
//
// What cannot be a record costs its first line: the next record begins in the
// line after. So one stray quotation mark costs one row, never the rest of the
// file, and no line goes unaccounted for.
type csvRows struct {
	w     *window
	comma byte
	// Fields of the last record; they die at the next.
	fields [][]byte
	// raw is the last record as it stands in the file.
	raw []byte

	scratch []byte // content of fields with quotes
	ends    []fieldEnd
}

// fieldEnd is where a field of a quoted record lies: in scratch.
type fieldEnd struct{ from, to int }

// next reads a record. ok false with an empty reason is the stream's end; with
// a reason it is a row that is none, and the stream goes on behind its line.
// The line is the record's first.
func (c *csvRows) next() (line int, reason Reason, detail string, ok bool) {
	for {
		text, tooLong := c.w.peekLine()
		line = c.w.line
		if len(text) == 0 {
			return line, "", "", false
		}
		trimmed := trimBreak(text, c.w.done())
		if tooLong || len(trimmed) > MaxRow {
			c.w.skipLine()
			return line, TooLong, tooLongDetail, false
		}
		if len(trimmed) == 0 { // encoding/csv: empty lines are no records
			c.w.take(len(text))
			continue
		}
		if bytes.IndexByte(trimmed, '"') >= 0 {
			break
		}
		c.raw = trimmed
		c.split(trimmed)
		c.w.take(len(text))
		return line, "", "", true
	}
	reason, detail = c.quoted()
	return line, reason, detail, reason == ""
}

const tooLongDetail = "is longer than 256 KiB"

// split cuts a record without quotation marks.
func (c *csvRows) split(text []byte) {
	c.fields = c.fields[:0]
	for {
		i := bytes.IndexByte(text, c.comma)
		if i < 0 {
			break
		}
		c.fields = append(c.fields, text[:i])
		text = text[i+1:]
	}
	c.fields = append(c.fields, text)
}

// quoted reads a record that has quotation marks in its first line.
func (c *csvRows) quoted() (Reason, string) {
	for {
		// Only so far is looked, however much is there, so that what becomes of
		// a row does not hang on how the file came in.
		data := c.w.rest()
		enough := len(data) > maxLine
		if enough {
			data = data[:maxLine]
		}
		last := c.w.done() && !enough
		n, detail := c.scan(data, last)
		switch {
		case n > 0:
			c.raw = data[:n]
			c.w.take(n)
			c.fields = c.fields[:0]
			for _, f := range c.ends {
				c.fields = append(c.fields, c.scratch[f.from:f.to])
			}
			return "", ""
		case n == 0 && !last && !enough:
			c.w.more()
			continue
		}
		// Not a record: give up its first line only.
		reason := Malformed
		switch {
		case n == 0 && enough:
			reason, detail = TooLong, "has a quoted value that does not end within 256 KiB"
		case n == 0:
			detail = "has a quotation mark that is not closed"
		}
		text, _ := c.w.peekLine()
		c.raw = text
		c.w.take(len(text))
		return reason, detail
	}
}

// scan reads one record at the beginning of data; n is its length with its line
// break, 0 if it does not end in data, and -1 with a reason if it is malformed.
func (c *csvRows) scan(data []byte, last bool) (n int, detail string) {
	c.scratch, c.ends = c.scratch[:0], c.ends[:0]
	i := 0
	for {
		from := len(c.scratch)
		var state scanState
		if i < len(data) && data[i] == '"' {
			i, state = c.scanQuoted(data, i+1, last)
		} else {
			i, state = c.scanBare(data, i, last)
		}
		switch state {
		case scanComma:
			c.ends = append(c.ends, fieldEnd{from, len(c.scratch)})
		case scanEnd:
			c.ends = append(c.ends, fieldEnd{from, len(c.scratch)})
			return i, ""
		case scanMore:
			return 0, ""
		case scanBareQuote:
			return -1, "has a quotation mark within a value that is not quoted"
		case scanTail:
			return -1, "has text behind a closing quotation mark"
		}
	}
}

// scanState is how a field ended.
type scanState uint8

const (
	scanComma scanState = iota
	scanEnd
	scanMore
	scanBareQuote
	scanTail
)

// scanBare reads a field without quotes from i on.
func (c *csvRows) scanBare(data []byte, i int, last bool) (int, scanState) {
	for j := i; j < len(data); j++ {
		switch data[j] {
		case c.comma:
			c.scratch = append(c.scratch, data[i:j]...)
			return j + 1, scanComma
		case '\n':
			c.scratch = append(c.scratch, trimBreak(data[i:j+1], false)...)
			return j + 1, scanEnd
		case '"':
			return j, scanBareQuote
		}
	}
	if !last {
		return i, scanMore
	}
	c.scratch = append(c.scratch, trimBreak(data[i:], true)...)
	return len(data), scanEnd
}

// scanQuoted reads a field whose opening quotation mark lies before i.
func (c *csvRows) scanQuoted(data []byte, i int, last bool) (int, scanState) {
	for {
		j := bytes.IndexByte(data[i:], '"')
		if j < 0 {
			return i, scanMore
		}
		c.appendText(data[i : i+j])
		i += j + 1
		switch {
		case i == len(data):
			if last {
				return i, scanEnd
			}
			return i, scanMore
		case data[i] == '"':
			c.scratch = append(c.scratch, '"')
			i++
		case data[i] == c.comma:
			return i + 1, scanComma
		case data[i] == '\n':
			return i + 1, scanEnd
		case data[i] == '\r':
			switch {
			case i+1 < len(data) && data[i+1] == '\n':
				return i + 2, scanEnd
			case i+1 == len(data) && last:
				return i + 1, scanEnd
			case i+1 == len(data):
				return i, scanMore
			}
			return i, scanTail
		default:
			return i, scanTail
		}
	}
}

// appendText takes over quoted text; CR LF in it becomes LF (as encoding/csv).
func (c *csvRows) appendText(text []byte) {
	for {
		i := bytes.IndexByte(text, '\r')
		if i < 0 || i+1 == len(text) {
			break
		}
		c.scratch = append(c.scratch, text[:i]...)
		if text[i+1] != '\n' {
			c.scratch = append(c.scratch, '\r')
		}
		text = text[i+1:]
	}
	c.scratch = append(c.scratch, text...)
}
