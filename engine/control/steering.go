package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/intake"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/pause"
)

// The half of CampaignService that steers campaigns and shows how they stand.

// How a campaign stands.
const (
	stopped   = "stopped"
	sending   = "sending"
	waiting   = "waiting"
	paused    = "paused"
	finished  = "finished"
	cancelled = "cancelled"
)

var campaignStates = []string{
	stopped, sending, waiting, paused, finished, cancelled,
	string(intake.Receiving), string(intake.Loading), string(intake.Broken),
}

// CampaignStates are the words that say how a campaign stands.
func CampaignStates() []string { return slices.Clone(campaignStates) }

// Bounds of a page of campaigns.
const (
	usualPage = 100
	mostPage  = 1000
)

func (c *campaigns) StartCampaign(ctx context.Context, req *pb.StartCampaignRequest) (*pb.StartCampaignResponse, error) {
	campaign, err := c.find(req.CampaignId)
	if err != nil {
		return nil, err
	}
	if t := campaign.Totals(); t.Finished.IsZero() || !t.Cancelled.IsZero() {
		if c.desk.engine == nil {
			return nil, errNotSending
		}
		if req.At == nil {
			_, err = c.desk.engine.Start(ctx, campaign)
		} else if err = req.At.CheckValid(); err != nil {
			return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("at: %w", err))
		} else {
			_, err = c.desk.engine.StartAt(ctx, campaign, req.At.AsTime())
		}
		if err != nil {
			return nil, status(err)
		}
	}
	shown, err := c.show(campaign)
	return &pb.StartCampaignResponse{Campaign: shown}, err
}

func (c *campaigns) GetCampaign(_ context.Context, req *pb.GetCampaignRequest) (*pb.GetCampaignResponse, error) {
	campaign, err := c.find(req.CampaignId)
	if err != nil {
		if on := c.desk.arriving(req.CampaignId); on != nil {
			return &pb.GetCampaignResponse{Campaign: on}, nil
		}
		return nil, err
	}
	shown, err := c.show(campaign)
	return &pb.GetCampaignResponse{Campaign: shown}, err
}

func (c *campaigns) ListCampaigns(ctx context.Context, req *pb.ListCampaignsRequest) (*pb.ListCampaignsResponse, error) {
	for _, s := range req.States {
		if !slices.Contains(campaignStates, s) {
			return nil, invalid("state %q is none of %s", s, strings.Join(campaignStates, ", "))
		}
	}
	most := int(req.PageSize)
	switch {
	case most == 0:
		most = usualPage
	case most > mostPage:
		return nil, invalid("page_size is %d, at most %d may be", req.PageSize, mostPage)
	}
	// A token is the number of the last campaign of the page before.
	var after uint64
	_, _, behind := parseArrivalToken(req.PageToken)
	if req.PageToken != "" && !behind {
		var err error
		if after, err = strconv.ParseUint(req.PageToken, 10, 32); err != nil {
			return nil, invalid("page_token %q is not one that a page gave", req.PageToken)
		}
	}
	res := &pb.ListCampaignsResponse{}
	if behind {
		c.desk.addArriving(res, req.States, most, req.PageToken)
		return res, nil
	}
	all, err := c.ledger.Campaigns()
	if err != nil {
		return nil, status(err)
	}
	var last uint32
	for _, campaign := range all {
		if req.PageToken != "" && uint64(campaign.Number()) <= after {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, status(err)
		}
		shown, err := c.show(campaign)
		if err != nil {
			return nil, err
		}
		if len(req.States) > 0 && !slices.Contains(req.States, shown.State) {
			continue
		}
		if len(res.Campaigns) == most {
			res.NextPageToken = strconv.FormatUint(uint64(last), 10)
			break
		}
		res.Campaigns = append(res.Campaigns, shown)
		last = campaign.Number()
	}
	if res.NextPageToken == "" {
		c.desk.addArriving(res, req.States, most, "")
	}
	return res, nil
}

func (c *campaigns) PauseCampaign(ctx context.Context, req *pb.PauseCampaignRequest) (*pb.PauseCampaignResponse, error) {
	campaign, err := c.find(req.CampaignId)
	if err != nil {
		return nil, err
	}
	scope := pause.Scope{Campaign: campaign.Name(), Site: req.Site}
	if err := c.desk.pause(ctx, scope, req.By, req.Reason); err != nil {
		return nil, err
	}
	shown, err := c.show(campaign)
	return &pb.PauseCampaignResponse{Campaign: shown}, err
}

func (c *campaigns) ResumeCampaign(ctx context.Context, req *pb.ResumeCampaignRequest) (*pb.ResumeCampaignResponse, error) {
	campaign, err := c.find(req.CampaignId)
	if err != nil {
		return nil, err
	}
	scope := pause.Scope{Campaign: campaign.Name(), Site: req.Site}
	if err := c.desk.resume(ctx, scope, req.By, req.Force); err != nil {
		return nil, err
	}
	shown, err := c.show(campaign)
	return &pb.ResumeCampaignResponse{Campaign: shown}, err
}

