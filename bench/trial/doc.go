// Package trial runs penstock, the whole program, the way a person does: files
// in a directory, a command line, an exit code, and what is printed. The proofs
// in bench/crash, bench/peers and bench/interop stand on it.
//
// A test package calls [Main] from its TestMain: it builds the program once,
// with the race detector if the tests have it. A [Place] is a working directory
// with one campaign's files.
package trial
