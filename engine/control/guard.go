package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-mail/penstock/engine/access"
)

// How long a call that is no stream may run.
const (
	callTime     = time.Minute
	longCallTime = 12 * time.Hour
)

// guard is around every method: it asks once more who may call it, bounds how
// many run and for how long, and writes changes to the audit log. It implements
// connect.Interceptor.
type guard struct {
	calls *calls
	audit *access.Log
	log   *slog.Logger
	now   func() time.Time
}

// WrapUnary implements connect.Interceptor.
func (g *guard) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		caller := access.From(ctx)
		method, err := admit(caller, req.Spec().Procedure)
		if err != nil {
			return nil, err
		}
		ctx, done, err := g.calls.begin(ctx, caller, false)
		if err != nil {
			return nil, err
		}
		defer done()
		most := callTime
		if method.Long {
			most = longCallTime
		}
		ctx, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		if !method.Changes {
			return next(ctx, req)
		}
		end, err := g.begin(caller, req.Spec().Procedure, req.Any())
		if err != nil {
			return nil, err
		}
		res, err := next(ctx, req)
		end(err)
		return res, err
	}
}

// WrapStreamingClient implements connect.Interceptor; the guard is a server's.
func (*guard) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (g *guard) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		caller := access.From(ctx)
		method, err := admit(caller, conn.Spec().Procedure)
		if err != nil {
			return err
		}
		ctx, done, err := g.calls.begin(ctx, caller, true)
		if err != nil {
			return err
		}
		defer done()
		watched := &guarded{StreamingHandlerConn: conn, ctx: ctx}
		if method.Changes {
			watched.begin = func(first any) (func(error), error) { return g.begin(caller, conn.Spec().Procedure, first) }
		}
		err = next(ctx, watched)
		var why *connect.Error
		if err != nil && errors.As(context.Cause(ctx), &why) {
			err = why // and not that its context has ended
		}
		if watched.end != nil {
			watched.end(err)
		}
		return err
	}
}

// begin writes a change to the audit log before it is made; end must be called.
func (g *guard) begin(caller access.Caller, procedure string, message any) (end func(error), err error) {
	began := g.now()
	change := access.Change{At: began, Caller: caller, Method: procedure[1:]}
	if m, ok := message.(proto.Message); ok {
		change.Request = summary(m)
	}
	id, err := g.audit.Begin(change)
	if err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf("nothing was changed, as it cannot be recorded: %w", err))
	}
	return func(err error) {
		result, message := "ok", ""
		if err != nil {
			result, message = connect.CodeOf(err).String(), cut(Cause(err).Error(), 1000)
		}
		if err := g.audit.End(id, g.now(), result, message, g.now().Sub(began)); err != nil {
			g.log.Error("the end of a change is not in the audit log", "id", id, "error", err)
		}
	}, nil
}

// guarded is a stream whose first message begins a change, if it is one, and
// whose next messages come only while its caller may call.
type guarded struct {
	connect.StreamingHandlerConn
	ctx   context.Context
	begin func(first any) (end func(error), err error) // nil: begun, or no change
	end   func(error)
}

// Receive implements connect.StreamingHandlerConn.
func (s *guarded) Receive(into any) error {
	if err := s.StreamingHandlerConn.Receive(into); err != nil {
		return err
	}
	if s.begin == nil {
		return nil
	}
	begin := s.begin
	s.begin = nil
	var err error
	s.end, err = begin(into)
	return err
}

// Send implements connect.StreamingHandlerConn.
func (s *guarded) Send(message any) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return s.StreamingHandlerConn.Send(message)
}
