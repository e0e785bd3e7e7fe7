package smtp

import "errors"

// Session is one connection's dialogue. It keeps two cursors: what was written,
// and which reply comes next; how far the first may run ahead of the second is
// the gear. See the package comment for how an owner drives it.
//
// The owner's loop: after each Feed (or Secured, Quit, Lost) it takes Events,
// then gives Room messages to Send, then takes Output and writes it.
type Session struct {
	cfg    Config
	phase  phase
	parser parser
	out    output
	events *eventList // nil: none

	caps  Capabilities
	sized bool // SIZE was offered, with or without a maximum
	ready bool // Ready was reached

	gear    Gear
	window  int // messages that may be unanswered in Chunking; adapts
	begun   int // transactions, for MAILMAX
	flight  ring
	pending int // octets of content in flight

	// Replies that commands in the output ask for, that commands handed out
	// ask for, and that came. One that was not asked for is out of step.
	asked, awaited, answered uint64
	// The number of the last message whose end is in the output, and of the
	// last whose end was handed out: from there on it may have been received.
	ended, written uint64

	dirty    bool // the server may hold an open transaction: RSET first
	drain    bool // the gear changed: nothing new before all is answered
	quitting bool // nothing new, and QUIT when all is answered
	quitSaid bool // QUIT is in the output behind what is in flight
	bdatTook bool // a BDAT was accepted in this session
	goodbye  bool // RSET got a 554: the end of the connection is expected

	farewell Reply // that 554

	tap  Tap      // nil: nobody listens
	said []saying // for the tap: what is in the output

	scratch  []byte
	lastText string
}

// phase is where the dialogue stands outside of transactions.
type phase uint8

const (
	phaseGreeting phase = iota
	phaseEhlo
	phaseHelo
	phaseStartTLS
	phaseHandshake
	phaseReady
	phaseQuit
	phaseClosed
)

// phaseAwaits is the command whose reply a phase waits for; in phaseReady the
// messages in flight say.
var phaseAwaits = [...]Command{
	phaseGreeting: Connect, phaseEhlo: Ehlo, phaseHelo: Helo, phaseStartTLS: StartTLS,
	phaseHandshake: StartTLS, phaseReady: CommandUnset, phaseQuit: Quit, phaseClosed: CommandUnset,
}

// maxPending bounds the content in flight, in octets: beyond it a window takes
// no further message, so a stalled server cannot make its transport hold much.
const maxPending = 1 << 20

// New returns a session that waits for the greeting.
func New(cfg Config) *Session {
	s := &Session{cfg: cfg, asked: 1, awaited: 1}
	if !helloOK(cfg.Hello) {
		s.end(Outcome{Command: Connect, Err: ErrHello})
	}
	return s
}

// Feed takes what the server sent, cut anywhere. The bytes are not kept.
// Behind Closed they are ignored.
func (s *Session) Feed(in []byte) {
	for len(in) > 0 && s.phase != phaseClosed {
		if s.phase == phaseHandshake {
			// RFC 3207 5: what came in plain must not count as said under TLS.
			s.end(Outcome{Command: StartTLS, Err: ErrInjected})
			return
		}
		r, rest, done, err := s.parser.next(in)
		if err != nil {
			s.breach(err)
			return
		}
		if !done {
			return
		}
		in = rest
		s.take(&r)
	}
}

// Room is how many messages may be given to Send now.
func (s *Session) Room() int {
	if s.phase != phaseReady || s.quitting || s.drain {
		return 0
	}
	room := 0
	switch n := s.flight.count; s.gear {
	case Chunking:
		if s.pending < maxPending {
			room = s.window - n
		}
	case Pipelining:
		// The next group of commands goes with this message's content.
		if n == 0 || n == 1 && s.flight.at(0).sent == End {
			room = 1
		}
	case LockStep, GearAuto:
		if n == 0 {
			room = 1
		}
	}
	if s.caps.MailMax > 0 {
		room = min(room, s.caps.MailMax-s.begun)
	}
	return max(room, 0)
}

// Send gives the session a message. It answers with exactly one Settled event,
// at once if the server cannot take the message or there is no Room. After
// Closed, too: that event then comes behind Closed, and only a caller that
// ignores Room sees it.
func (s *Session) Send(m *Message) {
	if s.Room() == 0 {
		s.settle(m, Outcome{Fate: NotAttempted, Err: ErrNoRoom})
		return
	}
	size, international, err := s.check(m)
	if err != nil {
		s.settle(m, Outcome{Fate: NotAttempted, Err: err})
		return
	}
	s.begin(m, size, international)
}

// Quit ends the dialogue in order: no further messages, and QUIT behind the last
// in flight where what is written ahead has been borne, else once all are
// answered. Closed follows.
func (s *Session) Quit() {
	s.quitting = true
	switch s.phase {
	case phaseReady:
		s.quitIfIdle()
		s.quitBehind()
	case phaseHandshake:
		s.end(Outcome{Command: StartTLS})
	case phaseGreeting, phaseEhlo, phaseHelo, phaseStartTLS, phaseQuit, phaseClosed:
		// In the phases before Ready, QUIT goes out when that would be reached.
	}
}

// Lost tells that the connection is gone, or that the owner gives up on it, and
// why: ErrTimeout (errors.Is) when the reply of Waiting did not come in time.
// Every message in flight is settled, and Closed is the last event.
func (s *Session) Lost(err error) {
	if s.phase == phaseClosed {
		return
	}
	if err == nil {
		err = ErrLost
	}
	if s.goodbye && !errors.Is(err, ErrTimeout) {
		s.settleRest()
		s.close(Outcome{Command: Rset, Reply: s.farewell})
		return
	}
	if s.phase == phaseQuit {
		err = nil // many servers hang up instead of answering QUIT
	}
	s.learnFromTimeout(err)
	cmd, _ := s.Waiting()
	s.end(Outcome{Command: cmd, Err: err})
}

