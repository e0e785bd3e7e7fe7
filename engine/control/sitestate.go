package control

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/pause"
	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/pool/smtp"
)

// The half of SiteService that shows how sites stand.

// Bounds of a page of sites.
const (
	usualSites = 100
	mostSites  = 1000
)

func (s *sites) ListSites(_ context.Context, req *pb.ListSitesRequest) (*pb.ListSitesResponse, error) {
	e := s.desk.engine
	if e == nil {
		return nil, errNotSending
	}
	query, err := siteQuery(req)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	page, more := e.Sites(query)
	res := &pb.ListSitesResponse{NextPageToken: siteToken(more)}
	for i := range page {
		res.Sites = append(res.Sites, site(e, &page[i]))
	}
	return res, nil
}

// SiteStates are the words that say how a site stands.
func SiteStates() (words []string) {
	for _, c := range engine.SiteConditions() {
		words = append(words, string(c))
	}
	return words
}

// listed is words for a message.
func listed[S ~string](all []S) string {
	words := make([]string, len(all))
	for i, w := range all {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}

// siteQuery is a request in the engine's words; the error lists every mistake.
func siteQuery(req *pb.ListSitesRequest) (q engine.SiteQuery, err error) {
	var errs []error
	q = engine.SiteQuery{Order: engine.SiteOrder(req.Order), Name: req.Name, Most: int(req.Limit)}
	switch {
	case q.Most == 0:
		q.Most = usualSites
	case q.Most > mostSites:
		errs = append(errs, fmt.Errorf("limit is %d, at most %d may be", req.Limit, mostSites))
	}
	if orders := engine.SiteOrders(); q.Order != "" && !slices.Contains(orders, q.Order) {
		errs = append(errs, fmt.Errorf("order %q is none of %s", req.Order, listed(orders)))
	}
	for _, state := range req.States {
		c := engine.SiteCondition(state)
		if all := engine.SiteConditions(); !slices.Contains(all, c) {
			errs = append(errs, fmt.Errorf("state %q is none of %s", state, listed(all)))
		}
		q.Conditions = append(q.Conditions, c)
	}
	if req.PageToken != "" {
		text, err := base64.RawURLEncoding.DecodeString(req.PageToken)
		if err == nil {
			err = json.Unmarshal(text, &q.After)
		}
		if err != nil || q.After.Name == "" {
			errs = append(errs, fmt.Errorf("page_token %q is not one that a page gave", req.PageToken))
		}
	}
	return q, errors.Join(errs...)
}

// siteToken is where the next page begins, as text; empty for none.
func siteToken(p engine.SitePlace) string {
	if p == (engine.SitePlace{}) {
		return ""
	}
	text, err := json.Marshal(p)
	if err != nil {
		return "" // ranks are finite, so it does not happen
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func (s *sites) GetSite(_ context.Context, req *pb.GetSiteRequest) (*pb.GetSiteResponse, error) {
	e, err := s.desk.sender(req.Site)
	if err != nil {
		return nil, err
	}
	state, ok := e.Site(req.Site)
	if !ok {
		return nil, status(fmt.Errorf("site %s: %w", req.Site, engine.ErrNoSite))
	}
	res := &pb.GetSiteResponse{Site: site(e, &state)}
	for i := range state.Hosts {
		res.Hosts = append(res.Hosts, host(&state.Hosts[i]))
	}
	for _, c := range state.Campaigns {
		res.Campaigns = append(res.Campaigns, &pb.SiteBacklog{CampaignId: c.Campaign, Pending: c.Pending, Waiting: c.Waiting, Due: c.Due})
	}
	return res, nil
}

func site(e *engine.Engine, s *engine.SiteState) *pb.Site {
	p := &pb.Site{
		Site: s.Site, Delivered: s.Sent, Deferred: s.Deferred, Bounced: s.Bounced, Uncertain: s.Uncertain,
		Connections: uint32(s.Connections), ConnectionLimit: uint32(s.ConnectionLimit), MessageRate: s.MessageRate,
		Backoff: s.Backoff, LastReply: s.LastReply, Pauses: pauses(e.Pauses().Holds(pause.Scope{Site: s.Site})),
		State: string(s.Condition), Pending: s.Backlog.Pending, Waiting: s.Backlog.Waiting, Due: s.Backlog.Due,
		Connecting: uint32(s.Connecting), InFlight: uint32(s.InFlight), Rate: s.Rate, DeferralShare: s.Deferrals,
	}
	if l, ok := e.SiteLimits(s.Site); ok {
		p.Limits = &pb.SiteLimits{Connections: uint32(l.Connections), MessageRate: l.MessageRate, Until: moment(l.Until)}
	}
	if f, ok := e.Outlook().Sites[s.Site]; ok {
		p.Forecast = forecastOf(&f)
	}
	for _, r := range s.Replies {
		p.Replies = append(p.Replies, &pb.SiteReply{Time: moment(r.At), Code: uint32(r.Code), Text: r.Text})
	}
	for i := range s.Sources {
		p.Sources = append(p.Sources, siteSource(&s.Sources[i]))
	}
	return p
}

func siteSource(s *engine.SiteSource) *pb.SiteSource {
	p := &pb.SiteSource{
		Source: s.Source, Connections: uint32(s.Connections), Rate: s.Rate,
		ConnectionLimit: bound(s.ConnectionLimit), ConnectionRate: bound(s.ConnectionRate),
		MessageRate: bound(s.MessageRate), MessagesPerConnection: bound(s.MessagesPerConnection),
	}
	if s.Backoff != "" {
		p.Backoff = &pb.SiteBackoff{
			Reason: s.Backoff, Since: moment(s.Since), NextTry: moment(s.NextTry),
			Resting: !s.RestsUntil.IsZero(), Probing: s.Probing,
		}
	}
	return p
}

func bound(b engine.Bound) *pb.SiteBound {
	return &pb.SiteBound{Value: b.Value, Origin: b.Origin, Until: moment(b.Until)}
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
