package control

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/access"
	"github.com/penstock-mail/penstock/engine/address"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/pause"
	"github.com/penstock-mail/penstock/engine/problem"
)

// campaigns implements penstock.v1.CampaignService.
type campaigns struct {
	ledger *ledger.Ledger
	desk   *desk
}

// chunk is how many records go into one message of a stream: few enough that
// the first arrives at once, many enough that framing costs little.
const chunk = 256

func (c *campaigns) find(id string) (*ledger.Campaign, error) {
	campaign, err := c.ledger.Campaign(id)
	if err != nil {
		return nil, c.desk.notYet(id, err)
	}
	return campaign, nil
}

func (c *campaigns) GetReport(ctx context.Context, req *pb.GetReportRequest) (*pb.GetReportResponse, error) {
	campaign, err := c.find(req.CampaignId)
	if err != nil {
		return nil, err
	}
	report, err := campaign.Report(ctx)
	if err != nil {
		return nil, status(err)
	}
	text, err := marshalReport(report)
	if err != nil {
		return nil, status(err)
	}
	return &pb.GetReportResponse{ReportJson: text}, nil
}

func (c *campaigns) GetRecipient(_ context.Context, req *pb.GetRecipientRequest) (*pb.GetRecipientResponse, error) {
	campaign, err := c.find(req.CampaignId)
	if err != nil {
		return nil, err
	}
	local, domain, err := address.Parse(req.Address)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%q %w", req.Address, err))
	}
	found, err := campaign.Lookup(local, domain)
	if errors.Is(err, ledger.ErrNoRecipient) {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("%s is not a recipient of campaign %s; rows that were not loaded are listed by: penstock rejects %s", req.Address, req.CampaignId, req.CampaignId))
	}
	if err != nil {
		return nil, status(err)
	}
	res := &pb.GetRecipientResponse{Recipient: recipient(found.Seq, local, domain, found.State, lastOf(found.Attempts))}
	for i := range found.Attempts {
		res.Attempts = append(res.Attempts, attempt(&found.Attempts[i]))
	}
	return res, nil
}

func (c *campaigns) Export(ctx context.Context, req *pb.ExportRequest, stream *connect.ServerStream[pb.ExportResponse]) error {
	campaign, err := c.find(req.CampaignId)
	if err != nil {
		return err
	}
	names := req.States
	if len(names) == 0 {
		names = ledger.StateNames()
	}
	states := make([]ledger.State, len(names))
	for i, name := range names {
		state, ok := ledger.ParseState(name)
		if !ok {
			return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("state %q is none of %s", name, strings.Join(ledger.StateNames(), ", ")))
		}
		states[i] = state
	}
	var part pb.ExportResponse
	err = campaign.Export(ctx, states, func(row *ledger.ExportRow) error {
		r := &pb.ExportedRecipient{Recipient: recipient(row.Seq, row.Local, row.Domain, row.State, row.Last), Attempts: uint32(row.Attempts)}
		if row.Last != nil {
			r.Last = attempt(row.Last)
		}
		part.Recipients = append(part.Recipients, r)
		if len(part.Recipients) < chunk {
			return nil
		}
		err := stream.Send(&part)
		part.Recipients = part.Recipients[:0]
		return err
	})
	if err == nil && len(part.Recipients) > 0 {
		err = stream.Send(&part)
	}
	return status(err)
}

func (c *campaigns) ListRejects(ctx context.Context, req *pb.ListRejectsRequest, stream *connect.ServerStream[pb.ListRejectsResponse]) error {
	campaign, err := c.find(req.CampaignId)
	if err != nil {
		return err
	}
	var part pb.ListRejectsResponse
	err = campaign.Rejects(ctx, func(r *ledger.Reject) error {
		part.Rejects = append(part.Rejects, &pb.Reject{
			Seq: uint32(r.Seq), File: r.File, Line: uint32(r.Line), Reason: r.Reason, Detail: r.Detail, Address: r.Address,
		})
		if len(part.Rejects) < chunk {
			return nil
		}
		err := stream.Send(&part)
		part.Rejects = part.Rejects[:0]
		return err
	})
	if err == nil && len(part.Rejects) > 0 {
		err = stream.Send(&part)
	}
	return status(err)
}

// status gives an error the gRPC code that a client can act upon.
func status(err error) error {
	var known *connect.Error
	var mistakes problem.List
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, ledger.ErrNoCampaign), errors.Is(err, engine.ErrNoSite):
		return connect.NewError(connect.CodeNotFound, err)
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, err)
	case errors.Is(err, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, fmt.Errorf("it took too long: %w", err))
	case errors.Is(err, access.ErrInvalidToken):
		return connect.NewError(connect.CodeInvalidArgument, err)
	case errors.Is(err, access.ErrTokenExists):
		return connect.NewError(connect.CodeAlreadyExists, err)
	case errors.Is(err, access.ErrNoToken):
		return connect.NewError(connect.CodeNotFound, err)
	case errors.Is(err, access.ErrTooManyTokens):
		return connect.NewError(connect.CodeResourceExhausted, err)
	case errors.Is(err, pause.ErrInvalid), errors.Is(err, engine.ErrInvalidLimits):
		return connect.NewError(connect.CodeInvalidArgument, err)
	case errors.As(err, &mistakes), errors.Is(err, pause.ErrNotHeld), errors.Is(err, ledger.ErrNotEnded),
		errors.Is(err, engine.ErrCancelled), errors.Is(err, engine.ErrFinished), errors.Is(err, engine.ErrBegun),
		errors.Is(err, engine.ErrNotSending):
		return connect.NewError(connect.CodeFailedPrecondition, err)
	case errors.Is(err, ledger.ErrClosed), errors.Is(err, engine.ErrDraining):
		return connect.NewError(connect.CodeUnavailable, err)
	default:
		return connect.NewError(connect.CodeInternal, err)
	}
}
