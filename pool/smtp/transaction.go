package smtp

import (
	"strconv"
	"unicode/utf8"
)

// firstWindow is where the window starts: until the server has taken one BDAT,
// nothing is written behind it. A server that does not understand what it
// offers, or throws away what was written ahead, then harms no second message
// (its replies to the next one would look like replies to this one). That is
// worth a round trip a connection.
const firstWindow = 1

// provenWindow is the window from then on, within the session's bound; it doubles
// every round trip, since it grows by one with each message taken. Few sites get
// more messages at once: a small window would cost most of them a round trip.
const provenWindow = 4

// transaction is one message on its way.
type transaction struct {
	m             *Message
	num           uint64 // counts up from 1
	size          int
	gear          Gear    // the one it began in
	await         Command // the reply that comes next
	sent          Command // the last command written
	international bool    // SMTPUTF8 is to be said
	ahead         bool    // written behind commands that were not answered
	// refused is the first command that was refused, with the reply: later
	// refusals only follow from it.
	refused Command
	reply   Reply
	// again: it was refused for what the gear did, not for what it is.
	again error
}

// check tells whether the server can take m, and what it takes to send it.
func (s *Session) check(m *Message) (size int, international bool, err error) {
	from, to := addressNeeds(m.From), addressNeeds(m.To)
	if from == addressBad || to == addressBad || m.To == "" {
		return 0, false, ErrAddress
	}
	international = m.UTF8 || from == addressUTF8 || to == addressUTF8
	for _, part := range m.Content {
		size += len(part)
	}
	switch {
	case international && !s.caps.SMTPUTF8:
		err = ErrNeedsUTF8
	case m.EightBit && !s.caps.EightBitMIME:
		err = ErrNeedsEightBit
	case s.caps.Size > 0 && int64(size) > s.caps.Size:
		err = ErrTooLarge
	}
	return size, international, err
}

type addressNeed uint8

const (
	addressASCII addressNeed = iota
	addressUTF8
	addressBad
)

// addressNeeds refuses every octet that could end the path or the line early.
func addressNeeds(a string) addressNeed {
	need := addressASCII
	if !utf8.ValidString(a) {
		return addressBad
	}
	for i := range len(a) {
		switch c := a[i]; {
		case c < ' ' || c == 0x7f || c == '<' || c == '>':
			return addressBad
		case c >= 0x80:
			need = addressUTF8
		}
	}
	return need
}

// begin takes a message into flight and writes as much of it as the gear allows.
func (s *Session) begin(m *Message, size int, international bool) {
	ahead := s.flight.count > 0
	s.begun++
	if s.caps.MailMax > 0 && s.begun >= s.caps.MailMax {
		s.quitting = true // RFC 9422: a transaction more would be refused
	}
	s.pending += size
	t := s.flight.push()
	t.m, t.num, t.size, t.international, t.gear, t.ahead = m, uint64(s.begun), size, international, s.gear, ahead
	t.await = Mail
	// Behind a BDAT LAST that is not answered the transaction may stay open:
	// its RCPT may have been refused.
	if s.dirty || ahead && s.gear == Chunking {
		t.await = Rset
	}
	s.dirty = false
	s.out.fresh()
	s.write(t, t.await)
	if t.gear == LockStep {
		return
	}
	if t.sent == Rset {
		s.write(t, Mail)
	}
	s.write(t, Rcpt)
	if t.gear == Chunking {
		s.write(t, End)
		s.quitBehind()
	} else {
		s.write(t, Data)
	}
}

// write appends one step of a transaction to the output.
func (s *Session) write(t *transaction, c Command) {
	s.out.fresh()
	o := &s.out
	from := len(o.buf)
	switch c {
	case Rset:
		o.text("RSET\r\n")
	case Mail:
		o.text("MAIL FROM:<")
		o.text(t.m.From)
		o.text(">")
		if s.sized {
			o.text(" SIZE=")
			o.buf = strconv.AppendInt(o.buf, int64(t.size), 10)
		}
		if t.m.EightBit {
			o.text(" BODY=8BITMIME")
		}
		if t.international {
			o.text(" SMTPUTF8")
		}
		o.text("\r\n")
	case Rcpt:
		o.text("RCPT TO:<")
		o.text(t.m.To)
		o.text(">\r\n")
	case Data:
		o.text("DATA\r\n")
	case End:
		s.writeContent(t)
	case CommandUnset, Connect, Ehlo, Helo, StartTLS, Quit:
	}
	if c != End {
		s.say(c, t.m, from)
	}
	t.sent = c
	s.asked++
}

