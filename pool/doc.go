// Package pool keeps the connections: per site and route it decides who
// connects where and when, and what a connection sends next.
//
// # Words
//
// A [Lane] is one route's queue (a set of hosts that serve the same domains)
// inside a [Site]. Limits belong to the site (its [Gate]s, one per source),
// connections to a lane: a connection is shared only by messages with equal
// source, host and TLS policy.
//
// # Pull
//
// Nothing is pushed into a connection. When one has room in its window it asks
// its lane's [Queue], on its event loop; the queue answers from memory and
// never waits. When the queue had nothing it calls [Lane.Wake] once it has.
//
// # Concurrency
//
// Exported methods may be called from any goroutine. Queue, Gate and Observer
// methods are called from event loops and dial goroutines and must not block.
package pool
