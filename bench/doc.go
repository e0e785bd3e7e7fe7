// Package bench measures senders: it starts the sink and the sender as separate
// processes, counts the CPU of both, and writes a table and JSON.
//
// A [Scenario] is a file: so many recipients at so many sites, a message of such
// a size, a gear, a latency. The harness makes the campaign, the recipients and
// the configuration from it. [Run] runs scenarios several times, reports medians
// with their spread, and compares two programs by running them in turns.
//
// The sink's process is this program again ([RunSink]); the sender is any command
// line, so that other senders can be measured with the same receiver.
//
// bench/README.md says how to read the figures.
package bench
