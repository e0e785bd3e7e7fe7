package control

import (
	"errors"

	"connectrpc.com/connect"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// What a client wants to know of a call's error, without the protocol around it.

// Refused is a call's error as a person wants to read it: the message without
// the protocol around it.
type Refused struct {
	// Code is the gRPC code, and Message what was said.
	Code    connect.Code
	Message string
	// cause is what befell the connection, nil if a server said it.
	cause error
}

func (r *Refused) Error() string { return r.Message }

// Unwrap is what befell the connection, such as a *net.OpError.
func (r *Refused) Unwrap() error { return r.cause }

// Cause is what a person wants to read of a call's error: a *Refused where it is
// one.
func Cause(err error) error {
	var remote *connect.Error
	if errors.As(err, &remote) {
		return &Refused{Code: remote.Code(), Message: remote.Message(), cause: remote.Unwrap()}
	}
	return err
}

// Lost reports whether a call ended because its process or the connection did,
// and not by what was asked: the next process may answer it. So is no error.
func Lost(err error) bool {
	return err == nil || !connect.IsWireError(err) || connect.CodeOf(err) == connect.CodeUnavailable
}

// Transient reports whether a call may go better the next time: it did not reach
// the server, its answer did not come, or it says so.
func Transient(err error) bool {
	var remote *connect.Error
	if !errors.As(err, &remote) {
		return false
	}
	if !connect.IsWireError(remote) {
		return true
	}
	switch remote.Code() {
	case connect.CodeUnavailable, connect.CodeUnknown, connect.CodeResourceExhausted, connect.CodeDeadlineExceeded, connect.CodeCanceled, connect.CodeAborted:
		return true
	}
	return false
}

// NotFound, Exists and Crowded report what a server said: there is no such thing,
// there is another one of that name, or it has too much to do.
func NotFound(err error) bool { return connect.CodeOf(err) == connect.CodeNotFound }
func Exists(err error) bool   { return connect.CodeOf(err) == connect.CodeAlreadyExists }
func Crowded(err error) bool  { return connect.CodeOf(err) == connect.CodeResourceExhausted }

// NotSteered reports whether the process that answered, if any did, is not one
// that takes what was asked: another send, not serve.
func NotSteered(err error) bool {
	code := connect.CodeOf(err)
	return code == connect.CodeFailedPrecondition || code == connect.CodeUnavailable
}

// Mistakes are those that a server found in what it was given; nil when that is
// not why the call failed.
func Mistakes(err error) []*pb.Problem {
	var remote *connect.Error
	if !errors.As(err, &remote) {
		return nil
	}
	for _, d := range remote.Details() {
		if v, err := d.Value(); err == nil {
			if list, ok := v.(*pb.Problems); ok {
				return list.Problems
			}
		}
	}
	return nil
}
