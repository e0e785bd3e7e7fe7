package control

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/pause"
	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/pool/smtp"
)

// sites implements penstock.v1.SiteService.
type sites struct{ desk *desk }

// Bounds of a list of sites.
const (
	usualSites = 100
	mostSites  = 1000
)

func (s *sites) ListSites(_ context.Context, req *pb.ListSitesRequest) (*pb.ListSitesResponse, error) {
	most := int(req.Limit)
	switch {
	case most == 0:
		most = usualSites
	case most > mostSites:
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("limit is %d, at most %d may be", req.Limit, mostSites))
	}
	e := s.desk.engine
	if e == nil {
		return nil, errNotSending
	}
	res := &pb.ListSitesResponse{}
	for _, p := range e.Progress(most).Sites {
		res.Sites = append(res.Sites, site(e, &p))
	}
	return res, nil
}

func (s *sites) GetSite(_ context.Context, req *pb.GetSiteRequest) (*pb.GetSiteResponse, error) {
	e := s.desk.engine
	if e == nil {
		return nil, errNotSending
	}
	p, hosts, ok := e.Site(req.Site)
	if !ok {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("nothing is being sent to a site %q now; penstock site list shows those that there are", req.Site))
	}
	res := &pb.GetSiteResponse{Site: site(e, &p)}
	for i := range hosts {
		res.Hosts = append(res.Hosts, host(&hosts[i]))
	}
	return res, nil
}

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
	if req.Site == "" {
		return nil, errNoSite
	}
	e := s.desk.engine
	if e == nil {
		return nil, errNotSending
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

func site(e *engine.Engine, p *engine.SiteProgress) *pb.Site {
	s := &pb.Site{
		Site: p.Site, Delivered: p.Sent, Deferred: p.Deferred, Bounced: p.Bounced, Uncertain: p.Uncertain,
		Connections: uint32(p.Connections), ConnectionLimit: uint32(p.ConnectionLimit), MessageRate: p.MessageRate,
		Backoff: p.Backoff, LastReply: p.LastReply, Pauses: pauses(e.Pauses().Holds(pause.Scope{Site: p.Site})),
	}
	if l, ok := e.SiteLimits(p.Site); ok {
		s.Limits = &pb.SiteLimits{Connections: uint32(l.Connections), MessageRate: l.MessageRate, Until: moment(l.Until)}
	}
	return s
}

func host(h *pool.HostSnapshot) *pb.SiteHost {
	p := &pb.SiteHost{
		Host: h.Name, Connections: uint32(h.Connections), Connecting: uint32(h.Connecting), InFlight: uint32(h.InFlight), Resting: h.Resting,
	}
	if h.Gear != smtp.GearAuto {
		p.Gear = h.Gear.String()
	}
	if !h.Last.At.IsZero() {
		p.LastFailure = h.Last.Error()
	}
	return p
}
