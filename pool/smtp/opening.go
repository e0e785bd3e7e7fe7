package smtp

// openingReply takes the replies between the greeting and Ready.
func (s *Session) openingReply(r *reply) {
	if r.class() == 3 {
		s.breach(ErrOutOfStep)
		return
	}
	good := r.class() == 2
	switch s.phase {
	case phaseGreeting:
		if !good {
			s.refuseUs(Connect, r, nil)
			return
		}
		s.hello(phaseEhlo)
	case phaseEhlo:
		if good {
			s.caps, s.sized = parseCapabilities(r.text)
			s.offered()
			return
		}
		if unknownCommand(r.code) { // RFC 5321 4.1.4: then HELO
			s.hello(phaseHelo)
			return
		}
		s.refuseUs(Ehlo, r, nil)
	case phaseHelo:
		if !good {
			s.refuseUs(Helo, r, nil)
			return
		}
		s.offered()
	case phaseStartTLS:
		if good {
			s.phase = phaseHandshake
			*s.event() = Event{Kind: Handshake}
			return
		}
		if s.cfg.TLS == TLSRequire {
			s.refuseUs(StartTLS, r, ErrNoStartTLS)
			return
		}
		s.becomeReady() // RFC 3207 4: the session goes on as it was
	case phaseHandshake, phaseReady, phaseQuit, phaseClosed:
	}
}

// unknownCommand tells the 5yz replies that speak of the command's syntax from
// those that speak of policy.
func unknownCommand(code int) bool {
	switch code {
	case 500, 501, 502, 504:
		return true
	}
	return false
}

// hello says EHLO or HELO.
func (s *Session) hello(p phase) {
	s.phase = p
	if p == phaseHelo {
		s.command(Helo, "HELO ", s.cfg.Hello)
	} else {
		s.command(Ehlo, "EHLO ", s.cfg.Hello)
	}
}

// offered decides what follows from the capabilities.
func (s *Session) offered() {
	if !s.cfg.Secured && s.cfg.TLS != TLSNone {
		if s.caps.StartTLS {
			s.phase = phaseStartTLS
			s.command(StartTLS, "STARTTLS", "")
			return
		}
		if s.cfg.TLS == TLSRequire {
			s.refuseUs(Ehlo, nil, ErrNoStartTLS)
			return
		}
	}
	s.becomeReady()
}

func (s *Session) becomeReady() {
	s.phase, s.ready = phaseReady, true
	s.gear = s.caps.gear(s.cfg.TopGear)
	s.window = firstWindow
	*s.event() = Event{Kind: Ready, Gear: s.gear, Window: s.window, Capabilities: s.caps}
	s.quitIfIdle()
}

// refuseUs ends the opening in order: the host will not have us, and hears QUIT
// (RFC 5321 3.1 asks for it after a 554 greeting).
func (s *Session) refuseUs(c Command, r *reply, err error) {
	o := Outcome{Command: c, Err: err}
	if r != nil {
		o.Reply = s.keep(r)
	}
	*s.event() = Event{Kind: Failed, Outcome: o}
	s.quit()
}
