package pool

import (
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
)

// Step is a part of a connection's life that is measured: how long it stood
// there and waited for the server. Closed set; its values index arrays.
type Step uint8

const (
	// StepDial is the TCP connection, StepHandshake TLS's; the others are the
	// reply to a command (RFC 5321 4.5.3.2), StepEnd the one to the content.
	StepDial Step = iota
	StepGreeting
	StepHello // EHLO or HELO
	StepStartTLS
	StepHandshake
	StepMail
	StepRcpt
	StepData
	StepEnd
	StepReset
	StepQuit
	NumSteps
)

var stepNames = [NumSteps]string{
	StepDial: "dial", StepGreeting: "greeting", StepHello: "hello", StepStartTLS: "starttls", StepHandshake: "handshake",
	StepMail: "mail", StepRcpt: "rcpt", StepData: "data", StepEnd: "end", StepReset: "rset", StepQuit: "quit",
}

// String is the step's word, such as "greeting".
func (s Step) String() string { return stepNames[s] }

// stepOf is the step that waits for the reply to a command other than
// smtp.CommandUnset.
var stepOf = [...]Step{
	smtp.Connect: StepGreeting, smtp.Ehlo: StepHello, smtp.Helo: StepHello, smtp.StartTLS: StepStartTLS, smtp.Mail: StepMail,
	smtp.Rcpt: StepRcpt, smtp.Data: StepData, smtp.End: StepEnd, smtp.Rset: StepReset, smtp.Quit: StepQuit,
}

// measure tells the Observer how long the reply took that was awaited. Replies
// that come together are one wait: for the first of them.
func (c *Connection) measure(now time.Time) {
	command, waiting := c.session.Waiting()
	if replies := c.session.Replies(); replies != c.measured {
		if c.awaited != smtp.CommandUnset {
			c.lane.site.pool.opts.Observer.Waited(stepOf[c.awaited], now.Sub(c.awaitedAt))
		}
		c.measured, c.awaited = replies, smtp.CommandUnset
	}
	if waiting && c.awaited == smtp.CommandUnset {
		c.awaited, c.awaitedAt = command, now
	}
}
