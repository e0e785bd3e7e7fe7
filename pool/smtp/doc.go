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
// unanswered BDAT LAST. A message's fate is the reply to its own end, whatever
// its MAIL and RCPT got. Behind a 421 nothing was attempted. After a bare close
// each message whose last byte was written and that has no reply is
// [Uncertain]; the others are [NotAttempted].
//
// # Concurrency
//
// A Session is not safe for concurrent use: one connection, one owner.
package smtp
