// Package share decides whose turn it is where several campaigns want the same:
// a site's limits, the processors, the resolver.
//
// # The rule
//
// Each [Member] has a priority and a weight. Members of the same priority get
// service in proportion to their weights. Of several priorities that want
// something, the highest gets what the lower ones do not keep: each lower one
// keeps a sixteenth, and all lower ones together at most a half, so that more
// than eight of them divide that half evenly. A priority that wants nothing, or
// cannot use its turn, leaves it to the others.
//
// What is counted is what was taken, in the share's own unit (messages, or
// microseconds of a processor), never the number of turns.
//
// # How
//
// Start-time fair queueing, once among the priorities and once within each. A
// member has a mark, its service so far divided by its weight; the one with the
// lowest mark is next. Who was away, or could not use what it was offered, does
// not catch up: its mark is lifted to the time of the share, which is where the
// last turn began, less at most [Arrears] turns. That much is left to it since
// members are now and then unable to take for a moment (their next recipients
// are just being read), and would lose their share to those without such
// moments otherwise.
//
// # Bounds
//
// While two members of one priority both want service all the time, what they
// got, each divided by its weight, differs by at most one turn of each. A turn
// takes at most the share's Most. So a member waits for its next turn no longer
// than the others need for their weights' worth of one turn of its own, and one
// turn each.
//
// # Life and concurrency
//
// A [Share] is made by New and needs no end. Its methods may be called from any
// goroutine; they take its lock, touch memory and return, so they may be called
// with other locks held. A [Line] belongs to whoever guards it.
//
// # Limits
//
// Next looks at every member that it is offered: with a thousand campaigns at
// one lane a turn costs a few microseconds.
package share
