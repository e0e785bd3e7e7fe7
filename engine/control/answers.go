package control

import (
	"errors"

	"connectrpc.com/connect"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// What a client wants to know of a call's error, without the protocol around it.

// Cause is what a person wants to read: the message. What is asked of the error
// below can be asked of its cause as well.
func Cause(err error) error {
	var remote *connect.Error
	if errors.As(err, &remote) && !errors.As(err, new(message)) { // once is enough: what is around it stays
		return message{remote}
	}
	return err
}

// message is an error without its code before it.
type message struct{ remote *connect.Error }

func (m message) Error() string { return m.remote.Message() }
func (m message) Unwrap() error { return m.remote }

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

// NotFound, Exists, Crowded, Invalid and Unauthenticated report what a server
// said: there is no such thing, there is another one of that name, it has too
// much to do, it was asked for what makes no sense, or by nobody that it knows.
func NotFound(err error) bool { return connect.CodeOf(err) == connect.CodeNotFound }
func Exists(err error) bool   { return connect.CodeOf(err) == connect.CodeAlreadyExists }
func Crowded(err error) bool  { return connect.CodeOf(err) == connect.CodeResourceExhausted }
func Invalid(err error) bool  { return connect.CodeOf(err) == connect.CodeInvalidArgument }

func Unauthenticated(err error) bool { return connect.CodeOf(err) == connect.CodeUnauthenticated }

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
