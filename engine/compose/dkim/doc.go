// Package dkim signs messages (RFC 6376, and RFC 8463 for Ed25519), any number
// of signatures each, relaxed/relaxed.
//
// # The way of one message
//
// A [Set] holds the signatures that a campaign's messages carry. The body's
// hash comes from a [BodyHash], which takes the body in pieces: fixed text is
// made canonical once ([Prepare]), and the state after a fixed beginning can
// be kept and gone back to ([BodyHash.Snapshot]), so that each message costs
// only what differs from the last one. Then three steps, apart so that a
// worker can take a whole batch of messages through each:
//
//	set.Prepare(&pending, header, bodyHash, now) // the digest of each signature
//	set.Sign(ctx, signer, pendings)              // all of them, RSA eight at a time
//	dst = pending.AppendTo(dst)                  // the DKIM-Signature fields
//
// The fields go in front of the header they sign. RSA is what costs: the
// package rsa8 below this one does eight signatures at once where the
// processor can.
//
// # What is covered
//
// Every field that says something to the recipient or to the recipient's
// provider, where present: see signedFields. From and Subject are oversigned:
// listed once more than they occur, so that nobody can add a second one (RFC
// 6376 8.15). The signature covers the whole body; l= is never used (RFC 6376
// 8.2).
//
// # Concurrency
//
// Set, Key and Fixed do not change once made and serve any number of
// goroutines. BodyHash and Pending belong to one goroutine at a time and are
// meant to be kept: in the steady state preparing and placing a signature
// allocates nothing.
//
// # Bugs
//
// Simple canonicalisation, l=, i= and z= are not offered. A line break is CRLF
// and nothing else: a bare CR or LF is treated as text, so the composer must
// not let one through (RFC 6376 5.3). Verifiers disagree about white space at the
// very end of a body without a last line break; DATA adds one there, and with
// BDAT the composer must.
package dkim
