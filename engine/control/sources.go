package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/pause"
)

// sources implements penstock.v1.SourceService.
type sources struct{ desk *desk }

var errNoSource = connect.NewError(connect.CodeInvalidArgument, errors.New("source is empty; PauseAll and ResumeAll are for everything"))

func (s *sources) ListSources(context.Context, *pb.ListSourcesRequest) (*pb.ListSourcesResponse, error) {
	e := s.desk.engine
	if e == nil {
		return nil, errNotSending
	}
	res := &pb.ListSourcesResponse{}
	all := e.Sources(0)
	for i := range all {
		res.Sources = append(res.Sources, source(&all[i]))
	}
	return res, nil
}

func (s *sources) GetSource(_ context.Context, req *pb.GetSourceRequest) (*pb.GetSourceResponse, error) {
	e, err := s.sender(req.Source)
	if err != nil {
		return nil, err
	}
	most := int(req.Limit)
	switch {
	case most == 0:
		most = usualSites
	case most > mostSites:
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("limit is %d, at most %d may be", req.Limit, mostSites))
	}
	for _, state := range e.Sources(most) {
		if state.Name != req.Source {
			continue
		}
		res := &pb.GetSourceResponse{Source: source(&state)}
		for i := range state.Sites {
			at := &state.Sites[i]
			res.Sites = append(res.Sites, &pb.SourceAtSite{Site: at.Site, State: siteSource(&at.SiteSource)})
		}
		return res, nil
	}
	return nil, status(fmt.Errorf("source %s: %w", req.Source, engine.ErrNoSource))
}

func (s *sources) PauseSource(ctx context.Context, req *pb.PauseSourceRequest) (*pb.PauseSourceResponse, error) {
	if req.Source == "" {
		return nil, errNoSource
	}
	scope := pause.Scope{Source: req.Source}
	if err := s.desk.pause(ctx, scope, req.By, req.Reason); err != nil {
		return nil, err
	}
	held, err := s.desk.held(scope)
	return &pb.PauseSourceResponse{Pauses: held}, err
}

func (s *sources) ResumeSource(ctx context.Context, req *pb.ResumeSourceRequest) (*pb.ResumeSourceResponse, error) {
	if req.Source == "" {
		return nil, errNoSource
	}
	scope := pause.Scope{Source: req.Source}
	if err := s.desk.resume(ctx, scope, req.By, req.Force); err != nil {
		return nil, err
	}
	held, err := s.desk.held(scope)
	return &pb.ResumeSourceResponse{Pauses: held}, err
}

func (s *sources) SetSourceLimits(ctx context.Context, req *pb.SetSourceLimitsRequest) (*pb.SetSourceLimitsResponse, error) {
	e, err := s.sender(req.Source)
	if err != nil {
		return nil, err
	}
	limits := engine.SiteLimits{Connections: int(req.Limits.GetConnections()), MessageRate: req.Limits.GetMessageRate()}
	if req.Duration != nil {
		limits.Until = time.Now().Add(req.Duration.AsDuration())
	}
	return &pb.SetSourceLimitsResponse{}, status(e.SetSourceLimits(ctx, req.Source, limits))
}

func (s *sources) FlushSource(_ context.Context, req *pb.FlushSourceRequest) (*pb.FlushSourceResponse, error) {
	e, err := s.sender(req.Source)
	if err != nil {
		return nil, err
	}
	return &pb.FlushSourceResponse{}, status(e.FlushSource(req.Source))
}

func (s *sources) ForgetSource(ctx context.Context, req *pb.ForgetSourceRequest) (*pb.ForgetSourceResponse, error) {
	e, err := s.sender(req.Source)
	if err != nil {
		return nil, err
	}
	if err := e.ForgetSource(req.Source); err != nil {
		return nil, status(err)
	}
	return &pb.ForgetSourceResponse{}, status(s.desk.ledger.Flush(ctx))
}

// sender is the engine, for what only one can do with a source that is named.
func (s *sources) sender(name string) (*engine.Engine, error) {
	switch {
	case name == "":
		return nil, errNoSource
	case s.desk.engine == nil:
		return nil, errNotSending
	}
	return s.desk.engine, nil
}

func source(s *engine.SourceState) *pb.Source {
	p := &pb.Source{
		Source: s.Name, Hello: s.EHLO, Connections: uint32(s.Connections), Reserved: uint32(s.Reserved), InFlight: uint32(s.InFlight),
		Rate: s.Rate, Sites: uint32(s.AtSites), BackingOff: uint32(s.BackingOff), Pauses: pauses(s.Paused),
	}
	if s.IP.IsValid() {
		p.Address = s.IP.String()
	}
	if l := s.Limits; l != (engine.SiteLimits{}) {
		p.Limits = &pb.SourceLimits{Connections: uint32(l.Connections), MessageRate: l.MessageRate, Until: moment(l.Until)}
	}
	return p
}
