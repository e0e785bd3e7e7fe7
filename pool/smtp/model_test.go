package smtp

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// model is a receiving server for the properties: it reads commands with code
// of its own, takes or refuses as its chooser says, and records what it took.
type model struct {
	pick   func(label string, n int) int // 0 to n-1
	offers string                        // EHLO keywords, one each line
	quirk  quirk

	in      []byte
	out     []byte
	closed  bool // hung up: nothing more is read or said
	stalled bool // says nothing more, reads on
	greeted bool

	open    bool // a transaction is open
	from    string
	to      []string
	refused []string // recipients refused in this transaction
	data    bool     // reading content up to the dot
	chunk   int      // octets of a chunk still to read; -1 outside
	discard bool
	body    []byte

	took []taken
}

type taken struct {
	from    string
	to      []string
	refused []string
	body    string
}

// quirk is a way of not following the rules.
type quirk int

const (
	quirkNone quirk = iota
	quirkTakesAfterRefusal
	quirkRefusesReset
	quirkKnowsNoBdat
	quirkReadsRefusedChunk // as commands
	quirkForgetsGroup      // throws away what was written ahead
	quirkLateData          // 354 without recipients
	quirks
)

func newModel(pick func(string, int) int, offers string, q quirk) *model {
	m := &model{pick: pick, offers: offers, quirk: q, chunk: -1}
	m.say("220 model ESMTP")
	return m
}

func (m *model) say(line string) {
	if m.closed || m.stalled {
		return
	}
	code, text := line[:3], line[4:]
	for range m.pick("lines", 8) / 6 {
		m.out = append(m.out, code+"-more\r\n"...)
	}
	m.out = append(m.out, code+" "+text+"\r\n"...)
}

func (m *model) hangUp() { m.closed = true }

// read takes what the client wrote.
func (m *model) read(b []byte) {
	m.in = append(m.in, b...)
	for !m.closed {
		switch {
		case m.chunk >= 0:
			n := min(m.chunk, len(m.in))
			if !m.discard {
				m.body = append(m.body, m.in[:n]...)
			}
			m.in, m.chunk = m.in[n:], m.chunk-n
			if m.chunk > 0 {
				return
			}
			m.chunk = -1
			m.chunkRead()
		case m.data:
			if !m.readDots() {
				return
			}
		default:
			line, rest, ok := bytes.Cut(m.in, []byte("\r\n"))
			if !ok {
				return
			}
			m.in = rest
			if m.quirk == quirkForgetsGroup && m.open && len(rest) > 0 {
				m.in = nil
			}
			m.command(string(line))
		}
	}
}

// readDots reads one line of content.
func (m *model) readDots() bool {
	line, rest, ok := bytes.Cut(m.in, []byte("\r\n"))
	if !ok {
		return false
	}
	m.in = rest
	if string(line) == "." {
		m.data = false
		m.decide()
		return true
	}
	if len(line) > 0 && line[0] == '.' {
		line = line[1:]
	}
	m.body = append(append(m.body, line...), "\r\n"...)
	return true
}

// chance is true once in n.
func (m *model) chance(label string, n int) bool { return m.pick(label, n) == n-1 }

// trouble refuses, leaves or stalls now and then; true when it has answered.
func (m *model) trouble(at string) bool {
	switch m.pick(at, 30) {
	case 29:
		m.say("421 4.3.2 shutting down")
		m.hangUp()
	case 28:
		m.hangUp()
	case 27:
		m.stalled = true
	case 26, 25:
		m.say("550 5.7.1 not here")
	case 24:
		m.say("451 4.7.1 later")
	case 23:
		m.say("552 5.5.3 too many recipients")
	default:
		return false
	}
	return true
}

func (m *model) clear() { m.open, m.from, m.to, m.refused, m.body = false, "", nil, nil, nil }

func (m *model) command(line string) {
	verb, args, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		m.greeted = true
		m.out = append(m.out, "250-model greets "+args+"\r\n"...)
		for _, k := range strings.Fields(m.offers) {
			m.out = append(m.out, "250-"+k+"\r\n"...)
		}
		m.out = append(m.out, "250 HELP\r\n"...)
	case "RSET":
		if m.quirk == quirkRefusesReset {
			m.say("502 5.5.1 no RSET")
			return
		}
		m.clear()
		m.say("250 2.0.0 reset")
	case "MAIL":
		if m.open {
			m.say("503 5.5.1 nested MAIL")
			return
		}
		if !m.trouble("mail") {
			m.open, m.from = true, path(args)
			m.say("250 2.1.0 ok")
		}
	case "RCPT":
		if !m.open {
			m.say("503 5.5.1 MAIL first")
			return
		}
		if n := len(m.out); m.trouble("rcpt") {
			if len(m.out) > n {
				m.refused = append(m.refused, path(args))
			}
			return
		}
		m.to = append(m.to, path(args))
		m.say("250 2.1.5 ok")
	case "DATA":
		if len(m.to) == 0 && m.quirk != quirkLateData && m.quirk != quirkTakesAfterRefusal {
			m.say("554 5.5.1 no valid recipients")
			return
		}
		if !m.trouble("data") {
			m.data, m.body = true, nil
			m.say("354 go on")
		}
	case "BDAT":
		m.bdat(args)
	case "QUIT":
		m.say("221 2.0.0 bye")
		m.hangUp()
	default:
		m.say("500 5.5.2 what?")
	}
}