func (s *Session) writeContent(t *transaction) {
	from := len(s.out.buf)
	switch {
	case t.gear == Chunking:
		s.out.text("BDAT ")
		s.out.buf = strconv.AppendInt(s.out.buf, int64(t.size), 10)
		s.out.text(" LAST\r\n")
		s.say(End, t.m, from)
		s.out.chunk(t.m.Content, t.size)
	case t.refused != CommandUnset:
		// RFC 2920 3.1: DATA was taken though nothing before it was. A lone
		// dot keeps us in step, and the content stays with us.
		s.out.text(".\r\n")
		s.say(End, t.m, from)
		s.dirty = true
		return
	default:
		s.out.stuffed(t.m.Content, t.size)
	}
	s.carry(t)
	s.ended = t.num
}

// transactionReply takes a reply that belongs to the oldest message in flight.
func (s *Session) transactionReply(r *reply) {
	t := s.flight.at(0)
	class := r.class()
	if r.code == 221 {
		// The server leaves, and not as RFC 5321 3.8 has it. What it means for
		// the message is not said.
		s.end(Outcome{Command: t.await, Reply: s.keep(r), Err: ErrOutOfStep})
		return
	}
	if class == 3 && t.await != Data || class == 2 && t.await == Data {
		s.breach(ErrOutOfStep)
		return
	}
	switch t.await {
	case Rset:
		if class != 2 {
			s.resetRefused(t, r)
			return
		}
		s.step(t, Mail)
	case Mail:
		if class != 2 && s.refuse(t, r) {
			return
		}
		s.step(t, Rcpt)
	case Rcpt:
		if class != 2 && s.refuse(t, r) {
			return
		}
		if t.gear == Chunking {
			s.step(t, End)
		} else {
			s.step(t, Data)
		}
	case Data:
		if class == 3 {
			t.await = End
			s.write(t, End)
			s.quitBehind()
			return
		}
		s.refuse(t, r)
		s.finish(t, s.verdict(t))
	case End:
		s.endReply(t, r)
	case CommandUnset, Connect, Ehlo, Helo, StartTLS, Quit:
	}
}

// step moves on to the next command of t, and writes it in lock-step; in the
// other gears it is written already.
func (s *Session) step(t *transaction, next Command) {
	t.await = next
	if t.gear == LockStep {
		s.write(t, next)
	}
}

// refuse notes a 4yz or 5yz to what t awaits. In lock-step that ends the
// message, and refuse answers true; in the other gears the rest of its replies
// is still to come.
func (s *Session) refuse(t *transaction, r *reply) (over bool) {
	if t.refused == CommandUnset {
		t.refused, t.reply = t.await, s.keep(r)
		if t.await == Rcpt && r.code == 552 && tooManyRecipients(&t.reply) {
			t.reply.Code = 452 // RFC 5321 4.5.3.1.10
			if t.reply.Enhanced[0] == 5 {
				t.reply.Enhanced[0] = 4
			}
		}
		// "Bad sequence of commands" where the sequence was good: the server
		// has lost step with what was written ahead of its replies.
		if r.code == 503 && t.gear > LockStep && (t.await != Mail || t.ahead) {
			t.again = ErrOutOfStep
			s.stepDown(t.gear-1, "503 to a good sequence in "+t.gear.String())
		}
		if r.class() == 4 && t.await != Rcpt {
			s.window = 1
		}
	}
	if t.gear == LockStep && t.await != Data && t.await != End {
		s.finish(t, s.verdict(t))
		return true
	}
	return false
}

