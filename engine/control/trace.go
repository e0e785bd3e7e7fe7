package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"connectrpc.com/connect"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/trace"
)

// traces implements penstock.v1.TraceService.
type traces struct{ desk *desk }

// How long a trace lasts.
const (
	usualTrace   = 10 * time.Minute
	longestTrace = 24 * time.Hour
)

// tracePart is the most lines that one message carries.
const tracePart = 256

func (t *traces) Trace(ctx context.Context, req *pb.TraceRequest, stream *connect.ServerStream[pb.TraceResponse]) error {
	e := t.desk.engine
	if e == nil {
		return errNotSending
	}
	last := usualTrace
	if req.Duration != nil {
		last = req.Duration.AsDuration()
	}
	if last <= 0 || last > longestTrace {
		return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("duration is %v, more than 0 and at most %v may be", last, longestTrace))
	}
	tracer, err := e.Trace(trace.Filter{
		Sites: req.Sites, Hosts: req.Hosts, Sources: req.Sources, Campaigns: req.CampaignIds, Recipients: req.Recipients,
		Content: int(req.Content),
	})
	if err != nil {
		return traceStatus(err)
	}
	defer tracer.Close()
	ctx, cancel := context.WithTimeout(ctx, last)
	defer cancel()
	if err := stream.Send(&pb.TraceResponse{}); err != nil {
		return traceStatus(err)
	}
	for left := req.Limit; ; {
		lines, err := tracer.Take(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return nil // its time is over
		case err != nil:
			return traceStatus(err)
		}
		if req.Limit > 0 {
			lines = lines[:min(uint64(len(lines)), left)]
			left -= uint64(len(lines))
		}
		for len(lines) > 0 {
			n := min(len(lines), tracePart)
			res := &pb.TraceResponse{}
			for i := range lines[:n] {
				res.Lines = append(res.Lines, traceLine(&lines[i]))
			}
			if err := stream.Send(res); err != nil {
				return traceStatus(err)
			}
			lines = lines[n:]
		}
		if req.Limit > 0 && left == 0 {
			return nil
		}
	}
}

// traceStatus gives a trace's error its code.
func traceStatus(err error) error {
	switch {
	case errors.Is(err, trace.ErrInvalid):
		return connect.NewError(connect.CodeInvalidArgument, err)
	case errors.Is(err, trace.ErrTooMany):
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%w: at most %d may; end one first", err, trace.MaxTracers))
	case errors.Is(err, trace.ErrSlow), errors.Is(err, os.ErrDeadlineExceeded):
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%w: choose fewer lines", trace.ErrSlow))
	case errors.Is(err, trace.ErrClosed):
		return connect.NewError(connect.CodeUnavailable, err)
	}
	return status(err)
}

func traceLine(l *trace.Line) *pb.TraceLine {
	p := &pb.TraceLine{
		Time: moment(l.At), Connection: l.Connection, Site: l.Site, Host: l.Host, Source: l.Source, Tls: l.TLS,
		Kind: string(l.Kind), Command: l.Command, Text: l.Text, Size: uint64(l.Size), CampaignId: l.Campaign, Recipient: l.Recipient,
		Dropped: l.Dropped,
	}
	if l.Addr.IsValid() {
		p.Address = l.Addr.String()
	}
	return p
}
