// Package ledger is Penstock's memory: every recipient of every campaign and
// what became of each, in Pebble. It is the only package that imports Pebble.
//
// # Promises
//
//   - A recipient is accepted only once it is on disk; loading is atomic.
//   - A recipient is leased on disk before the last byte of its message can go
//     out. After a crash a lease without an outcome is an uncertain attempt.
//   - A recipient is in exactly one [State], and [Ledger.Verify] proves it.
//   - Nothing synced is ever lost by a kill at any moment.
//
// # Layout
//
// See keys.go for the keyspaces and format.go for the records and the version.
// Recipients are immutable and lie sorted by (campaign, domain, sequence);
// history lies in the same order in a keyspace of its own; nothing hot is
// deleted. A record per domain of a campaign holds its marks and counts.
//
// # Concurrency
//
// One goroutine, the writer, makes every change while campaigns run: it groups
// leases and settlements and commits each group with one fdatasync. Lease,
// Settle and Return only append to its bounded inbox. Methods may be called
// from any goroutine unless they say otherwise.
package ledger