// verdict is the fate of a message that was refused.
func (s *Session) verdict(t *transaction) Outcome {
	if t.again != nil {
		return Outcome{Fate: NotAttempted, Command: t.refused, Err: t.again}
	}
	return Outcome{Fate: Refused, Command: t.refused, Reply: t.reply}
}

// endReply takes the reply that decides a message's fate: the one to its end.
func (s *Session) endReply(t *transaction, r *reply) {
	lone := t.gear != Chunking && t.refused != CommandUnset
	switch {
	case r.class() != 2 && t.gear == Chunking && !s.bdatTook && unknownCommand(r.code):
		s.chunkingUnknown(t, r)
	case r.class() != 2:
		s.refuse(t, r)
		s.finish(t, s.verdict(t))
	case lone:
		// An empty message was taken for nobody. DATA is not written ahead in
		// lock-step, so it cannot happen there.
		s.stepDown(LockStep, "a message without recipients was accepted")
		o := s.verdict(t)
		o.Anomaly = AcceptedAfterRefusal
		s.finish(t, o)
	case t.refused != CommandUnset:
		s.stepDown(Pipelining, "a message was accepted after its "+t.refused.String()+" was refused")
		s.finish(t, Outcome{Fate: Delivered, Command: End, Reply: s.keep(r), Anomaly: AcceptedAfterRefusal})
	default:
		if t.gear == Chunking {
			grown := s.window + 1
			if !s.bdatTook {
				s.bdatTook, grown = true, provenWindow
			}
			s.window = min(grown, s.cfg.window())
		}
		s.finish(t, Outcome{Fate: Delivered, Command: End, Reply: s.keep(r)})
	}
}

// finish takes the oldest message out of flight.
func (s *Session) finish(t *transaction, o Outcome) {
	m := t.m
	s.pending -= t.size
	if s.flight.count == 1 && leavesOpen(t, &o) {
		s.dirty = true
	}
	s.flight.pop()
	s.settle(m, o)
	if s.flight.count > 0 {
		return
	}
	s.drain = false
	if s.quitSaid {
		s.phase = phaseQuit
		return
	}
	s.quitIfIdle()
}

// leavesOpen tells whether the server may still hold t's transaction.
func leavesOpen(t *transaction, o *Outcome) bool {
	switch {
	case t.gear != Chunking && t.await == End:
		return t.refused != CommandUnset && t.refused != End // RFC 5321 4.1.1.4: the end clears the buffers
	case o.Fate == Delivered && o.Anomaly == NoAnomaly:
		return false
	case t.gear == LockStep && t.refused == Mail:
		return t.reply.Code == 503 // else no transaction began
	}
	return true
}

// chunkingUnknown: BDAT was offered and is not understood, so the content is
// being read as commands, and what comes next answers those. This message was
// not taken; what became of the ones behind it cannot be told.
func (s *Session) chunkingUnknown(t *transaction, r *reply) {
	if t.refused == CommandUnset {
		t.refused, t.again = End, ErrChunking
	}
	why := Outcome{Command: End, Reply: s.keep(r), Err: ErrChunking}
	s.stepDown(Pipelining, "BDAT is offered and not understood")
	s.end(why)
}

// resetRefused: without RSET nothing can be sent safely behind a refusal. A
// server that refuses it has most likely lost step: it reads the content of a
// BDAT that it refused as commands, against RFC 3030 2. So no reply is believed
// any more.
//
// But a 554, which RSET cannot get by RFC 5321 4.3.2, is how some servers say
// goodbye (Exim's "too many nonmail commands"): when the connection's end is
// the next thing to come, nothing behind it was attempted, as with a 421.
func (s *Session) resetRefused(t *transaction, r *reply) {
	if r.code == 554 && t.gear == Chunking {
		s.goodbye, s.drain = true, true
		s.farewell = s.keep(r)
		return
	}
	s.stepDown(t.gear-1, "RSET was refused in "+t.gear.String())
	s.end(Outcome{Command: Rset, Reply: s.keep(r), Err: ErrOutOfStep})
}
