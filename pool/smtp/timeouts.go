package smtp

import "time"

// Timeouts is how long to wait for each reply. The session has no clock: its
// owner asks Waiting and applies these.
type Timeouts struct {
	Greeting time.Duration
	Hello    time.Duration // EHLO, HELO, STARTTLS and RSET
	Mail     time.Duration
	Rcpt     time.Duration
	Data     time.Duration // the 354
	// Block is how long a write may make no progress.
	Block time.Duration
	End   time.Duration // the final dot or BDAT LAST
	Quit  time.Duration
}

// DefaultTimeouts is RFC 5321 4.5.3.2; only QUIT, on whose answer nothing
// depends, is short.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Greeting: 5 * time.Minute,  // 4.5.3.2.1
		Hello:    5 * time.Minute,  // not given there: as MAIL
		Mail:     5 * time.Minute,  // 4.5.3.2.2
		Rcpt:     5 * time.Minute,  // 4.5.3.2.3
		Data:     2 * time.Minute,  // 4.5.3.2.4
		Block:    3 * time.Minute,  // 4.5.3.2.5
		End:      10 * time.Minute, // 4.5.3.2.6
		Quit:     5 * time.Second,
	}
}

// For is how long to wait for the reply to c.
func (t *Timeouts) For(c Command) time.Duration {
	switch c {
	case Connect:
		return t.Greeting
	case Mail:
		return t.Mail
	case Rcpt:
		return t.Rcpt
	case Data:
		return t.Data
	case End:
		return t.End
	case Quit:
		return t.Quit
	case CommandUnset, Ehlo, Helo, StartTLS, Rset:
	}
	return t.Hello
}
