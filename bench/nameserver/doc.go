// Package nameserver answers DNS questions from a small zone: an authority for
// everything, for tests and benchmarks that must resolve names without the
// outside world.
//
// A [Zone] is a map of names, or generators that make up a hundred thousand
// domains without storing them. Names can misbehave: answer SERVFAIL, answer
// late, or not at all. Questions are counted.
//
// A [Server] listens on UDP and TCP at the same port, sets RA so that a stub
// resolver takes it for a recursive one, and follows CNAMEs within the zone. Its
// methods may be called from any goroutine.
package nameserver
