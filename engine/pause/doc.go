// Package pause knows what is paused: who holds a campaign, a site, a campaign
// at a site, a source, or everything, since when and why.
//
// A [Book] keeps the holds, and the times that are over, in a [Store], so that
// both outlive the process. Holds stack: what two people paused flows again
// when both have let go. The times are for schedules: what was paused has used
// up none of a recipient's time, and [Book.Paused] says how long that was, as
// the union of all that held it.
//
// The book only remembers. Who sends asks [Book.Held], and is told of no change.
package pause
