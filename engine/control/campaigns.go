package control

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/access"
	"github.com/penstock-mail/penstock/engine/campaign"
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
	if id == "" {
		return nil, invalid("campaign_id is missing; penstock campaign list shows those that there are")
	}
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
	case errors.Is(err, ledger.ErrNoCampaign):
		return connect.NewError(connect.CodeNotFound, fmt.Errorf("%w; penstock campaign list shows those that there are", err))
	case errors.Is(err, engine.ErrNoSite):
		return connect.NewError(connect.CodeNotFound, fmt.Errorf("%w; penstock site list shows those that there are", err))
	case errors.Is(err, engine.ErrNoSource):
		return connect.NewError(connect.CodeNotFound, fmt.Errorf("%w; penstock source list shows those that there are", err))
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
	case errors.As(err, new(*campaign.Copied)):
		return connect.NewError(connect.CodeAlreadyExists, err)
	case errors.Is(err, engine.ErrBusy):
		return connect.NewError(connect.CodeAborted, err)
	case errors.Is(err, ledger.ErrLowSpace):
		return connect.NewError(connect.CodeResourceExhausted, err)
	case errors.Is(err, engine.ErrCopy), errors.Is(err, ledger.ErrFilter), errors.Is(err, pause.ErrInvalid), errors.Is(err, engine.ErrInvalidLimits):
		return connect.NewError(connect.CodeInvalidArgument, err)
	case errors.As(err, &mistakes), errors.Is(err, pause.ErrNotHeld), errors.Is(err, ledger.ErrNotEnded),
		errors.Is(err, engine.ErrCancelled), errors.Is(err, engine.ErrFinished), errors.Is(err, engine.ErrBegun),
		errors.Is(err, engine.ErrNotYet), errors.Is(err, engine.ErrNobody),
		errors.Is(err, engine.ErrNotSending):
		return connect.NewError(connect.CodeFailedPrecondition, err)
	case errors.Is(err, ledger.ErrClosed), errors.Is(err, engine.ErrDraining):
		return connect.NewError(connect.CodeUnavailable, err)
	default:
		return connect.NewError(connect.CodeInternal, err)
	}
}
