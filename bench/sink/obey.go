package sink

import "bytes"

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
