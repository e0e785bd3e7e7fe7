// Package intake takes campaigns in that come over the API: it keeps what is
// there of each until all of it is, and loads it then.
//
// # Life cycle
//
// A [Store] is opened beside an engine, and closed before that drains. Create
// makes an intake: its definition and the files that came along are on disk, in a
// folder of their own below the data directory, before it is there at all. An
// [Upload] takes the chunks of one file that follows. When the last upload is
// whole, the intake is loading: one goroutine loads one campaign after another,
// with the engine's own loader, so that a campaign is in the ledger as a whole or
// not at all. Then its folder is removed, and a record in the ledger remembers
// what it was made of, so that the same Create can be answered for ever.
//
//	receiving ──► loading ──► (a campaign)
//	                 └──────► broken
//
// What is broken has mistakes that were seen when it was read: it is created
// again with other content, or dropped. Nothing in this package is ever sent.
//
// # What is on disk
//
// intake/ID/manifest.json is written whole and renamed; a folder without one was
// being made when the process died, and is removed. An upload is a plain file
// that grows; its length says where it goes on. An octet counts as stored once
// the file was synced behind it. A crash of the machine may leave octets that
// nobody was told of: they are what was sent, since file systems that order data
// before lengths (ext4's default, xfs, btrfs) never show anything else, and an
// upload whose SHA-256 was announced is held against it before it is loaded.
//
// # What a client may read
//
// Nothing but what it sent, and regular files below intake.folder, out of which
// no name leads; see package folder. A DKIM key never travels: it lies below that
// folder, or is penstock.yaml's for the same domain and selector.
//
// # Concurrency and bounds
//
// All methods may be called from any goroutine. Locks: Store.mu, then an intake's
// mu, then an upload's; no file is touched under Store.mu. At most maxIntakes are
// there at once, each with at most maxUploads files to come. Loads need the
// memory of one load, whatever waits.
//
// # Suppression
//
// The lists that come with a campaign are applied while it is loaded, and what
// they said is kept with each recipient: it holds for as long as the campaign is
// there, and no copy takes over who was suppressed. The lists themselves are not
// kept; whom others name later is suppressed by penstock.yaml's lists.
package intake
