package smtp

// Message is one mail transaction: one recipient, one content.
type Message struct {
	// From and To are the envelope addresses without angle brackets; an empty
	// From is the null reverse-path (RFC 5321 4.5.5). They hold no CR, LF, or
	// "<>": the session refuses such a message with NotAttempted and an error.
	From, To string
	// Content is the message in order of its parts: CRLF line ends only, no
	// dot-stuffing, ending in CRLF. The session reads it until the message's
	// event was taken, and never changes it: parts may be shared by messages.
	Content [][]byte
	// Size is the sum of the parts' lengths in octets. The session counts for
	// itself what it announces (RFC 1870 SIZE=, BDAT).
	Size int
	// EightBit: the content holds octets above 127 (RFC 6152 BODY=8BITMIME).
	EightBit bool
	// UTF8: an envelope address or header needs SMTPUTF8 (RFC 6531).
	UTF8 bool
	// Tag belongs to the caller; the session hands it back untouched.
	Tag any
}

// Fate is what became of a message as far as this connection can know. Every
// message that Send took gets exactly one.
type Fate uint8

const (
	// FateUnset is the zero value and never handed out.
	FateUnset Fate = iota
	// Delivered: the server answered the message's end with 2xx.
	Delivered
	// Refused: the server answered 4xx or 5xx; Outcome.Reply says which, and
	// Outcome.Command to what.
	Refused
	// Uncertain: the last byte was written and no answer to it came.
	Uncertain
	// NotAttempted: the message can go back to the queue at no cost to it.
	NotAttempted
)

// Outcome is a message's fate with the facts behind it. It holds what was
// observed; what it means is decided elsewhere (package bounce).
type Outcome struct {
	Fate Fate
	// Command is the one whose reply decided the fate; for Uncertain and
	// NotAttempted the one whose reply was awaited, if any.
	Command Command
	// Reply is the deciding reply; its Code is 0 when there was none. Its Text
	// is a copy that the receiver may keep.
	Reply Reply
	// Anomaly marks an answer that breaks the protocol though the fate is
	// known, such as a 250 to the end of a message whose RCPT was refused.
	Anomaly Anomaly
	// Err is why the connection ended, for Uncertain and NotAttempted.
	Err error
}

// Reply is a server's answer (RFC 5321 4.2).
type Reply struct {
	// Code is 200 to 599, or 0 for "no reply".
	Code int
	// Enhanced is the RFC 3463 status, zero where the server gave none.
	Enhanced EnhancedCode
	// Text is the reply's lines joined by "\n", without codes, cut at
	// MaxReplyText octets, printable (a tab becomes a space, other octets '?').
	// An enhanced code at the beginning of a line is in Enhanced, not in here.
	Text string
}

// EnhancedCode is an RFC 3463 status code: class, subject, detail.
type EnhancedCode [3]uint16

// MaxReplyText bounds Reply.Text, in octets.
const MaxReplyText = 1024

// Command names the step of the dialogue that a reply answers.
type Command uint8

const (
	CommandUnset Command = iota
	Connect              // the greeting
	Ehlo
	Helo
	StartTLS
	Mail
	Rcpt
	Data
	End // the final dot or BDAT LAST: the content
	Rset
	Quit
)

// Anomaly is a closed set of protocol breaches that are recorded.
type Anomaly uint8

const (
	NoAnomaly Anomaly = iota
	// AcceptedAfterRefusal: 2xx to the end although MAIL or RCPT was refused.
	// The fate is Delivered where the content was sent, and Refused where only
	// a lone dot was (RFC 2920 3.1).
	AcceptedAfterRefusal
)

// Gear is how far ahead of the replies a session may write.
type Gear uint8

const (
	// GearAuto takes the highest that the server offers.
	GearAuto Gear = iota
	LockStep
	Pipelining
	Chunking
)

// Capabilities is what a server offered in its EHLO reply.
type Capabilities struct {
	Pipelining, Chunking, EightBitMIME, SMTPUTF8, EnhancedStatusCodes, DSN, StartTLS bool
	// Size is the server's fixed maximum in octets; 0: none stated (RFC 1870 4).
	Size int64
	// MailMax is how many transactions one connection may carry; 0: not
	// stated (RFC 9422 LIMITS MAILMAX).
	MailMax int
}
