// Package sink is a receiving SMTP server for tests and benchmarks: fast enough
// to stay out of the way of the sender under test, and able to misbehave in
// every way that a script asks for.
//
// It is written from the RFCs, apart from the client it tests, and shares no
// code with it: a mistake cannot cancel itself out.
//
// # Use
//
//	s, err := sink.Start(sink.Options{Listen: []string{"127.0.0.1:0"}})
//	defer s.Close()
//	addr := s.Addrs()[0]
//
// Without a script it accepts everything at once: PIPELINING (RFC 2920), CHUNKING
// (RFC 3030), 8BITMIME, SMTPUTF8, SIZE, ENHANCEDSTATUSCODES and STARTTLS with a
// certificate that it makes for itself. [ParseScript] and [LoadScript] read
// behaviour from YAML; bench/README.md has the reference.
//
// # What it looks at
//
// Content is discarded where it was read, without a copy, unless
// [Options.Accept], [Options.Record] or [Options.Maildir] want it. What the
// sender did that the protocol forbids is counted ([Totals.Improper]), and a
// recorded message that breaks RFC 5322 or 2045 carries a note.
//
// # Time
//
// A command is judged when it arrives; its reply leaves later: after the
// server's think time, which is serial for a connection, and the latency, which
// is not. So commands sent ahead share one latency, as they share one round trip
// on a real path. What is recorded was recorded before its reply left.
//
// # Concurrency
//
// A connection belongs to one gnet event loop; after STARTTLS it is handed to a
// goroutine, since crypto/tls wants to block. Exported methods may be called
// from any goroutine. Options.Accept is called from loops and must not block.
//
// # Limits
//
// Linux and other systems with gnet's epoll or kqueue loops. Running out of file
// descriptors ends the accepting loop: raise the limit before a test with many
// connections.
package sink
