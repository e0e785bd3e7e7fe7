package sink

import (
	"bytes"
	"encoding/binary"
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

func (s *session) obey(line []byte) {
	v, arg := splitVerb(line)
	if s.dead && v != verbQuit {
		s.answer(ansDead)
		return
	}
	switch v {
	case verbMail:
		s.obeyMail(arg)
	case verbRcpt:
		s.obeyRcpt(arg)
	case verbBdat:
		s.obeyBdat(arg)
	case verbData:
		s.obeyData(arg)
	case verbRset:
		s.reset()
		s.reply(atRset, s.prof.answers[ansRset])
	case verbEhlo, verbHelo:
		s.obeyHello(v, arg)
	case verbStartTLS:
		s.obeyStartTLS(arg)
	case verbQuit:
		s.awaited = true
		if s.reply(atQuit, s.prof.answers[ansQuit]) && s.ending == endNot {
			s.ending = endClose
		}
	case verbNoop:
		s.answer(ansNoop)
	case verbVrfy:
		s.answer(ansVrfy)
	case verbHelp:
		s.answer(ansHelp)
	default:
		s.answer(ansUnknown)
	}
}

func (s *session) obeyHello(v verb, arg []byte) {
	s.awaited = true // RFC 2920 3.1
	if len(arg) == 0 {
		s.answer(ansSyntax)
		return
	}
	at, r := atHelo, s.prof.helo
	if v == verbEhlo {
		at, r = atEhlo, s.prof.ehlo
		if s.secured {
			r = s.prof.ehloSecured
		}
	}
	if !s.ruled(at, &r) {
		return
	}
	s.say(r)
	if r.code < 400 {
		s.reset()
		s.hello, s.esmtp = true, v == verbEhlo
	}
}

func (s *session) obeyStartTLS(arg []byte) {
	s.awaited = true
	switch {
	case s.prof.ext&extStartTLS == 0:
		s.answer(ansUnknown)
		return
	case len(arg) > 0:
		s.answer(ansSyntax)
		return
	case s.secured || !s.esmtp:
		s.answer(ansSequence)
		return
	}
	r := s.prof.answers[ansStartTLS]
	if s.prof.tls == "refuse" {
		r = s.prof.answers[ansTLSRefused]
	}
	if !s.ruled(atStartTLS, &r) {
		return
	}
	s.say(r)
	if r.code < 400 && s.ending == endNot {
		s.ending = endSecure
	}
}

// beginSecured starts over inside TLS: everything said before is forgotten
// (RFC 3207 4.2).
func (s *session) beginSecured() {
	s.reset()
	s.hello, s.esmtp, s.awaited = false, false, false
	s.secured = true
	s.ending = endNot
	s.line = s.line[:0]
	s.tally.secured++
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

// can reports whether an extension was offered and EHLO was used to ask for it.
func (s *session) can(e extensions) bool { return s.esmtp && s.prof.ext&e != 0 }

// kept reports whether addresses are worth copying.
func (s *session) kept() bool { return s.recorder != nil || s.prof.envelope }

func (s *session) obeyMail(arg []byte) {
	if !s.hello {
		s.answer(ansNeedHello)
		return
	}
	if s.mail {
		s.answer(ansNestedMail)
		return
	}
	path, params, ok := splitPath(arg, "FROM")
	if !ok {
		s.answer(ansSyntax)
		return
	}
	s.declared = declared{}
	for key, value, rest := nextParam(params); key != nil; key, value, rest = nextParam(rest) {
		if a, ok := s.mailParam(key, value); !ok {
			s.answer(a)
			return
		}
	}
	if !s.declared.utf8 && !ascii(path) {
		s.answer(ansNeedUTF8)
		return
	}
	s.sequence++
	if s.prof.maxMessages > 0 && s.sequence > uint64(s.prof.maxMessages) {
		s.answer(ansMailMax)
		return
	}
	if !s.host.message(s.now) {
		s.answer(ansRate)
		return
	}
	if s.kept() {
		s.env.from = append(s.env.from[:0], path...)
	}
	r := s.prof.answers[ansMail]
	if !s.ruled(atMail, &r) {
		return
	}
	s.say(r)
	if r.code < 400 {
		s.mail = true
		s.tally.transactions++
	}
}

// mailParam reads one parameter of MAIL; ok false: the answer says why.
func (s *session) mailParam(key, value []byte) (answer, bool) {
	is := func(ext extensions, name string) bool {
		return s.can(ext) && bytes.EqualFold(key, []byte(name))
	}
	switch {
	case is(extSize, "SIZE"):
		n, ok := number(value)
		if !ok {
			return ansSyntax, false
		}
		if n > s.prof.size {
			return ansTooBig, false
		}
	case is(ext8BitMIME, "BODY"):
		switch {
		case bytes.EqualFold(value, []byte("8BITMIME")):
			s.declared.eightBit = true
		case !bytes.EqualFold(value, []byte("7BIT")):
			return ansSyntax, false
		}
	case is(extSMTPUTF8, "SMTPUTF8"):
		s.declared.utf8 = true
	case is(extDSN, "RET"), is(extDSN, "ENVID"):
	default:
		return ansParam, false
	}
	return 0, true
}

func (s *session) obeyRcpt(arg []byte) {
	if !s.mail {
		s.answer(ansSequence)
		return
	}
	path, params, ok := splitPath(arg, "TO")
	if !ok || len(path) == 0 {
		s.answer(ansSyntax)
		return
	}
	for key, _, rest := nextParam(params); key != nil; key, _, rest = nextParam(rest) {
		if !s.can(extDSN) || !bytes.EqualFold(key, []byte("NOTIFY")) && !bytes.EqualFold(key, []byte("ORCPT")) {
			s.answer(ansParam)
			return
		}
	}
	if !s.declared.utf8 && !ascii(path) {
		s.answer(ansNeedUTF8)
		return
	}
	if s.prof.maxRecipients > 0 && s.rcpts >= s.prof.maxRecipients {
		s.answer(ansTooManyRcpt)
		return
	}
	if s.kept() {
		s.env.to = appendCopy(s.env.to, path)
	}
	r := s.prof.answers[ansRcpt]
	if !s.ruled(atRcpt, &r) {
		return
	}
	if g := s.prof.greylist; g != nil && r.code < 400 && !g.passes(s.env.from, lower(nil, path), s.now) {
		r = g.reply
	}
	s.say(r)
	s.tally.recipients++
	if r.code >= 400 {
		s.tally.refusedRecipients++
		if s.kept() {
			s.env.to = s.env.to[:len(s.env.to)-1]
			s.env.refused = appendCopy(s.env.refused, path)
		}
		return
	}
	s.rcpts++
}

// appendCopy appends a copy of p, into the memory of an entry cut off before.
func appendCopy(all [][]byte, p []byte) [][]byte {
	if len(all) < cap(all) {
		all = all[:len(all)+1]
		all[len(all)-1] = append(all[len(all)-1][:0], p...)
		return all
	}
	return append(all, append([]byte(nil), p...))
}

func ascii(p []byte) bool {
	for _, c := range p {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

func lower(dst, p []byte) []byte {
	for _, c := range p {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

// ruled lets rules change the reply r of a phase. It returns false when the
// dialogue's next step was taken already: no reply is due, or not this one.
func (s *session) ruled(at phase, r *reply) bool {
	rule := s.rule(at)
	if rule == nil {
		return true
	}
	if rule.reply.wire != nil {
		*r = rule.reply
	}
	return s.act(rule, rule.reply.wire != nil, r)
}

// rule finds the rule that takes this case; nil: none.
func (s *session) rule(at phase) *rule {
	rules := s.prof.rules[at]
	if len(rules) == 0 {
		return nil
	}
	var fromBuf, toBuf [320]byte
	from := lower(fromBuf[:0], s.env.from)
	var to []byte
	if n := len(s.env.to); n > 0 && at >= atRcpt && at <= atEnd {
		to = lower(toBuf[:0], s.env.to[n-1])
	}
	victim := to
	if to == nil {
		// Before RCPT there is no recipient: connection and message stand in.
		var key [16]byte
		binary.LittleEndian.PutUint64(key[:8], s.serial)
		binary.LittleEndian.PutUint64(key[8:], s.sequence)
		victim = key[:]
	}
	for _, r := range rules {
		if r.times > 0 && to == nil {
			if r.applies(from, to, s.host.key) {
				return r
			}
		} else if r.applies(from, to, victim) {
			return r
		}
	}
	return nil
}

// act carries out what a rule does beside its reply r. It returns false when r
// must not be said any more.
func (s *session) act(rule *rule, said bool, r *reply) bool {
	if rule.delay > 0 {
		s.busy = max(s.busy, s.now) + rule.delay
	}
	switch rule.do {
	case doClose:
		if said {
			s.say(*r)
		}
		s.ending = endClose
		return false
	case doReset:
		if said {
			s.say(*r)
		}
		s.ending = endReset
		return false
	case doStall:
		if said {
			s.say(*r)
		}
		s.ending = endStall
		return false
	case doGarbage:
		s.sayRaw(garbage)
		return false
	case doFlood:
		s.sayRaw(flood())
		return false
	}
	return true
}

// reply says r at a phase unless a rule has it otherwise; it returns whether
// something like it was said.
func (s *session) reply(at phase, r reply) bool {
	if !s.ruled(at, &r) {
		return false
	}
	s.say(r)
	return true
}

func (s *session) answer(a answer) { s.say(s.prof.answers[a]) }

// say appends a reply and gives it its time. A 421 ends the connection (RFC
// 5321 3.8).
func (s *session) say(r reply) {
	s.sayRaw(r.wire)
	if r.code == 421 {
		s.ending = endClose
	}
}

func (s *session) sayRaw(wire []byte) {
	s.out.buf = append(s.out.buf, wire...)
	due := max(s.now, s.busy) + s.prof.latency
	switch {
	case s.prof.drip > 0:
		s.out.drip(len(wire), due, s.prof.drip)
	case due > s.now:
		s.out.hold(len(wire), due)
	}
}

// garbage is no reply in any reading of RFC 5321 4.2.
var garbage = []byte("\x00\xff\xfe 2 5 0 maybe\r\n-----\r\nHTTP/1.1 200 OK\r\n\r\n")

// flood is a reply of 8 MiB without an end.
func flood() []byte {
	return bytes.Repeat([]byte("250-and another thing, and another thing, and another thing...\r\n"), 8<<20/64)
}
