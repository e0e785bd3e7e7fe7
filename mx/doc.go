// Package mx finds where a domain's mail goes: MX lookup (RFC 5321 5.1), null MX
// (RFC 7505), addresses, caching by TTL, fixed routes, and the name of the site
// that limits and learning apply to.
//
// "Could not find out" is an answer of its own ([TemporaryFailure]): silence
// from DNS never becomes a bounce, and never a guess.
//
// A [Resolver] is safe for concurrent use.
package mx
