package smtp

import "bytes"

// Below these sizes copying is cheaper than another entry in the gather list:
// a whole content, and one piece of a larger one.
const (
	copyContent = 4 << 10
	copyPiece   = 512
)

// segment is a piece by reference; it comes behind buf[:from].
type segment struct {
	ref  []byte
	from int
}

// output collects what is to be written: commands and small pieces in buf,
// large pieces by reference.
type output struct {
	buf    []byte
	segs   []segment
	handed bool // what is in here was handed out and may be overwritten
}

// fresh forgets what was handed out. It comes before everything that appends.
func (o *output) fresh() {
	if o.handed {
		o.handed = false
		o.buf = o.buf[:0]
		clear(o.segs)
		o.segs = o.segs[:0]
	}
}

// drop forgets what was not handed out.
func (o *output) drop() {
	if !o.handed {
		o.handed = true
		o.fresh()
	}
}

// appendTo hands out what is pending.
func (o *output) appendTo(dst [][]byte) [][]byte {
	if o.handed {
		return dst
	}
	o.handed = true
	at := 0
	for i := range o.segs {
		sg := &o.segs[i]
		if at < sg.from {
			dst = append(dst, o.buf[at:sg.from])
		}
		dst = append(dst, sg.ref)
		at = sg.from
	}
	if at < len(o.buf) {
		dst = append(dst, o.buf[at:])
	}
	return dst
}

func (o *output) text(s string) { o.buf = append(o.buf, s...) }

// piece appends b: a copy where that is cheaper.
func (o *output) piece(b []byte, byCopy bool) {
	if byCopy || len(b) < copyPiece {
		o.buf = append(o.buf, b...)
		return
	}
	o.segs = append(o.segs, segment{ref: b, from: len(o.buf)})
}

// chunk appends a content as it is (RFC 3030 2: BDAT knows no dot-stuffing).
func (o *output) chunk(content [][]byte, size int) {
	byCopy := size <= copyContent
	for _, part := range content {
		o.piece(part, byCopy)
	}
}

// stuffed appends a content for DATA with its end (RFC 5321 4.5.2): a dot at
// the beginning of a line is doubled, wherever the parts are cut, and the end
// is CRLF.CRLF.
//
// A line begins behind any LF: a message must not hold a bare one, but should
// it do so, no server may take "LF.CRLF" for the end.
func (o *output) stuffed(content [][]byte, size int) {
	byCopy := size <= copyContent
	bol := true
	var before, last byte = '\r', '\n' // the last two octets: an empty content ends like a line
	for _, part := range content {
		if len(part) == 0 {
			continue
		}
		if bol && part[0] == '.' {
			o.text(".")
		}
		rest := part
		for {
			i := bytes.Index(rest, lfDot)
			if i < 0 {
				break
			}
			// The piece ends with the dot, and the next begins with it.
			o.piece(rest[:i+2], byCopy)
			rest = rest[i+1:]
		}
		o.piece(rest, byCopy)
		if n := len(part); n > 1 {
			before, last = part[n-2], part[n-1]
		} else {
			before, last = last, part[0]
		}
		bol = last == '\n'
	}
	if before != '\r' || last != '\n' {
		o.text("\r\n")
	}
	o.text(".\r\n")
}

var lfDot = []byte("\n.")
