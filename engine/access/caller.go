package access

import (
	"context"
	"time"
)

// Caller is who calls.
type Caller struct {
	// Name is the token's, the certificate's or the user's.
	Name string
	Role Role
	// Via is how he is known.
	Via Via
	// Peer is where he calls from: an address with port; empty on the socket.
	Peer string
	// Expires is when his token ends; the zero time: never.
	Expires time.Time
}

// Via is how a caller is known. Closed set.
type Via string

const (
	// ViaProcess: he called within this process, on a ledger that it opened.
	ViaProcess Via = "process"
	// ViaSocket: he could open the Unix socket.
	ViaSocket Via = "socket"
	// ViaToken: he showed a token.
	ViaToken Via = "token"
	// ViaCertificate: he showed a client certificate.
	ViaCertificate Via = "certificate"
)

type callerKey struct{}

// With gives a context that knows who calls.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// From is who calls; the zero Caller, who may do nothing, when nobody was
// recognised.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
