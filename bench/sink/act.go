package sink

import (
	"bytes"
	"encoding/binary"
)

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
