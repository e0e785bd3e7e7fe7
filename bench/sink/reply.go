package sink

import (
	"fmt"
	"strings"
)

// reply is an answer ready to be written.
type reply struct {
	code int
	wire []byte // with CRLF; several lines are marked by "-"
}

// parseReply reads lines of which the first begins with a code; further lines
// may repeat it.
func parseReply(t Text) (reply, error) {
	lines := strings.Split(strings.TrimRight(string(t), "\r\n"), "\n")
	first := lines[0]
	if len(first) < 3 || first[0] < '2' || first[0] > '5' || first[1] < '0' || first[1] > '9' || first[2] < '0' || first[2] > '9' || len(first) > 3 && first[3] != ' ' && first[3] != '-' {
		return reply{}, fmt.Errorf("%q does not begin with a reply code (200 to 599)", first)
	}
	r := reply{code: int(first[0]-'0')*100 + int(first[1]-'0')*10 + int(first[2]-'0')}
	for i, l := range lines {
		l = strings.TrimSuffix(l, "\r")
		if strings.HasPrefix(l, first[:3]) && len(l) > 3 && (l[3] == ' ' || l[3] == '-') {
			l = l[4:]
		} else if l == first[:3] {
			l = ""
		}
		if strings.ContainsRune(l, '\r') {
			return reply{}, fmt.Errorf("a carriage return within line %d", i+1)
		}
		r.wire = append(r.wire, first[:3]...)
		if i < len(lines)-1 {
			r.wire = append(r.wire, '-')
		} else {
			r.wire = append(r.wire, ' ')
		}
		r.wire = append(r.wire, l...)
		r.wire = append(r.wire, '\r', '\n')
	}
	return r, nil
}

// spread gives a one-line reply n lines (RFC 5321 4.2.1).
func (r reply) spread(n int) reply {
	if n <= 1 || len(r.wire) < 4 || r.wire[3] == '-' {
		return r
	}
	var wire []byte
	for i := 1; i < n; i++ {
		wire = append(wire, r.wire[:3]...)
		wire = append(wire, fmt.Sprintf("-line %d of %d\r\n", i, n)...)
	}
	return reply{r.code, append(wire, r.wire...)}
}

// answer numbers the replies that a server gives of itself.
type answer uint8

const (
	ansMail answer = iota
	ansRcpt
	ansData
	ansEnd
	ansChunk
	ansRset
	ansNoop
	ansQuit
	ansHelp
	ansVrfy
	ansStartTLS
	ansTLSRefused
	ansUnknown
	ansSyntax
	ansTooLong
	ansSequence
	ansNeedHello
	ansNoRecipient
	ansNestedMail
	ansParam
	ansTooBig
	ansTooManyRcpt
	ansNeedUTF8
	ansDead
	ansImproper
	ansBusy
	ansRate
	ansMailMax
	ansGreylist
	numAnswers
)

var answerTexts = [numAnswers]Text{
	ansMail:        "250 2.1.0 Ok",
	ansRcpt:        "250 2.1.5 Ok",
	ansData:        "354 End data with <CR><LF>.<CR><LF>",
	ansEnd:         "250 2.0.0 Ok: taken",
	ansChunk:       "250 2.0.0 Ok: chunk taken",
	ansRset:        "250 2.0.0 Ok",
	ansNoop:        "250 2.0.0 Ok",
	ansQuit:        "221 2.0.0 Bye",
	ansHelp:        "214 2.0.0 See RFC 5321",
	ansVrfy:        "252 2.5.0 Try it and see",
	ansStartTLS:    "220 2.0.0 Ready to start TLS",
	ansTLSRefused:  "454 4.7.0 TLS not available",
	ansUnknown:     "500 5.5.2 Command not recognised",
	ansSyntax:      "501 5.5.4 Syntax error in parameters",
	ansTooLong:     "500 5.5.6 Line too long",
	ansSequence:    "503 5.5.1 Bad sequence of commands",
	ansNeedHello:   "503 5.5.1 Send EHLO first",
	ansNoRecipient: "554 5.5.1 No valid recipients",
	ansNestedMail:  "503 5.5.1 Nested MAIL command",
	ansParam:       "555 5.5.4 Parameter not recognised",
	ansTooBig:      "552 5.3.4 Message too big",
	ansTooManyRcpt: "452 4.5.3 Too many recipients",
	ansNeedUTF8:    "553 5.6.7 Address needs SMTPUTF8",
	ansDead:        "503 5.0.0 This server said no",
	ansImproper:    "554 5.5.0 Commands arrived that had to wait",
	ansBusy:        "421 4.7.0 Too many connections",
	ansRate:        "421 4.7.0 Too fast, try again later",
	ansMailMax:     "421 4.7.0 Too many messages on this connection",
	ansGreylist:    "451 4.7.1 Greylisted, try again later",
}

// phase is a point of the dialogue that rules apply to.
type phase uint8

const (
	atNowhere phase = iota
	atConnect
	atEhlo
	atHelo
	atStartTLS
	atMail
	atRcpt
	atData
	atBdat
	atContent
	atEnd
	atRset
	atQuit
	numPhases
)

var phaseNames = [numPhases]string{"", "connect", "ehlo", "helo", "starttls", "mail", "rcpt", "data", "bdat", "content", "end", "rset", "quit"}

func phaseByName(name string) (phase, bool) {
	for p := atConnect; p < numPhases; p++ {
		if phaseNames[p] == name {
			return p, true
		}
	}
	return atNowhere, false
}

// deed is what a rule does beside replying.
type deed uint8

const (
	doNothing deed = iota
	doClose
	doStall
	doGarbage
	doFlood
	doReset
)

func deedByName(name string) (deed, bool) {
	switch name {
	case "":
		return doNothing, true
	case "close":
		return doClose, true
	case "stall":
		return doStall, true
	case "garbage":
		return doGarbage, true
	case "flood":
		return doFlood, true
	case "reset":
		return doReset, true
	}
	return doNothing, false
}

// extensions is a set of what EHLO offers.
type extensions uint16

const (
	extPipelining extensions = 1 << iota
	extChunking
	ext8BitMIME
	extSMTPUTF8
	extSize
	extEnhanced
	extStartTLS
	extDSN
	extLimits
)

// extNames in the order in which EHLO lists them.
var extNames = []struct {
	bit  extensions
	name string
}{
	{extPipelining, "PIPELINING"}, {extSize, "SIZE"}, {ext8BitMIME, "8BITMIME"}, {extEnhanced, "ENHANCEDSTATUSCODES"},
	{extSMTPUTF8, "SMTPUTF8"}, {extDSN, "DSN"}, {extLimits, "LIMITS"}, {extStartTLS, "STARTTLS"}, {extChunking, "CHUNKING"},
}

// extDefault is what a server offers without a script.
const extDefault = extPipelining | extChunking | ext8BitMIME | extSMTPUTF8 | extSize | extEnhanced | extStartTLS

// extensionByName knows "none" too, for a list that is to be empty.
func extensionByName(name string) (extensions, bool) {
	if name == "none" {
		return 0, true
	}
	for _, e := range extNames {
		if strings.EqualFold(e.name, name) {
			return e.bit, true
		}
	}
	return 0, false
}
