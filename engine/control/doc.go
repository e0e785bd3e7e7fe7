// Package control is the control plane: the API of penstock.v1 over gRPC,
// gRPC-Web and JSON, for whoever asks or steers a process that holds a data
// directory.
//
// [Steer] answers on a listener, a Unix socket in the data directory by
// default, for a process that sends; [Serve] for one that only holds a ledger:
// there, pauses and cancellations are written down for whoever sends next.
// [Dial] gives a [Client] to such a process; [Local] gives the same
// Client over a ledger that this process has opened itself. So a command is
// written once, whether the directory is held or not.
package control
