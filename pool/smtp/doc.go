// Package smtp is the client side of SMTP (RFC 5321) as a pure state machine:
// bytes in, bytes and events out.
//
// A [Session] has no socket, no clock and no goroutine. Its owner feeds it what
// the server sent ([Session.Feed]), gives it messages while it has room
// ([Session.Send]), writes what it asks to have written ([Session.Output]) and
// reads what became of each message ([Session.Events]). So one and the same
// dialogue is tested with transcripts, fuzzed, driven in virtual time, and run
// over plain TCP or TLS.
//
// # Gears
//
// Round trips are what a bulk sender waits for, so a session drives in the
// highest gear that the server and the memory of the host allow:
//
//   - [LockStep]: each command waits for the reply to the one before.
//   - [Pipelining] (RFC 2920): MAIL, RCPT and DATA in one write, and the next
//     message's group together with the end of this one: one round trip each.
//   - [Chunking] (RFC 3030, with PIPELINING): whole messages (MAIL, RCPT,
//     BDAT n LAST) follow one another without waiting, up to a window.
//
// # Rules that keep a window safe
//
// A refused RCPT leaves the transaction open, and the next message would go out
// under the wrong envelope. So RSET goes before every MAIL that follows an
// unanswered BDAT LAST, and before every MAIL behind a refusal that may have left
// a transaction open. Nothing is written behind a session's first BDAT until it
// was taken; then the window is 4, and grows by one with each message taken.
//
// # Fates
//
// A message's fate is the reply to its own end, whatever its MAIL and RCPT got:
// a 2xx there is [Delivered], marked [AcceptedAfterRefusal] where a refusal came
// before. A refused message is [Refused] by the first refusal, since the others
// only follow from it. A 421 refuses the message whose command it answers, and
// behind it nothing was attempted.
//
// When the connection ends without a reply to a message's end, the message is
// Refused where a refusal of its MAIL or RCPT was heard (a server that says why
// and hangs up must not be misheard), [Uncertain] where its last byte was
// handed out, and [NotAttempted] otherwise. NotAttempted is also what becomes
// of a message that the server cannot take (ErrTooLarge and its like), and of one
// that failed for the gear rather than for itself (ErrOutOfStep, ErrChunking).
//
// # Stepping down
//
// What a server shows that it does not bear lowers the gear for the rest of the
// session, and [GearChanged] tells it to the memory of the host: BDAT that is
// offered and not understood, a message accepted after its recipient was refused,
// 503 to a good sequence, RSET refused, replies out of step with messages in
// flight, and no reply (Lost with [ErrTimeout]) to what was written ahead.
// Nothing new begins until all that is in flight was answered.
//
// # Known limits
//
// Replies carry no names: they are told apart by their order alone. A server that
// swallows a command in the middle of a session, after it took messages in the
// same gear, can make the reply to one command look like that to another; RSET
// between messages and the bounds on what may answer what notice most of it.
// A server that refuses a BDAT without reading its chunk reads the content as
// commands; the answer to the following RSET, or an unasked reply, ends the
// session then.
//
// # Concurrency
//
// A Session is not safe for concurrent use: one connection, one owner.
package smtp
