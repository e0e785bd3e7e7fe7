// Package forecast answers two questions from what was measured: when a
// campaign will be done, and why it is not faster. It is pure: no clock, no
// locks, no goroutine; inputs go in, answers come out. Any goroutine may call
// its functions; a [Window] or a [Rate] belongs to one at a time.
//
// # Words
//
// A flow is what one campaign has for one site. The first pass is done when
// every recipient was tried once; a recipient is final when it will not be tried
// again.
//
// # Why not faster
//
// At any moment a flow's next message does not begin for one reason, a [Cause].
// Its owner looks now and then and tells what it saw; a [Window] makes shares of
// time of that, in which what was seen [Memory] ago counts a third of what is
// seen now. The shares of many flows are summed by how many recipients wait in
// each: a campaign waits for what its recipients wait for. A site with a hundred
// thousand in line at its rate limit weighs more than one with ten.
//
// # When the first pass is done
//
// A flow's pace is what it did lately ([Rate]: the last third of its life, at
// most some seconds). What keeps it back says whom it shares that pace with:
// behind a rate limit or a slow server, the other campaigns at that site; behind
// max_rate, its own campaign's other sites; behind disk, processor or DNS,
// everybody. Within such a group the pace stays the same as long as anybody has
// work, so that each flow speeds up when another is done. A rate limit is
// believed more than what was measured. Retries that fall due before the end
// take their part of the pace.
//
// Sites work side by side: a campaign's first pass ends when that of its slowest
// site does, which is not what its total and its total pace would say.
//
// # When everybody is final
//
// That depends on others, so it is a range. It begins where everyone who is
// deferred, or will be (as large a share as up to now), is taken at the next try.
// It ends where as large a share of the retries is deferred again as up to now,
// and less than half a recipient is left of them; at the latest when they expire.
//
// # BUGS
//
// Nothing is known of hours to come: of greylisting that ends, of a site that
// will object, of a pause that somebody ends. What is paused has no forecast.
//
// A flow that has done nothing yet gets its campaign's pace, or a share of its
// site's rate limit.
package forecast
