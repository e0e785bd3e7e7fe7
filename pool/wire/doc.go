// Package wire is the transport under the pool: gnet event loops, dialling with
// a source address and a time-out, TLS, and timers. It moves bytes and knows
// nothing of SMTP.
//
// # Life of a connection
//
// It is dialled ([Dial]), and where wanted secured ([TLS.Client]), on a
// goroutine of its own with blocking calls and deadlines; then it is enrolled
// into an event loop ([Wire.Enroll]), which costs the goroutine its job: from
// there on only that loop touches the connection, and tells its [Handler] what
// happens. Event loops never wait: DNS, dialling and handshakes run elsewhere.
//
// # Concurrency
//
// Every method says which goroutine may call it: "loop only" means from inside
// a Handler's method of the same connection, "any goroutine" means that.
//
// # BUGS
//
// gnet keeps what the socket did not take in memory without bound and without
// telling; the owner bounds what it has under way and looks at [Conn.Unsent].
// When gnet closes a connection it flushes only what the socket takes at once.
// Link-local IPv6 addresses with a zone are refused: gnet would hand the zone's
// text to a buffer pool when the connection closes.
package wire
