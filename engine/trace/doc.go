// Package trace hands the lines of SMTP dialogues to those who want to see them.
//
// A [Hub] has the [Tracer]s; whoever hears a line asks it who wants to know
// ([Hub.Wanted]) and hands the line on. A tracer chooses by site, host, source,
// campaign and recipient, and takes lines from a buffer that is bounded in lines
// and octets. What finds no room is dropped and counted, and the count comes with
// the next line; who does not read for [Patience] while lines are dropped loses
// the tracer. So nobody ever waits for a tracer.
//
// Secrets are masked here, in one place (mask.go), and contents are cut to what
// the tracer asked for, usually nothing.
//
// # Concurrency
//
// Any goroutine may use a hub. A tracer belongs to one goroutine, but for Close.
package trace