func (m *model) bdat(args string) {
	if m.quirk == quirkKnowsNoBdat {
		m.say("500 5.5.1 no BDAT")
		return
	}
	number, last, _ := strings.Cut(args, " ")
	n, err := strconv.Atoi(number)
	if err != nil || last != "LAST" {
		panic("model: client wrote BDAT " + args)
	}
	m.discard = len(m.to) == 0 && m.quirk != quirkTakesAfterRefusal
	if m.discard && m.quirk == quirkReadsRefusedChunk {
		m.say("503 5.5.1 no recipients")
		return
	}
	m.chunk, m.body = n, nil
}

func (m *model) chunkRead() {
	if m.discard {
		m.say("503 5.5.1 no recipients")
		return
	}
	m.decide()
}

// decide takes or refuses a complete message. It may be taken and the answer
// never be heard.
func (m *model) decide() {
	open := m.chance("refuse end", 6)
	switch {
	case len(m.to) == 0 && m.quirk != quirkTakesAfterRefusal:
		m.say("554 5.5.1 no valid recipients")
	case open && m.trouble("end"):
	default:
		m.took = append(m.took, taken{m.from, m.to, m.refused, string(m.body)})
		if m.chance("dies", 25) {
			m.hangUp()
		}
		m.say("250 2.0.0 taken as " + strconv.Itoa(len(m.took)))
	}
	m.clear()
}

// path is what stands between the angle brackets.
func path(args string) string {
	_, rest, ok := strings.Cut(args, ":<")
	p, _, ok2 := strings.Cut(rest, ">")
	if !ok || !ok2 {
		panic("model: client wrote " + args)
	}
	return p
}

// judge compares the fates with what the server took; it returns every
// contradiction.
func judge(m *model, sent []*Message, fates map[*Message][]Outcome) (wrong []string) {
	complain := func(f string, args ...any) { wrong = append(wrong, fmt.Sprintf(f, args...)) }
	times := map[*Message]int{}
	for _, tk := range m.took {
		if tk.body == "" {
			continue // a lone dot: nobody's message
		}
		owner := (*Message)(nil)
		for _, s := range sent {
			if string(bytes.Join(s.Content, nil)) == tk.body {
				owner = s
			}
		}
		if owner == nil {
			complain("taken content is nobody's: %q", tk.body)
			continue
		}
		to := tk.to
		if len(to) == 0 {
			to = tk.refused // taken although it was refused: its own envelope, too
		}
		rightTo := len(to) == 0 || len(to) == 1 && to[0] == owner.To
		rightFrom := tk.from == owner.From || len(tk.to) == 0 && tk.from == ""
		// A server that refuses RSET can mix up senders: that must be noticed,
		// and is not to be prevented. Nobody else's mail is ever delivered.
		if !rightTo || !rightFrom && m.quirk != quirkRefusesReset {
			complain("message to %s was taken under from=%s to=%v refused=%v", owner.To, tk.from, tk.to, tk.refused)
		}
		if len(tk.to) > 0 && rightFrom && rightTo {
			times[owner]++
		}
	}
	for _, s := range sent {
		if n := len(fates[s]); n != 1 {
			complain("message to %s has %d fates", s.To, n)
			continue
		}
		o, n := fates[s][0], times[s]
		switch o.Fate {
		case Delivered:
			if n != 1 && o.Anomaly == NoAnomaly {
				complain("message to %s is delivered and was taken %d times", s.To, n)
			}
		case Refused, NotAttempted:
			if n != 0 {
				complain("message to %s is %s and was taken %d times", s.To, o.Fate, n)
			}
			if o.Fate == Refused && o.Reply.Code/100 != 4 && o.Reply.Code/100 != 5 {
				complain("message to %s is refused by %d", s.To, o.Reply.Code)
			}
		case Uncertain:
			if n > 1 {
				complain("message to %s is uncertain and was taken %d times", s.To, n)
			}
		case FateUnset:
			complain("message to %s has the zero fate", s.To)
		}
	}
	return wrong
}
