package control

import (
	"context"
	"time"

	"github.com/penstock-mail/penstock/engine"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/pause"
)

// sites implements penstock.v1.SiteService.
type sites struct{ desk *desk }

func (s *sites) PauseSite(ctx context.Context, req *pb.PauseSiteRequest) (*pb.PauseSiteResponse, error) {
	if req.Site == "" {
		return nil, errNoSite
	}
	scope := pause.Scope{Site: req.Site}
	if err := s.desk.pause(ctx, scope, req.By, req.Reason); err != nil {
		return nil, err
	}
	held, err := s.desk.held(scope)
	return &pb.PauseSiteResponse{Pauses: held}, err
}

func (s *sites) ResumeSite(ctx context.Context, req *pb.ResumeSiteRequest) (*pb.ResumeSiteResponse, error) {
	if req.Site == "" {
		return nil, errNoSite
	}
	scope := pause.Scope{Site: req.Site}
	if err := s.desk.resume(ctx, scope, req.By, req.Force); err != nil {
		return nil, err
	}
	held, err := s.desk.held(scope)
	return &pb.ResumeSiteResponse{Pauses: held}, err
}

func (s *sites) SetSiteLimits(ctx context.Context, req *pb.SetSiteLimitsRequest) (*pb.SetSiteLimitsResponse, error) {
	e, err := s.desk.sender(req.Site)
	if err != nil {
		return nil, err
	}
	limits := engine.SiteLimits{Connections: int(req.Limits.GetConnections()), MessageRate: req.Limits.GetMessageRate()}
	if req.Duration != nil {
		limits.Until = time.Now().Add(req.Duration.AsDuration())
	}
	if err := e.SetSiteLimits(ctx, req.Site, limits); err != nil {
		return nil, status(err)
	}
	return &pb.SetSiteLimitsResponse{}, nil
}

func (s *sites) FlushSite(ctx context.Context, req *pb.FlushSiteRequest) (*pb.FlushSiteResponse, error) {
	e, err := s.desk.sender(req.Site)
	if err != nil {
		return nil, err
	}
	n, err := e.FlushSite(ctx, req.Site, req.CampaignId)
	return &pb.FlushSiteResponse{Recipients: uint64(n)}, status(err)
}

func (s *sites) ForgetSite(ctx context.Context, req *pb.ForgetSiteRequest) (*pb.ForgetSiteResponse, error) {
	e, err := s.desk.sender(req.Site)
	if err != nil {
		return nil, err
	}
	return &pb.ForgetSiteResponse{}, status(e.ForgetSite(ctx, req.Site))
}

// sender is the engine, for what only one can do with a site that is named.
func (d *desk) sender(site string) (*engine.Engine, error) {
	switch {
	case site == "":
		return nil, errNoSite
	case d.engine == nil:
		return nil, errNotSending
	}
	return d.engine, nil
}
