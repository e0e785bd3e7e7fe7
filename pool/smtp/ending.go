package smtp

import "errors"

// end settles all that is in flight, says what ended the session, and closes.
func (s *Session) end(why Outcome) {
	err := why.Err
	if err == nil {
		err = ErrClosing
	}
	for s.flight.count > 0 {
		t := s.flight.at(0)
		s.settle(t.m, s.lostFate(t, err))
		s.flight.pop()
	}
	s.close(why)
}

func (s *Session) close(why Outcome) {
	orderly := s.phase == phaseQuit || s.quitting && why.Err == nil
	s.phase = phaseClosed
	s.pending = 0
	s.out.drop()
	s.said = nil
	if !s.ready && !orderly {
		*s.event() = Event{Kind: Failed, Outcome: why}
	}
	*s.event() = Event{Kind: Closed, Outcome: why}
}

// lostFate is what became of a message whose end has no reply.
func (s *Session) lostFate(t *transaction, err error) Outcome {
	switch {
	case t.refused != CommandUnset:
		// The server said no, and hung up: that is the real reason, and it
		// must not drown in the close.
		return s.verdict(t)
	case t.num <= s.written:
		return Outcome{Fate: Uncertain, Command: t.await, Err: err}
	}
	return Outcome{Fate: NotAttempted, Command: t.await, Err: err}
}

// serviceClosing is a 421 (RFC 5321 3.8, 4.2.1): it refuses the message whose
// command it answers; what is behind that was not attempted, though it was
// written. asked is false when it came on its own.
func (s *Session) serviceClosing(r *reply, asked bool) {
	why := Outcome{Reply: s.keep(r)}
	if asked {
		s.answered++
		why.Command, _ = s.Waiting()
		if t := s.flight.at(0); s.flight.count > 0 && t.await != Rset {
			if t.refused == CommandUnset {
				t.refused, t.reply = t.await, why.Reply
			}
			s.settle(t.m, s.verdict(t))
			s.flight.pop()
		}
	}
	s.settleRest()
	s.close(why)
}

// settleRest is for what was written to a server that had said goodbye.
func (s *Session) settleRest() {
	for s.flight.count > 0 {
		s.settle(s.flight.at(0).m, Outcome{Fate: NotAttempted, Err: ErrClosing})
		s.flight.pop()
	}
}

// breach ends a session whose server broke the protocol: which reply answers
// what is not known any more.
func (s *Session) breach(err error) {
	if s.flight.count > 0 && s.gear > LockStep {
		s.stepDown(s.gear-1, err.Error())
	}
	cmd, _ := s.Waiting()
	s.end(Outcome{Command: cmd, Err: err})
}

// stepDown lowers the gear, to g at most, for what the server showed.
func (s *Session) stepDown(g Gear, reason string) {
	g = max(g, LockStep)
	if s.gear <= g {
		return
	}
	s.gear, s.window = g, 1
	s.drain = s.flight.count > 0
	*s.event() = Event{Kind: GearChanged, Gear: g, Window: 1, Reason: reason}
}

// learnFromTimeout steps down when the reply that did not come was to a command
// that was written ahead: the server may have thrown away what it did not
// expect yet, or stall on BDAT. In lock-step and at a group's first command it
// is only slow.
func (s *Session) learnFromTimeout(err error) {
	if s.flight.count == 0 || s.answered == s.awaited || !errors.Is(err, ErrTimeout) {
		return
	}
	t := s.flight.at(0)
	if t.gear == LockStep {
		return
	}
	switch t.await {
	case Mail, Rset:
		if !t.ahead {
			return
		}
	case End:
		if t.gear != Chunking {
			return
		}
	case CommandUnset, Connect, Ehlo, Helo, StartTLS, Rcpt, Data, Quit:
	}
	s.stepDown(t.gear-1, "no reply to "+t.await.String()+" in "+t.gear.String())
}
