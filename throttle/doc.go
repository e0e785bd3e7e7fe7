// Package throttle holds each destination to what it bears: connection caps,
// connection and message rates, messages per connection, per site and source;
// and it learns: a deferral that concerns us backs the site off, clean answers
// let it recover (additive increase, multiplicative decrease).
//
// Time is an argument of every method, so a day of deferrals is a test of
// milliseconds. A [Limiter] is safe for concurrent use, and cheap to ask.
package throttle
