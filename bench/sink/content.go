package sink

import "bytes"

// obeyData answers DATA (RFC 5321 4.1.1.4).
func (s *session) obeyData(arg []byte) {
	s.awaited = true // RFC 2920 3.1: content waits for the 354
	switch {
	case !s.mail || s.chunked || s.chunkFail: // RFC 3030 2: BDAT and DATA do not mix
		s.answer(ansSequence)
		return
	case len(arg) > 0:
		s.answer(ansSyntax)
		return
	case s.rcpts == 0 && !s.prof.takeRefused:
		s.answer(ansNoRecipient)
		return
	}
	r := s.prof.answers[ansData]
	if !s.ruled(atData, &r) {
		return
	}
	s.say(r)
	if r.code == 354 && s.ending == endNot {
		s.content = inData
		s.dot.reset()
		s.cut = s.rule(atContent)
	}
}

// data takes content of DATA off p.
func (s *session) data(p []byte) []byte {
	n, end := s.dot.find(p)
	if s.interrupted(n) {
		return nil
	}
	s.length += int64(n)
	s.tally.contentBytes += int64(n)
	if s.recorder != nil && s.length <= s.prof.size {
		s.body = append(s.body, p[:n]...)
	}
	if end {
		s.content = inCommands
		s.length -= 3 // the dot and its line end are no content
		s.tally.contentBytes -= 3
		s.counted = true
		if s.recorder != nil && len(s.body) >= 3 {
			s.body = unstuff(s.body[:len(s.body)-3])
		}
		s.finish()
		if !s.can(extPipelining) {
			s.awaited = true
		}
	}
	return p[n:]
}

// unstuff removes the dot that the client added to lines that begin with one
// (RFC 5321 4.5.2), in place.
func unstuff(body []byte) []byte {
	if len(body) > 0 && body[0] == '.' {
		body = body[1:]
	}
	w := bytes.Index(body, []byte("\r\n."))
	if w < 0 {
		return body
	}
	w += 2
	r := w + 1
	for {
		i := bytes.Index(body[r:], []byte("\r\n."))
		if i < 0 {
			return body[:w+copy(body[w:], body[r:])]
		}
		w += copy(body[w:], body[r:r+i+2])
		r += i + 3
	}
}

// obeyBdat answers BDAT once its chunk has passed: the chunk of a refused one
// follows all the same, and is discarded (RFC 3030 2).
func (s *session) obeyBdat(arg []byte) {
	size, last, ok := splitChunk(arg)
	if !ok || !s.can(extChunking) {
		// Nobody knows how many octets follow, if any.
		s.answer(ansUnknown)
		return
	}
	s.left, s.last = size, last
	switch {
	case !s.mail || s.chunkFail:
		s.discard(s.prof.answers[ansSequence])
	case s.rcpts == 0 && !s.prof.takeRefused:
		s.discard(s.prof.answers[ansNoRecipient])
	default:
		s.beginChunk()
	}
	if s.left == 0 && s.ending == endNot {
		s.chunkDone()
	}
}

func (s *session) beginChunk() {
	if !s.chunked {
		s.chunked = true
		s.cut = s.rule(atContent)
	}
	if rule := s.rule(atBdat); rule != nil {
		r := s.prof.answers[ansChunk]
		if rule.reply.wire != nil {
			r = rule.reply
		}
		if !s.act(rule, rule.reply.wire != nil, &r) {
			s.content = inDiscard
			s.tailReply = reply{}
			return
		}
		if r.code >= 400 {
			s.discard(r)
			return
		}
	}
	if s.length+s.left > s.prof.size {
		s.discard(s.prof.answers[ansTooBig])
		return
	}
	s.content = inChunk
}

// discard lets the chunk pass and answers r; the transaction is spoilt until
// RSET, or over if there was none.
func (s *session) discard(r reply) {
	s.content = inDiscard
	s.tailReply = r
	s.chunkFail = s.mail
}

// chunk takes content of BDAT off p.
func (s *session) chunk(p []byte) []byte {
	n := int(min(s.left, int64(len(p))))
	if s.content == inChunk {
		if s.interrupted(n) {
			return nil
		}
		s.length += int64(n)
		s.tally.contentBytes += int64(n)
		if s.recorder != nil {
			s.body = append(s.body, p[:n]...)
		}
	} else {
		s.tally.discarded += int64(n)
	}
	s.left -= int64(n)
	if s.left == 0 {
		s.chunkDone()
	}
	return p[n:]
}

func (s *session) chunkDone() {
	mode := s.content
	s.content = inCommands
	s.counted = true
	switch {
	case mode == inDiscard:
		if s.tailReply.wire == nil {
			break // garbage or a flood was the answer
		}
		s.say(s.tailReply)
		if s.last && s.mail {
			s.tally.refused++
		}
	case s.last:
		s.finish()
	default:
		s.answer(ansChunk)
	}
	if !s.can(extPipelining) {
		s.awaited = true
	}
}

// interrupted lets a rule end the dialogue in the middle of a content of which
// n more octets have come.
func (s *session) interrupted(n int) bool {
	if s.cut == nil || s.length+int64(n) < s.cut.after {
		return false
	}
	rule := s.cut
	s.cut = nil
	r := rule.reply
	if s.act(rule, r.wire != nil, &r) && r.wire != nil {
		s.say(r)
	}
	return s.ending != endNot
}

// finish judges a whole message.
func (s *session) finish() {
	if s.prof.think > 0 {
		s.busy = max(s.busy, s.now) + s.prof.think
	}
	r := s.prof.answers[ansEnd]
	if s.length > s.prof.size {
		r = s.prof.answers[ansTooBig]
	}
	take, say := r.code < 400, true
	if rule := s.rule(atEnd); rule != nil {
		if rule.reply.wire != nil {
			r = rule.reply
		}
		said := rule.reply.wire != nil
		say = s.act(rule, said, &r)
		// Without an answer nobody knows, unless the script does.
		take = rule.take || r.code < 400 && (say || said && rule.do != doGarbage && rule.do != doFlood)
	}
	if take {
		s.tally.accepted++
		if s.recorder != nil {
			s.recorder.take(s)
		}
	} else {
		s.tally.refused++
	}
	if say {
		s.say(r)
	}
	s.reset()
}
