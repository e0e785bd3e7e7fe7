// Package throttle holds each destination to what it bears: connection caps,
// connection and message rates, messages per connection, per site and source;
// and it learns: a deferral that concerns us backs the site off, clean answers
// let it recover (additive increase, multiplicative decrease).
//
// Time is an argument of every method, so a day of deferrals is a test of
// milliseconds. A [Limiter] is safe for concurrent use, and cheap to ask.
//
// # How it learns
//
// Three things can happen when a site objects to us as a sender:
//
//   - Too many connections, or too fast: the bound concerned falls to half of
//     what was in use, and rises again by steps: a connection, or a twentieth
//     of the rate, every 10 s as long as the bound is really used up. Trouble
//     right after a step takes back the step alone, and doubles the time to the
//     next (up to an hour): a limit at the other side is found once, and then
//     touched ever more rarely. All trouble within 10 s is one trouble.
//   - Everything is refused, or the source's reputation, or a hint that says
//     how long: the site rests, doubly as long each time. At the end of a rest
//     one connection and one message go first; when that went well, the
//     connections double every 2 s up to half of what there was before.
//   - Busy, now and then: nothing, until one answer in ten says so.
//
// What was learned is forgotten when the static limit is reached again, or
// after a day without trouble.
//
// # A worked trace
//
// A server takes 12 connections; the rule allows 20 (testdata/connections
// replays it, and TestTraces checks it):
//
//	 0 s  20 dialled, 8 refused   the bound falls to 10; the 7 others are the same trouble
//	10 s  all in use and clean    11, on trial until 20 s
//	20 s  still clean             12, on trial
//	30 s  still clean             13, on trial
//	36 s  the 13th is refused     12; next step in 20 s
//	56 s  clean                   13, refused: 12; next step in 40 s, 80 s, ... 1 h
//
// # Bugs
//
// Connections that are open when a bound falls are not closed; they end at
// their message limit or when idle. What a site says of one source is not
// applied to the others.
package throttle
