package compose

import (
	"bytes"
	"strings"
)

// encoding is how a text part goes out (RFC 2045 6).
type encoding uint8

const (
	sevenBit encoding = iota
	eightBit
	quotedPrintable
)

// encodingField is the header field of each encoding.
var encodingField = [...]string{
	sevenBit:        "Content-Transfer-Encoding: 7bit\r\n",
	eightBit:        "Content-Transfer-Encoding: 8bit\r\n",
	quotedPrintable: "Content-Transfer-Encoding: quoted-printable\r\n",
}

// sharedFrom is the size from which fixed text is shared between messages
// rather than copied into each, in octets: below, copying is cheaper than one
// more element in the write.
const sharedFrom = 512

// textPart is one text body, compiled: its fixed pieces in both forms, so that
// only values are encoded per recipient.
type textPart struct {
	program *program
	pieces  []piece
	// encoded: the fixed text alone rules out any form but quoted-printable.
	encoded bool
}

// piece is the fixed text before, between or after the values.
type piece struct {
	text, qp fixed
	// column is where qp ends within its line.
	column int
	// head and tail are the lengths of the first and last line; broken: the
	// text has a line break, so that these are two.
	head, tail int
	broken     bool
	ascii      bool
	// endsMark, beginsMark: at a seam it could complete a boundary's mark.
	endsMark, beginsMark bool
}

// fixed is text that is the same in all messages.
type fixed struct {
	bytes   []byte
	segment int32 // in Template.segments, or -1: short, to be copied
}

// boundaryMark begins every boundary of ours. Quoted-printable text cannot hold
// it (RFC 2045 6.7 gives the same advice), nor can base64.
const boundaryMark = "=_"

// addText compiles a text body. REQUIRES: p is compiled for inText or inHTML.
func (t *Template) addText(p *program) int {
	part := textPart{program: p}
	for _, s := range p.literals {
		pc := piece{text: t.addFixed([]byte(s)), ascii: isASCII(s)}
		qp, column := appendQP(nil, s, 0)
		pc.qp, pc.column = t.addFixed(qp), column
		pc.head, pc.tail, pc.broken = lineEnds(s)
		pc.endsMark = strings.HasSuffix(s, boundaryMark[:1])
		pc.beginsMark = strings.HasPrefix(s, boundaryMark[1:])
		part.encoded = part.encoded || longestInside(s) > maxLine
		part.pieces = append(part.pieces, pc)
	}
	t.texts = append(t.texts, part)
	return len(t.texts) - 1
}

// addFixed registers fixed text.
func (t *Template) addFixed(b []byte) fixed {
	if len(b) < sharedFrom {
		return fixed{b, -1}
	}
	t.segments = append(t.segments, b)
	return fixed{b, int32(len(t.segments) - 1)}
}

// lineEnds is the lengths of the first and the last line.
func lineEnds(s string) (head, tail int, broken bool) {
	first := strings.Index(s, "\r\n")
	if first < 0 {
		return len(s), len(s), false
	}
	return first, len(s) - strings.LastIndex(s, "\r\n") - 2, true
}

// longestInside is the length of the longest line.
func longestInside(s string) int {
	longest := 0
	for {
		i := strings.Index(s, "\r\n")
		if i < 0 {
			return max(longest, len(s))
		}
		longest, s = max(longest, i), s[i+2:]
	}
}

// textRun is one text part of the message in work: its values, made ready.
type textRun struct {
	values []valueSpan // in Composer.scratch
	form   encoding
}

type valueSpan struct{ from, to int }

// decide chooses the encoding: as it is where the server and the lines allow,
// else quoted-printable.
func (c *Composer) decide(part *textPart, run *textRun, caps Caps) {
	run.form = quotedPrintable
	if part.encoded {
		return
	}
	ascii, column, ended := true, 0, false
	for i := range part.pieces {
		p := &part.pieces[i]
		ascii = ascii && p.ascii
		if ended && p.beginsMark {
			return
		}
		if len(p.text.bytes) > 0 {
			ended = p.endsMark
		}
		if column += p.head; column > maxLine {
			return
		}
		if p.broken {
			column = p.tail
		}
		if i == len(run.values) {
			break
		}
		v := c.scratch[run.values[i].from:run.values[i].to]
		if len(v) == 0 {
			continue
		}
		ascii = ascii && isASCII(v)
		// A value that holds the mark of our boundaries, or could complete it.
		if bytes.Contains(v, []byte(boundaryMark)) || ended && v[0] == boundaryMark[1] {
			return
		}
		ended = v[len(v)-1] == boundaryMark[0]
		for {
			n := bytes.IndexByte(v, '\n') // only ever within CRLF
			if n < 0 {
				break
			}
			if column += n - 1; column > maxLine {
				return
			}
			column, v = 0, v[n+1:]
		}
		if column += len(v); column > maxLine {
			return
		}
	}
	switch {
	case ascii:
		run.form = sevenBit
	case caps.EightBitMIME:
		run.form = eightBit
	}
}

// emitText writes a text part in its form.
func (c *Composer) emitText(part *textPart, run *textRun) {
	for i := range part.pieces {
		p := &part.pieces[i]
		if run.form != quotedPrintable {
			c.emitFixed(p.text)
		} else {
			c.emitFixed(p.qp)
		}
		if i == len(run.values) {
			return
		}
		v := c.scratch[run.values[i].from:run.values[i].to]
		if run.form != quotedPrintable {
			c.out = append(c.out, v...)
			continue
		}
		column := 0
		c.out, column = appendQP(c.out, v, p.column)
		// The next piece is encoded from the start of a line.
		if column > 0 && (i+1 < len(run.values) || len(part.pieces[i+1].text.bytes) > 0) {
			c.out = append(c.out, "=\r\n"...)
		}
	}
}

// emitFixed shares long fixed text and copies short.
func (c *Composer) emitFixed(f fixed) {
	if f.segment < 0 {
		c.out = append(c.out, f.bytes...)
		return
	}
	c.closeSpan()
	c.spans = append(c.spans, span{segment: f.segment})
}

// closeSpan ends the stretch of own octets that is being written.
func (c *Composer) closeSpan() {
	if len(c.out) > c.spanFrom {
		c.spans = append(c.spans, span{segment: -1, from: c.spanFrom, to: len(c.out)})
		c.spanFrom = len(c.out)
	}
}
