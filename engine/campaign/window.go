package campaign

import (
	"bytes"
	"io"
)

// MaxRow is the largest row, in octets: larger ones are rejected, so that a
// quotation mark without its partner cannot swallow a file, nor a row take the
// memory of thousands.
const MaxRow = 256 << 10

// maxLine is a row with its line break.
const maxLine = MaxRow + len("\r\n")

// readAhead is how much is asked of the file at once.
const readAhead = 256 << 10

// window is the part of a stream that is looked at: a whole row and more always
// fits in it, so a row can be read, given up, and its first line skipped
// instead. Rows are cut out of it without copying.
type window struct {
	source     io.Reader
	buf        []byte
	start, end int
	line       int // number of the line that start lies in, from 1
	err        error
}

// reset begins a stream; the buffer is kept.
func (w *window) reset(source io.Reader) {
	if w.buf == nil {
		w.buf = make([]byte, MaxRow+readAhead)
	}
	*w = window{source: source, buf: w.buf, line: 1}
}

// rest is what is there and not yet taken.
func (w *window) rest() []byte { return w.buf[w.start:w.end] }

// done reports that the stream has ended: rest is the last there is.
func (w *window) done() bool { return w.err != nil }

// fault is why the stream ended, nil for its proper end.
func (w *window) fault() error {
	if w.err == io.EOF {
		return nil
	}
	return w.err
}

// more reads on; slices of rest die. It is false when the window is full or the
// stream has ended.
func (w *window) more() bool {
	if w.err != nil {
		return false
	}
	if w.start > 0 && len(w.buf)-w.end < readAhead {
		w.end = copy(w.buf, w.buf[w.start:w.end])
		w.start = 0
	}
	if w.end == len(w.buf) {
		return false
	}
	// A reader may give nothing now and then (io.Reader), but not forever.
	for range 100 {
		n, err := w.source.Read(w.buf[w.end:])
		w.end += n
		w.err = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	w.err = io.ErrNoProgress
	return false
}

// take moves on by n octets.
func (w *window) take(n int) {
	w.line += bytes.Count(w.buf[w.start:w.start+n], newline)
	w.start += n
}

// takeLine moves on by n octets that hold one line break, at their end.
func (w *window) takeLine(n int) {
	w.line++
	w.start += n
}

var newline = []byte{'\n'}

// peekLine is the next line with its break, or without one at the stream's end.
// tooLong: it is longer than maxLine, and line only its beginning. A line of no
// length is the end.
func (w *window) peekLine() (line []byte, tooLong bool) {
	searched := 0
	for {
		rest := w.rest()
		if i := bytes.IndexByte(rest[searched:], '\n'); i >= 0 {
			n := searched + i + 1
			return rest[:n], n > maxLine
		}
		searched = len(rest)
		if searched > maxLine {
			return rest, true
		}
		if !w.more() {
			return w.rest(), false
		}
	}
}

// skipLine drops everything up to and with the next line break, however far.
func (w *window) skipLine() {
	for {
		if i := bytes.IndexByte(w.rest(), '\n'); i >= 0 {
			w.takeLine(i + 1)
			return
		}
		w.start = w.end
		if !w.more() {
			return
		}
	}
}

// trimBreak cuts a line's LF or CR LF; at the stream's end a lone CR counts.
func trimBreak(line []byte, last bool) []byte {
	n := len(line)
	if n > 0 && line[n-1] == '\n' {
		n--
		last = true
	}
	if last && n > 0 && line[n-1] == '\r' {
		n--
	}
	return line[:n]
}
