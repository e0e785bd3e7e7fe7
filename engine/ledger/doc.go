// Package ledger is Penstock's memory: every recipient of every campaign and
// what became of each, in Pebble. It is the only package that imports Pebble.
//
// # Promises
//
//   - A recipient is accepted only once it is on disk; loading is atomic, and
//     in segments each is.
//   - A recipient is leased on disk before the last byte of its message can go
//     out. After a crash a lease without an outcome is an uncertain attempt.
//   - A recipient is in exactly one [State], and [Ledger.Verify] proves it.
//   - Nothing synced is ever lost by a kill at any moment.
//
// # Life of a recipient
//
// A [Loader] takes the rows in; Commit makes the campaign exist at one moment,
// or Segment a part of it at a time, while those before are being sent to.
// [Campaign.Resume] settles what a crash left leased and makes reading
// possible. Then, for each [Domain]: ReadFresh or ReadDue into a [Batch],
// [Ledger.Lease], and for everybody in it one [Ledger.Settle] or one
// [Ledger.HandBack].
//
// # Layout
//
// See keys.go for the keyspaces and format.go for the records and the version.
// Recipients are immutable and lie sorted by (campaign, domain, sequence);
// history lies in the same order in a keyspace of its own; nothing hot is
// deleted. A record per domain of a campaign holds its counts and, for first
// attempts and for the retry queue each, two marks: everything up to the high
// mark was leased, everything up to the low one has been settled. So a lease
// is a mark that moves with the next commit, and recovery reads only what lies
// between the marks.
//
// # Concurrency
//
// One goroutine, the writer, makes every change while campaigns run: it groups
// leases and settlements and commits each group with one fdatasync. Lease,
// Settle and HandBack only append to its inbox. Methods may be called from any
// goroutine unless they say otherwise. Locks, in the order in which they may
// be held together: a campaign's open, a reader's turn, Domain.mu, Campaign.mu;
// the ledger's and the writer's mutex are never held while another is taken,
// but for those of idle readers.
//
// # Events
//
// What happens is numbered by the writer, in the group that it happens in: so
// no event is lost, and none tells of what did not happen. An event is an
// attempt, a rejected row, or a [Notice] of a change; an [EventReader] reads
// them from any number on, at its own pace, and [Ledger.AwaitEvent] waits for
// the next. The log points at history and rejects, and is trimmed by
// [Ledger.TrimEvents], which leaves those as they are.
//
// # When a write fails
//
// Pebble gives up by panicking, by logging, or not at all. Here each of these
// ends in Options.Fatal, once: leases that wait are refused, nothing more is
// taken, and a goroutine inside Pebble may stay there, so the process should
// end. Everything acknowledged is on disk.
//
// BUGS: who is erased while a campaign is loaded in segments, and comes again in
// a later one, is loaded again. When the
// clock is set back, retries planned meanwhile wait until it has caught up with
// the latest one handed out.
package ledger
