// Package hush keeps the standard logger quiet while packages are initialised.
//
// The metrics library says on standard error, as soon as it is linked, that a
// machine has no pressure figures: a line before the output of every command, on
// every machine without them. Go initialises packages as soon as those that they
// import are, and of several that are ready the one whose path comes first. This
// one needs nothing but log, and net/http, which the library needs, comes behind
// it; so it is always the first of the two. A test of cmd/penstock would see the
// line otherwise.
package hush

import (
	"io"
	"log"
)

var before = log.Writer()

func init() { log.SetOutput(io.Discard) }

// Over lets the standard logger speak again. Whoever imports this package calls
// it when it is initialised itself.
func Over() { log.SetOutput(before) }
