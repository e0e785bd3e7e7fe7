// Package engine sends campaigns: it opens the ledger, the resolver, the
// throttle and the pool, and is the only one that knows them all.
//
// # The way of a recipient
//
// A [Run] walks over its campaign's domains and has them looked up, side by
// side and bounded. A domain that was found joins the lane of its route
// (lane.go). When the lane has room and it is the run's turn there (reserve.go),
// a worker reads a batch of recipients,
// leases them on disk and composes their messages meanwhile (dispatch.go). When
// both are done they are ready, and a connection with room in its window pulls
// them on its event loop. The reply is judged, teaches the throttle, and becomes
// a settlement (settle.go); once that is on disk, the recipient's place under
// max_in_doubt is free for the next.
//
// What is paused or cancelled stops at its lane (pause.go, cancel.go): its flow
// is held, so that nothing of it is read or becomes ready, and what was ready is
// handed back. Connections are not asked: what they have, they finish.
//
// # Goroutines
//
//   - walk, one per run: over its domains, until all are routed.
//   - lookup, dns.concurrency of them: ask the resolver, attach domains.
//   - worker, one per core: read, lease, compose.
//   - openings: holds and lets go the runs that have windows.
//   - timetable: wakes domains whose retry is due.
//   - housekeeping: saves what was learned and samples how fast sites
//     answer, every few seconds.
//   - watch: looks 20 times a second at what the busiest lanes wait for, and at
//     some of the others.
//   - the ledger's writer calls durable; the pool's event loops call Pull and
//     Settle.
//
// All but the last two are started in Open or Start and waited for in Close.
//
// # Locks
//
// Order: Engine.steering, Run.mu, Engine.routing, lane.mu, timetable.mu. The locks of package share
// and of turns.go are taken last, and those of a site's replies and tempo; the census' is held while
// Engine.routing is taken, a trace.Hub's while the pool's tap is set. The pool calls
// places (pool.Line) with its site's lock held. Nothing outside this
// package is called with one of them held, but for the methods of the ledger,
// the pool and the throttle that only touch memory.
package engine
