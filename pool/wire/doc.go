// Package wire is the transport under the pool: event loops on gnet's poller,
// connecting with a source address, TLS, and timers. It moves bytes and knows
// nothing of SMTP.
//
// # Life of a connection
//
// An event loop connects it ([Wire.Connect]) and is the only one that ever touches
// it: it tells the connection's [Handler] what happens. Event loops never wait, so
// what must is done elsewhere: a handshake is led by blocking calls on a goroutine
// ([TLS.Client]), for which the connection leaves its loop ([Conn.Detach]) and
// comes back ([Wire.Enroll]).
//
// # Concurrency
//
// Every method says which goroutine may call it: "loop only" means from inside
// a Handler's method of the same connection, "any goroutine" means that. A loop
// is one goroutine; [Wire.Close] stops all and waits for them.
//
// # BUGS
//
// What the socket did not take is kept in memory without bound; the owner bounds
// what it has under way and looks at [Conn.Unsent]. A connection that is closed
// sends of that only what the socket takes at once. Link-local IPv6 addresses with
// a zone are refused.
package wire
