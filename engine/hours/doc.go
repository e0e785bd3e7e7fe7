// Package hours says when sending may go on: on these days, in these hours, by
// the clock of a place.
//
// A [Window] is what a person writes; a [Calendar] of some of them answers
// whether it is open at a moment, and when that changes next.
//
// # The rule
//
// What counts is the clock on the wall of the window's zone: a window is open
// whenever that clock shows one of its hours on one of its days. Hours that run
// over midnight (22:00-06:00) belong to the day that they begin on. A calendar is
// open while one of its windows is.
//
// So nothing is ever sent at an hour that the window does not name, also when
// clocks change: an hour that a day does not have is left out, and one that it
// has twice is open twice.
//
// # Concurrency
//
// Nothing here changes once it is made; any goroutine may use it. Time is an
// argument, and only its wall clock counts.
//
// # Zones
//
// The program brings the zone database with it, for systems that have none; the
// system's own is preferred.
package hours
