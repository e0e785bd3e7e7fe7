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
// never waits. When the queue had nothing it calls [Lane.Wake] once it has. A
// connection whose pull came back short is hungry. Wake wakes one hungry
// connection, and each that finds the queue fuller than its window wakes the
// next: as many wake as there is work for, without anybody counting.
//
// # Life of a connection
//
// A place is taken in the lane and at the gate; then the dial waits in one queue
// for the whole process. An event loop leads the dialogue to Ready (connect,
// greeting, EHLO, STARTTLS, handshake, EHLO) and does all of the work from then on;
// only a handshake runs on a goroutine of its own. It ends with QUIT when it
// was idle, has carried its limit, is no longer wanted, or when its place is: a
// lane with nothing to send makes room for one that waits, and of several places
// a lane gives one up.
//
// # Size of a lane
//
// One connection for every so many waiting messages (Options.PerConnection), up
// to what the gates allow, unless one is hungry or waits for the gate's rate:
// more would only wait with it. Lanes that wait for a place stand in line.
//
// # Hosts
//
// The best preference that is not resting, the host with the fewest places, the
// source with the fewest. A host that is not known to answer gets one try at a
// time. One that fails rests, longer each time; the lane goes on to the next
// host at once. When none is left, [Queue.Unreachable] is told, once a round. A
// failure without words is the host's, a refusal in words the source's. Lack of
// descriptors or ports is nobody's: the dial is put back. Broken TLS is
// remembered, and the next connection goes plain, unless TLS is required.
//
// # Concurrency
//
// Exported methods may be called from any goroutine. Queue, Gate and Observer
// methods are called from event loops and handshakes' goroutines and must not
// block; no lock of this package is held meanwhile, so they may call back.
//
// # BUGS
//
// A message that makes its server hang up before any answer comes back as
// NotAttempted each time, and the host rests: whoever owns the queue should not
// offer such a message for ever.
//
// A host that has answered at one address has spoken for all its addresses; only
// a failing connect goes on to the next address.
package pool
