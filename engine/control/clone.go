package control

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func (c *campaigns) CloneCampaign(ctx context.Context, req *pb.CloneCampaignRequest) (*pb.CloneCampaignResponse, error) {
	states, err := parseStates(req.States)
	if err != nil {
		return nil, err
	}
	e := c.desk.engine
	if e == nil {
		return nil, errNotSending
	}
	if on := c.desk.arriving(req.NewCampaignId); on != nil {
		return nil, connect.NewError(connect.CodeAlreadyExists, fmt.Errorf("campaign %s is there already, and no copy: it is %s", on.CampaignId, on.State))
	}
	made, err := e.Clone(ctx, engine.Copy{From: req.CampaignId, ID: req.NewCampaignId, States: states})
	if err != nil {
		return nil, status(err)
	}
	if t := made.Totals(); req.Start && t.Finished.IsZero() && t.Cancelled.IsZero() {
		if _, err := e.Start(ctx, made); err != nil {
			return nil, status(err)
		}
	}
	shown, err := c.show(made)
	return &pb.CloneCampaignResponse{Campaign: shown}, err
}
