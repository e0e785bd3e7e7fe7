// Package bounce says what a reply means: whose it is, whether to try again and
// when, and what the throttle should learn.
//
// [Judge] is a pure function over facts and a table of rules (rules.txt): no
// clock, no storage, no state, safe from any goroutine. What to do about a
// verdict is the engine's affair.
//
// # Laws that no rule can change
//
//   - Only a 5xx to RCPT or to the message's end bounces a recipient. At the
//     greeting, EHLO, STARTTLS or MAIL it concerns source and site (a block,
//     most often), at DATA the message: the recipients stay deferred.
//   - A 5xx that says "not you" or "not so fast" (a block list, a rate limit, a
//     failed sender authentication) bounces nobody, wherever it comes.
//   - Behind a 421, and after a connection that ended by itself, nothing is
//     counted against a recipient whose message was not attempted.
//   - What cannot be known (the connection was lost after the last byte) is
//     [Doubt], never success or failure.
//
// # Bugs
//
// Replies are prose. A text that no rule knows is judged by its enhanced code
// (RFC 3463), then by its code (RFC 5321 4.2.3). Only English texts, and a few
// of the large providers' others, are known.
package bounce
