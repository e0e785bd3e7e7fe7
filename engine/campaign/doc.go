// Package campaign reads what a person hands in: the campaign file, the files it
// names, and the recipients.
//
//   - [Read] gives a [Campaign], with every mistake at once.
//   - [Freeze] makes the [Snapshot] that a campaign keeps from its first send
//     on; [Snapshot.Compare] says what a person changed since. [Settings] may
//     change at any time.
//   - [Open] streams the recipients: each row becomes a [Row] or a [Reject], and
//     none disappears.
//   - [ReadSuppression] reads the addresses and domains never to be written to.
//
// The package knows nothing of sending or storage.
package campaign