// Secured tells that the TLS handshake is done. What the server said before is
// forgotten, and EHLO is said again (RFC 3207 4.2).
func (s *Session) Secured() {
	if s.phase != phaseHandshake {
		return
	}
	s.cfg.Secured = true
	s.caps, s.sized = Capabilities{}, false
	s.hello(phaseEhlo)
}

// Output appends what is to be written now to dst, as a gather list: commands
// from the session's own memory, content by reference. It is valid until the
// next call of any method but Events, Waiting, Room and the like that only
// read.
//
// What was handed out counts as written: a message whose last byte is in it
// becomes Uncertain, not NotAttempted, when the connection is lost before its
// answer. So an owner calls Output only when it is about to write.
func (s *Session) Output(dst [][]byte) [][]byte {
	s.awaited, s.written = s.asked, s.ended
	if len(s.said) > 0 {
		s.tell()
	}
	return s.out.appendTo(dst)
}

// Written tells that what Output handed out was written, or copied by the
// transport: its memory serves other sessions from here on. An owner that never
// says so is right too; the session then keeps its buffer.
func (s *Session) Written() { s.out.release() }

// Pending tells whether Output has anything to hand out.
func (s *Session) Pending() bool { return !s.out.handed && len(s.out.buf)+len(s.out.segs) > 0 }

// Events appends the events since the last call to dst, in order.
func (s *Session) Events(dst []Event) []Event {
	if l := s.events; l != nil {
		dst = append(dst, l.events...)
		l.free()
		s.events = nil
	}
	return dst
}

// Waiting is the command whose reply comes next, so that the owner can apply
// its time-out (Timeouts.For); false when nothing is awaited: the session is
// idle, or closed. While TLS is being negotiated it is StartTLS.
func (s *Session) Waiting() (Command, bool) {
	c := phaseAwaits[s.phase]
	if s.phase == phaseReady && s.flight.count > 0 {
		c = s.flight.at(0).await
	}
	return c, c != CommandUnset
}

// Replies counts the replies taken so far: when it moves, the time-out of
// Waiting begins anew.
func (s *Session) Replies() uint64 { return s.answered }

// InFlight is how many messages have been taken and not settled.
func (s *Session) InFlight() int { return s.flight.count }

// Gear is the gear that the next message takes; GearAuto before Ready.
func (s *Session) Gear() Gear { return s.gear }

// Window is how many messages may be unanswered at once now.
func (s *Session) Window() int { return s.window }

// Capabilities is what the server offers; the zero value before Ready. It may be
// read until the next Secured and never changes after Ready.
func (s *Session) Capabilities() *Capabilities { return &s.caps }

// Closed tells whether the dialogue is over.
func (s *Session) Closed() bool { return s.phase == phaseClosed }

// take acts upon one complete reply.
func (s *Session) take(r *reply) {
	asked := s.answered < s.awaited
	if s.goodbye {
		// It talks on: then it may have taken what followed.
		t := s.flight.at(0)
		s.stepDown(t.gear-1, "RSET was refused in "+t.gear.String())
		s.end(Outcome{Command: Rset, Reply: s.farewell, Err: ErrOutOfStep})
		return
	}
	if r.code == 421 && s.phase != phaseQuit {
		s.serviceClosing(r, asked)
		return
	}
	if !asked {
		s.breach(ErrOutOfStep)
		return
	}
	s.answered++
	switch s.phase {
	case phaseReady:
		s.transactionReply(r)
	case phaseQuit:
		// Whatever the answer is, we are done.
		s.end(Outcome{Command: Quit})
	default:
		s.openingReply(r)
	}
}

// command appends a whole command line to the output: a word, and what it is
// about if anything.
func (s *Session) command(c Command, word, about string) {
	s.out.fresh()
	from := len(s.out.buf)
	s.out.text(word)
	s.out.text(about)
	s.out.text("\r\n")
	s.say(c, nil, from)
	s.asked++
}

func (s *Session) quitIfIdle() {
	if s.quitting && s.flight.count == 0 && s.phase == phaseReady {
		s.quit()
	}
}

// quitBehind writes QUIT behind the last message: the end of a group is where it
// may stand (RFC 2920 3.1), and it saves a round trip. Not behind a session's first
// BDAT, nor in trouble.
func (s *Session) quitBehind() {
	if !s.quitting || s.quitSaid || s.drain || s.phase != phaseReady || s.flight.count == 0 {
		return
	}
	t := s.flight.at(s.flight.count - 1)
	if t.sent != End || t.gear == LockStep || t.gear == Chunking && !s.bdatTook {
		return
	}
	s.quitSaid = true
	s.command(Quit, "QUIT", "")
}

func (s *Session) quit() {
	s.phase = phaseQuit
	s.command(Quit, "QUIT", "")
}

// settle says what became of a message.
func (s *Session) settle(m *Message, o Outcome) {
	*s.event() = Event{Kind: Settled, Message: m, Outcome: o}
}

// keep makes a Reply that outlives the parser's memory. Servers repeat
// themselves, so the last text is kept to be handed out again.
func (s *Session) keep(r *reply) Reply {
	s.scratch = appendClean(s.scratch[:0], r.text)
	if string(s.scratch) != s.lastText { // does not allocate
		s.lastText = string(s.scratch)
	}
	return Reply{Code: r.code, Enhanced: r.enhanced, Text: s.lastText}
}
