// Package access is who may do what over the control plane, and the record of
// what was done.
//
// A [Caller] is known by a token ([Tokens]), by a client certificate
// ([Certificates]), or by having been able to open the Unix socket. He has one
// [Role]: read sees everything that is sent and to whom, operate also starts,
// pauses and limits, admin also rules the process and who has access. What each
// method takes is in one table (methods.go); a method that is not in it is
// nobody's.
//
// A [Log] is the audit log: every change with who, what and when, on disk before
// the change is made, and its result behind it.
//
// # Life cycle and concurrency
//
// Tokens are read from the ledger by [OpenTokens] and kept there; a created or
// revoked token counts at once. A Log is opened by [OpenLog] and closed by its
// owner. Any goroutine may use either.
//
// # Limits
//
// At most [MaxTokens] tokens. The audit log takes at most [LogFiles] times
// [LogFileSize] octets; then its oldest file goes. Who can write to the data
// directory can change it.
package access
