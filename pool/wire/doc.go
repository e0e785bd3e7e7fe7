// Package wire is the transport under the pool: gnet event loops, dialling with
// a source address and a time-out, TLS, and timers. It moves bytes and knows
// nothing of SMTP.
//
// A connection is dialled, and where wanted secured, on a goroutine of its own
// with blocking calls and deadlines; then it is enrolled into an event loop and
// from there on only that loop touches it. Event loops never wait: DNS, dialling
// and handshakes run elsewhere.
package wire
