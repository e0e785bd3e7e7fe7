package sink

import (
	"bytes"
	"time"
)

// session is the server's side of one dialogue: bytes in, replies into the
// outbox. It has no socket and no goroutine. One owner at a time.
type session struct {
	prof     *profile
	host     *host
	recorder *recorder // keeps accepted messages; nil: nobody looks
	serial   uint64
	out      outbox
	tally    tally

	now  time.Duration // when the input being judged arrived
	busy time.Duration // until when the server thinks, or delays

	line      []byte // an unfinished command line
	overlong  bool   // the rest of a line that is too long is skipped
	entered   bool   // counted by the host
	hello     bool
	esmtp     bool
	secured   bool
	dead      bool // refused at the greeting: only QUIT is answered (RFC 5321 3.1)
	awaited   bool // the client had to wait for the reply before going on
	counted   bool // this read held a command
	ending    ending
	sequence  uint64 // MAIL commands so far
	mail      bool   // a transaction is open
	declared  declared
	env       envelope
	rcpts     int // accepted
	chunked   bool
	chunkFail bool // a chunk of this message was refused

	content   contentMode
	dot       dotFinder
	left      int64 // of the chunk
	last      bool
	length    int64 // of the message so far
	body      []byte
	cut       *rule // what happens in the middle of this content
	tailReply reply // the answer to a chunk that is being discarded
}

// ending is how the owner must end the connection.
type ending uint8

const (
	endNot    ending = iota
	endClose         // when all replies have left
	endStall         // never: input is ignored, nothing is answered
	endReset         // as endClose, with a TCP RST
	endSecure        // hand over to TLS when all replies have left
)

// contentMode is what the bytes are that come now.
type contentMode uint8

const (
	inCommands contentMode = iota
	inData
	inChunk
	inDiscard // a chunk whose BDAT was refused (RFC 3030 2)
)

// declared is what MAIL said about the message.
type declared struct{ eightBit, utf8 bool }

// envelope is kept only where somebody asks for it.
type envelope struct {
	from []byte
	to   [][]byte
	// refused are recipients refused, kept for servers that accept all the same.
	refused [][]byte
}

// open greets.
func (s *session) open(now time.Duration) {
	s.now = now
	s.awaited = true // RFC 5321 3.1: the client waits for the greeting
	if a, ok := s.host.enter(now); !ok {
		s.say(s.prof.answers[a])
		return
	}
	s.entered = true
	r := s.prof.greeting
	if !s.ruled(atConnect, &r) {
		return
	}
	s.say(r)
	if r.code >= 400 {
		s.dead = true
	}
}

// feed judges what arrived. p is not kept.
func (s *session) feed(p []byte, now time.Duration) {
	s.now = now
	s.tally.bytes += int64(len(p))
	idle := s.out.empty()
	s.counted = false
	for len(p) > 0 && s.ending == endNot {
		if s.awaited && !s.waited() {
			break
		}
		switch s.content {
		case inCommands:
			p = s.command(p)
		case inData:
			p = s.data(p)
		default:
			p = s.chunk(p)
		}
	}
	if s.counted {
		s.tally.reads++
		if idle {
			s.tally.flights++
		}
	}
}

// waited judges input behind a command that had to be the last one of its group.
// It returns false when that ended the dialogue.
func (s *session) waited() bool {
	s.awaited = false
	if s.out.empty() {
		return true
	}
	s.tally.improper++
	if s.prof.strict {
		s.say(s.prof.answers[ansImproper])
		s.ending = endClose
		return false
	}
	return true
}

// command takes one command line off p.
func (s *session) command(p []byte) []byte {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		if s.overlong = s.overlong || len(s.line)+len(p) > maxLine; s.overlong {
			s.line = s.line[:0]
		} else {
			s.line = append(s.line, p...)
		}
		return nil
	}
	line, rest := p[:i], p[i+1:]
	s.tally.commands++
	s.counted = true
	if s.overlong || len(s.line)+len(line) > maxLine {
		s.overlong = false
		s.line = s.line[:0]
		s.answer(ansTooLong)
		return rest
	}
	if len(s.line) > 0 {
		s.line = append(s.line, line...)
		line = s.line
		s.line = s.line[:0]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	s.obey(line)
	if !s.can(extPipelining) && s.content < inChunk {
		s.awaited = true
	}
	if s.ending == endSecure {
		// What came behind STARTTLS in the clear must not be believed (RFC 3207 6).
		if len(rest) > 0 {
			s.tally.improper++
		}
		return nil
	}
	return rest
}

func (s *session) reset() {
	s.mail, s.rcpts, s.chunked, s.chunkFail = false, 0, false, false
	s.length = 0
	s.body = s.body[:0]
	s.env.from = s.env.from[:0]
	s.env.to = s.env.to[:0]
	s.env.refused = s.env.refused[:0]
	s.cut = nil
}
