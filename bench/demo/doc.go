// Package demo is the world of `penstock demo`: a campaign, the mail servers
// that it goes to and the DNS that leads there, all on this machine's loopback
// addresses. The command narrates and runs Penstock against it.
//
// BUGS: the servers are told apart by their addresses, 127.0.0.2 to 127.0.0.9.
// Linux has the whole of 127.0.0.0/8; other systems need them as aliases.
package demo