func (c *campaigns) CancelCampaign(ctx context.Context, req *pb.CancelCampaignRequest) (*pb.CancelCampaignResponse, error) {
	campaign, err := c.find(req.CampaignId)
	if err != nil {
		return nil, err
	}
	if err := c.desk.cancel(ctx, campaign); err != nil {
		return nil, err
	}
	shown, err := c.show(campaign)
	return &pb.CancelCampaignResponse{Campaign: shown}, err
}

func (c *campaigns) DeleteCampaign(ctx context.Context, req *pb.DeleteCampaignRequest) (*pb.DeleteCampaignResponse, error) {
	campaign, err := c.find(req.CampaignId)
	if err != nil {
		return nil, err
	}
	shown, err := c.show(campaign)
	if err != nil {
		return nil, err
	}
	if err := c.desk.delete(ctx, campaign); err != nil {
		return nil, err
	}
	return &pb.DeleteCampaignResponse{Campaign: shown}, nil
}

// show is how a campaign stands.
func (c *campaigns) show(campaign *ledger.Campaign) (*pb.Campaign, error) {
	counts, err := campaign.Counts()
	if err != nil {
		return nil, status(err)
	}
	book, err := c.desk.book()
	if err != nil {
		return nil, status(err)
	}
	t, name := campaign.Totals(), campaign.Name()
	shown := &pb.Campaign{
		CampaignId: name, State: stopped, Rows: t.Rows, Rejected: t.Rejected,
		Counts: &pb.Counts{
			Loaded: t.Loaded, Pending: counts[ledger.Pending], Delivered: counts[ledger.Delivered], Deferred: counts[ledger.Deferred],
			Bounced: counts[ledger.Bounced], Expired: counts[ledger.Expired], Suppressed: counts[ledger.Suppressed],
			Cancelled: counts[ledger.Cancelled], Uncertain: counts[ledger.Uncertain],
		},
		Created: moment(t.Created), Started: moment(t.Started), Finished: moment(t.Finished), Cancelled: moment(t.Cancelled),
	}
	runs := false
	if e := c.desk.engine; e != nil {
		if r := e.Run(name); r != nil && !r.Done() {
			runs = true
			shown.RestingSites = r.Resting()
			if at := r.StartsAt(); at.After(time.Now()) {
				shown.StartAt = moment(at)
			}
			if at, waits := r.Opens(); waits {
				shown.OpensAt = moment(at)
			}
			if f, ok := e.Outlook().Campaigns[name]; ok {
				shown.Forecast = forecastOf(&f)
			}
		}
	}
	switch {
	case !t.Cancelled.IsZero():
		shown.State = cancelled
		return shown, nil
	case !t.Finished.IsZero():
		shown.State = finished
		return shown, nil
	case book.Held(name, ""):
		shown.State = paused
	case shown.OpensAt != nil:
		shown.State = waiting
	case runs:
		shown.State = sending
	}
	all := book.All()
	// What is paused by none of its own is so because every source is.
	bySources := shown.State == paused && !slices.ContainsFunc(all, func(h pause.Hold) bool {
		return h.Scope == pause.Scope{} || h.Scope == pause.Scope{Campaign: name}
	})
	shown.Pauses = pauses(slices.DeleteFunc(all, func(h pause.Hold) bool {
		return h.Scope != pause.Scope{} && h.Scope.Campaign != name && !(bySources && h.Scope.Source != "")
	}))
	return shown, nil
}

// moment is absent for a time that has not come.
func moment(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// PauseAll, ResumeAll and ListPauses are ServerService's.

func (s *server) PauseAll(ctx context.Context, req *pb.PauseAllRequest) (*pb.PauseAllResponse, error) {
	if err := s.desk.pause(ctx, pause.Scope{}, req.By, req.Reason); err != nil {
		return nil, err
	}
	held, err := s.desk.held(pause.Scope{})
	return &pb.PauseAllResponse{Pauses: held}, err
}

func (s *server) ResumeAll(ctx context.Context, req *pb.ResumeAllRequest) (*pb.ResumeAllResponse, error) {
	if err := s.desk.resume(ctx, pause.Scope{}, req.By, req.Force); err != nil {
		return nil, err
	}
	held, err := s.desk.held(pause.Scope{})
	return &pb.ResumeAllResponse{Pauses: held}, err
}

func (s *server) ListPauses(context.Context, *pb.ListPausesRequest) (*pb.ListPausesResponse, error) {
	b, err := s.desk.book()
	if err != nil {
		return nil, status(err)
	}
	return &pb.ListPausesResponse{Pauses: pauses(b.All())}, nil
}

// errNoSite is a request that names none.
var errNoSite = connect.NewError(connect.CodeInvalidArgument, errors.New("site is empty; PauseAll and ResumeAll are for everything"))
