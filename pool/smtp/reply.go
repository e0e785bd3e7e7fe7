package smtp

import (
	"bytes"
	"strings"
)

// Bounds on what a server may say. RFC 5321 4.5.3.1.5 gives 512 octets a line;
// real servers go beyond, and nobody needs more than these.
const (
	maxReplyLine   = 4096
	maxReplyOctets = 32 << 10
	maxReplyLines  = 256
)

// reply is a Reply whose text is still the parser's: it dies with the next call.
type reply struct {
	code     int
	enhanced EnhancedCode
	text     []byte
}

func (r *reply) class() int { return r.code / 100 }

// parser cuts a byte stream into replies, wherever the stream was cut before.
type parser struct {
	partial []byte // a line whose end has not come
	text    []byte // the text of a multi-line reply so far
	code    int    // of the multi-line reply; 0: at a reply's beginning
	lines   int
	octets  int
	enh     EnhancedCode
	heard   func(line []byte) // nil: nobody wants to know
}

// next takes one reply from in and returns what is behind it. done is false
// when in was used up without completing a reply.
func (p *parser) next(in []byte) (r reply, rest []byte, done bool, err error) {
	for len(in) > 0 {
		end := bytes.IndexByte(in, '\n')
		if end < 0 {
			p.partial = append(p.partial, in[:min(len(in), maxReplyLine+1)]...)
			if len(p.partial) > maxReplyLine {
				return reply{}, nil, false, ErrReplyTooLong
			}
			return reply{}, nil, false, nil
		}
		line := in[:end]
		in = in[end+1:]
		if len(line)+len(p.partial) > maxReplyLine {
			return reply{}, nil, false, ErrReplyTooLong
		}
		if len(p.partial) > 0 {
			p.partial = append(p.partial, line...)
			line = p.partial
			p.partial = p.partial[:0]
		}
		// A bare LF ends a line too: a server that sends one is sloppy, not hostile.
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		if p.heard != nil {
			p.heard(line)
		}
		if r, done, err = p.line(line); done || err != nil {
			return r, in, done, err
		}
	}
	return reply{}, nil, false, nil
}

// line takes one line without its end.
func (p *parser) line(line []byte) (reply, bool, error) {
	code, last, text, ok := splitLine(line)
	if !ok {
		return reply{}, false, ErrGarbage
	}
	// RFC 5321 4.2.1: the code is the same on all lines. Servers that vary it
	// within one class exist and can be understood: the last line counts.
	if p.code != 0 && p.code/100 != code/100 {
		return reply{}, false, ErrGarbage
	}
	enh, text := cutEnhanced(code, text)
	if p.enh == (EnhancedCode{}) {
		p.enh = enh
	}
	if p.code == 0 && last {
		p.enh = EnhancedCode{}
		return reply{code: code, enhanced: enh, text: text}, true, nil
	}
	if p.code == 0 {
		p.text = p.text[:0]
	} else {
		p.text = append(p.text, '\n')
	}
	p.code = code
	p.text = append(p.text, text...)
	p.lines++
	p.octets += len(line)
	if p.lines > maxReplyLines || p.octets > maxReplyOctets {
		return reply{}, false, ErrReplyTooLong
	}
	if !last {
		return reply{}, false, nil
	}
	r := reply{code: code, enhanced: p.enh, text: p.text}
	p.code, p.lines, p.octets, p.enh = 0, 0, 0, EnhancedCode{}
	return r, true, nil
}

// splitLine reads "250-text", "250 text" or the bare "250" that RFC 5321 4.2
// asks clients to bear. Codes run from 200 to 599: 1yz has no use in SMTP.
func splitLine(line []byte) (code int, last bool, text []byte, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !digit(line[1]) || !digit(line[2]) {
		return 0, false, nil, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, true, nil, true
	}
	switch line[3] {
	case ' ':
		return code, true, line[4:], true
	case '-':
		return code, false, line[4:], true
	}
	return 0, false, nil, false
}

// cutEnhanced takes an RFC 2034 status code off a line's text. It is believed
// only where it is plausible: its class is the reply's, and it stands alone.
// Some servers write "#5.1.1".
func cutEnhanced(code int, line []byte) (EnhancedCode, []byte) {
	var e EnhancedCode
	text := line
	if len(text) > 0 && text[0] == '#' {
		text = text[1:]
	}
	if len(text) < 5 || int(text[0]-'0') != code/100 || text[0] == '3' || text[1] != '.' {
		return e, line
	}
	e[0] = uint16(text[0] - '0')
	i := 2
	for part := 1; part <= 2; part++ {
		start, n := i, uint16(0)
		for i < len(text) && digit(text[i]) && i-start < 3 {
			n = n*10 + uint16(text[i]-'0')
			i++
		}
		if i == start {
			return EnhancedCode{}, line
		}
		e[part] = n
		if part == 1 {
			if i == len(text) || text[i] != '.' {
				return EnhancedCode{}, line
			}
			i++
		}
	}
	if i == len(text) {
		return e, nil
	}
	if text[i] != ' ' && text[i] != '\t' {
		return EnhancedCode{}, line
	}
	return e, text[i+1:]
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// appendClean appends text as Reply.Text promises it: bounded and printable.
func appendClean(dst, text []byte) []byte {
	text = bytes.TrimRight(text[:min(len(text), MaxReplyText)], " \t\r\n")
	for _, c := range text {
		switch {
		case c == '\t':
			c = ' '
		case c != '\n' && (c < ' ' || c > '~'):
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}

// tooManyRecipients tells a 552 to RCPT that stands for 452 (RFC 5321
// 4.5.3.1.10) from one that speaks of a full mailbox.
func tooManyRecipients(r *Reply) bool {
	if r.Enhanced[1] == 5 && r.Enhanced[2] == 3 { // RFC 3463 X.5.3
		return true
	}
	text := strings.ToLower(r.Text)
	return strings.Contains(text, "too many recipients") || strings.Contains(text, "too many rcpt")
}
