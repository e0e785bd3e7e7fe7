package control

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine/access"
)

// mostCalls is how many calls that are no streams may run at once, in all.
const mostCalls = 500

// calls is what runs now, so that it is bounded, and can be ended when its
// caller loses his access or the server closes. Any goroutine may use it.
type calls struct {
	streamsInAll, streamsEach int

	mu      sync.Mutex
	running map[*call]struct{} // guarded by mu
	unary   int                // guarded by mu: how many of them
	streams map[string]int     // guarded by mu: the others, by caller
	closing error              // guarded by mu: why nothing new begins
}

type call struct {
	caller access.Caller
	stream bool
	end    context.CancelCauseFunc
}

func newCalls(inAll, each int) *calls {
	return &calls{streamsInAll: inAll, streamsEach: each, running: make(map[*call]struct{}), streams: make(map[string]int)}
}

// begin takes a call in; done must be called. ctx ends with the call's right to
// go on, and context.Cause says why. RESOURCE_EXHAUSTED: there are too many.
func (c *calls) begin(parent context.Context, caller access.Caller, stream bool) (ctx context.Context, done func(), err error) {
	exhausted := func(format string, args ...any) (context.Context, func(), error) {
		return nil, nil, connect.NewError(connect.CodeResourceExhausted, fmt.Errorf(format, args...))
	}
	who := string(caller.Via) + " " + caller.Name
	c.mu.Lock()
	defer c.mu.Unlock()
	inAll := len(c.running) - c.unary
	switch {
	case c.closing != nil:
		return nil, nil, c.closing
	case stream && c.streams[who] >= c.streamsEach:
		return exhausted("%s has %d streams open already: close some, or raise serve.streams_per_client", caller.Name, c.streamsEach)
	case stream && inAll >= c.streamsInAll:
		return exhausted("%d streams are open already: close some, or raise serve.streams", inAll)
	case !stream && c.unary >= mostCalls:
		return exhausted("%d calls run already: try again when some have ended", mostCalls)
	}
	ctx, end := context.WithCancelCause(parent)
	stop := func() {}
	if stream && !caller.Expires.IsZero() {
		ctx, stop = context.WithDeadlineCause(ctx, caller.Expires, connect.NewError(connect.CodeUnauthenticated, access.ErrExpired))
	}
	one := &call{caller: caller, stream: stream, end: end}
	c.running[one] = struct{}{}
	if stream {
		c.streams[who]++
	} else {
		c.unary++
	}
	return ctx, func() {
		stop()
		end(nil)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.running, one)
		if !stream {
			c.unary--
			return
		}
		if c.streams[who]--; c.streams[who] == 0 {
			delete(c.streams, who)
		}
	}, nil
}

// endStreams ends the streams of the callers chosen, who are told why.
func (c *calls) endStreams(why error, chosen func(access.Caller) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for one := range c.running {
		if one.stream && chosen(one.caller) {
			one.end(why)
		}
	}
}

// errClosing is what streams end with when the server closes.
var errClosing = connect.NewError(connect.CodeUnavailable, errors.New("the process is ending; call again when it has started anew"))

// close ends all streams, and lets nothing new begin.
func (c *calls) close() {
	c.mu.Lock()
	c.closing = errClosing
	c.mu.Unlock()
	c.endStreams(errClosing, func(access.Caller) bool { return true })
}

// count is how many run now.
func (c *calls) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.running)
}
