package smtp

import "errors"

// Why a message came back NotAttempted without a byte of it being sent: the
// caller composes it anew for this server, or gives up on it.
var (
	// ErrTooLarge: larger than the server's SIZE (RFC 1870 6.1).
	ErrTooLarge = errors.New("message is larger than the server takes")
	// ErrNeedsEightBit: EightBit without 8BITMIME (RFC 6152).
	ErrNeedsEightBit = errors.New("message needs 8BITMIME, which the server does not offer")
	// ErrNeedsUTF8: UTF8 or a non-ASCII address without SMTPUTF8 (RFC 6531).
	ErrNeedsUTF8 = errors.New("message needs SMTPUTF8, which the server does not offer")
	// ErrAddress: an envelope address that could change the dialogue, or no
	// recipient at all.
	ErrAddress = errors.New("envelope address cannot be sent")
	// ErrNoRoom: Send was called though Room was 0.
	ErrNoRoom = errors.New("session has no room for a message")
)

// Why a session ended, or stopped trusting what it was doing.
var (
	// ErrTimeout is what the owner gives to Lost when a reply did not come in
	// time: it tells the session what the server does not bear.
	ErrTimeout = errors.New("reply did not come in time")
	// ErrLost stands for a close without a reason.
	ErrLost = errors.New("connection lost")
	// ErrClosing: the server said 421, and nothing behind it was attempted.
	ErrClosing = errors.New("server is closing the connection")
	// ErrGarbage: not a reply of RFC 5321 4.2.
	ErrGarbage = errors.New("server sent something that is no SMTP reply")
	// ErrReplyTooLong: a line or a reply beyond all bounds.
	ErrReplyTooLong = errors.New("server sent an overlong reply")
	// ErrOutOfStep: a reply that answers nothing, or cannot be an answer to
	// the command it answers.
	ErrOutOfStep = errors.New("server's replies are out of step")
	// ErrInjected: bytes behind the 220 to STARTTLS (RFC 3207 5, CVE-2011-0411).
	ErrInjected = errors.New("server sent bytes in plain behind its STARTTLS reply")
	// ErrNoStartTLS: TLS is required and was not offered or refused.
	ErrNoStartTLS = errors.New("TLS is required and the server does not do STARTTLS")
	// ErrChunking: BDAT was offered and is not understood.
	ErrChunking = errors.New("server does not understand the BDAT it offers")
	// ErrHello: Config.Hello is no name.
	ErrHello = errors.New("EHLO name cannot be sent")
)
