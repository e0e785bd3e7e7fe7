// Package steering has no code of its own: its tests measure how fast a process
// that serves many campaigns obeys, what it costs while nothing is to be done,
// and whether campaigns share as they should. The program is a process of its
// own; the receiving server is in the test's.
//
// The tests run small versions, which check what holds at any size; `make
// steering` runs those that the figures in bench/README.md are from, prints
// them, and fails where a target is missed.
package steering
