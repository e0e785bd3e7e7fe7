package smtp

// LineKind says what a Line is.
type LineKind uint8

const (
	LineUnset LineKind = iota
	// Said: a command, or the dot that ends DATA.
	Said
	// Heard: a line of a reply.
	Heard
	// Carried: a message's content.
	Carried
	// Noted: what is no line of the dialogue, such as its end. Of the owner, never
	// of a Session.
	Noted
)

// Line is one line of a dialogue. A Session knows where each begins, whatever was
// written in one piece or arrived in several.
type Line struct {
	Kind LineKind
	// Command is what is said, or the one that a reply answers.
	Command Command
	// Message is whose line it is; nil: nobody's.
	Message *Message
	// Text is the line without its end; of Carried and Noted, see there.
	Text []byte
	// Content is the parts of what is Carried, before dots are doubled, and Size
	// their length in octets.
	Content [][]byte
	Size    int
}

// Tap hears the lines of a session in their order: what is said when Output hands
// it out, and a reply's before it is acted upon. The line and all that it refers
// to is only lent for the call, which must not block.
type Tap interface{ Line(l *Line) }

// saying is a line in the output that was not handed out yet: from buf[from:to],
// or the content.
type saying struct {
	kind     LineKind
	command  Command
	message  *Message
	from, to int
	size     int
}

// SetTap has t hear what is said and heard from here on; nil ends it. Without one
// a session does nothing for it but look whether there is.
func (s *Session) SetTap(t Tap) {
	s.tap, s.said = t, nil
	s.parser.heard = nil
	if t != nil {
		s.parser.heard = s.hear
	}
}

// say notes that the output from an offset on is a command line with its CRLF.
func (s *Session) say(c Command, m *Message, from int) {
	if s.tap != nil {
		s.said = append(s.said, saying{kind: Said, command: c, message: m, from: from, to: len(s.out.buf) - len("\r\n")})
	}
}

// carry notes that a message's content is in the output, and with DATA its end.
func (s *Session) carry(t *transaction) {
	if s.tap == nil {
		return
	}
	s.said = append(s.said, saying{kind: Carried, command: End, message: t.m, size: t.size})
	if t.gear != Chunking {
		s.say(End, t.m, len(s.out.buf)-len(".\r\n"))
	}
}

// tell has the tap hear what is handed out now. REQUIRES: the output is not.
func (s *Session) tell() {
	for i := range s.said {
		p := &s.said[i]
		l := Line{Kind: p.kind, Command: p.command, Message: p.message, Size: p.size}
		if p.kind == Carried {
			l.Content = p.message.Content
		} else {
			l.Text = s.out.buf[p.from:p.to]
		}
		s.tap.Line(&l)
	}
	clear(s.said)
	s.said = s.said[:0]
}

// hear has the tap hear a line of a reply.
func (s *Session) hear(line []byte) {
	c, _ := s.Waiting()
	l := Line{Kind: Heard, Command: c, Text: line}
	if t := s.flight.at(0); t != nil {
		l.Message = t.m
	}
	s.tap.Line(&l)
}
