package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	osuser "os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/penstock-mail/penstock/bench/sink"
	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/intake"
)

// station is an engine that is served at its socket, and a server it sends to.
type station struct {
	*testing.T
	dir     string
	engine  *engine.Engine
	client  *control.Client
	served  *control.Server
	arrived atomic.Int64
	drained bool
}

func newStation(t *testing.T) *station {
	t.Helper()
	t.Parallel()
	s := &station{T: t, dir: t.TempDir()}
	server, err := sink.Start(sink.Options{Loops: 1, LocalOnly: true, Accept: func(m *sink.Message) { s.arrived.Add(int64(len(m.To))) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	text := "hostname: sender.test\ndata: data\nledger: {min_free: 0}\nroutes: {\"*\": \"" + server.Addrs()[0] + "\"}\nlimits: {default: {connections: 2}}\n"
	cfg, problems := config.Parse(filepath.Join(s.dir, "penstock.yaml"), []byte(text))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if s.engine, err = engine.Open(cfg, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	l, err := control.Listen(cfg.Data)
	if err != nil {
		t.Fatal(err)
	}
	arrivals, err := intake.Open(s.engine, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.served = control.Start(control.Options{Engine: s.engine, Intake: arrivals})
	s.served.Answer(l)
	s.client = control.Dial(cfg.Data)
	t.Cleanup(func() {
		s.client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.served.Close(ctx)
		arrivals.Close()
		if !s.drained {
			if err := s.engine.Drain(ctx); err != nil {
				t.Error(err)
			}
		}
		if r, err := s.engine.Ledger().Verify(ctx); err != nil || !r.OK() {
			t.Errorf("verify: %v %v", err, r.Problems)
		}
		if err := s.engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *station) write(name, text string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

// load brings a campaign of n recipients at a.test into the ledger.
func (s *station) load(id string, n int) {
	s.Helper()
	var rows strings.Builder
	rows.WriteString("email\n")
	for i := range n {
		fmt.Fprintf(&rows, "u%d@a.test\n", i+1)
	}
	s.write(id+".csv", rows.String())
	s.write("body.txt", "Water finds its way.\n")
	path := s.write(id+".yaml", "id: "+id+"\nfrom: news@sender.test\nsubject: Hello\ntext: body.txt\nrecipients: "+id+".csv\n")
	c, problems := campaign.Read(path)
	if err := problems.Err(); err != nil {
		s.Fatal(err)
	}
	if _, err := s.engine.Load(s.Context(), c, nil, nil); err != nil {
		s.Fatal(err)
	}
}

// campaign is how one stands now.
func (s *station) campaign(id string) *pb.Campaign {
	s.Helper()
	res, err := s.client.GetCampaign(s.Context(), &pb.GetCampaignRequest{CampaignId: id})
	if err != nil {
		s.Fatal(err)
	}
	return res.Campaign
}

// await waits until a campaign stands so.
func (s *station) await(id, state string) *pb.Campaign {
	s.Helper()
	return s.awaitThat(id, state, func(c *pb.Campaign) bool { return c.State == state })
}

// awaitThat waits until something holds of a campaign.
func (s *station) awaitThat(id, what string, holds func(*pb.Campaign) bool) *pb.Campaign {
	s.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); ; {
		if c := s.campaign(id); holds(c) {
			return c
		}
		select {
		case <-tick.C:
		case <-late:
			s.Fatalf("%s is never %s: %v", id, what, s.campaign(id))
		}
	}
}

// is fails unless err has the code and its text the words.
func is(t *testing.T, err error, code connect.Code, words string) {
	t.Helper()
	if connect.CodeOf(err) != code || err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("%v; want %s with %q", err, code, words)
	}
}

func TestCampaignIsPausedStartedResumedAndFinished(t *testing.T) {
	s := newStation(t)
	s.load("c", 50)
	if c := s.campaign("c"); c.State != "stopped" || c.Counts.Loaded != 50 || c.Counts.Pending != 50 || c.Started != nil {
		t.Errorf("loaded: %v", c)
	}
	paused, err := s.client.PauseCampaign(t.Context(), &pb.PauseCampaignRequest{CampaignId: "c", By: "ada", Reason: "typo in the subject"})
	if err != nil {
		t.Fatal(err)
	}
	if c := paused.Campaign; c.State != "paused" || len(c.Pauses) != 1 || c.Pauses[0].By != "ada" || c.Pauses[0].Reason != "typo in the subject" || c.Pauses[0].Since == nil {
		t.Errorf("paused: %v", c)
	}
	if _, err := s.client.PauseAll(t.Context(), &pb.PauseAllRequest{}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // once more is no mistake
		if _, err := s.client.StartCampaign(t.Context(), &pb.StartCampaignRequest{CampaignId: "c"}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = s.client.ResumeCampaign(t.Context(), &pb.ResumeCampaignRequest{CampaignId: "c", By: "bob"})
	is(t, err, connect.CodeFailedPrecondition, "paused by ada")
	if _, err := s.client.ResumeCampaign(t.Context(), &pb.ResumeCampaignRequest{CampaignId: "c", By: "bob", Force: true}); err != nil {
		t.Fatal(err)
	}
	list, err := s.client.ListPauses(t.Context(), &pb.ListPausesRequest{})
	if err != nil || len(list.Pauses) != 1 || list.Pauses[0].By != user(t) || list.Pauses[0].CampaignId != "" {
		t.Errorf("pauses: %v (%v)", list, err)
	}
	if c := s.campaign("c"); c.State != "paused" || s.arrived.Load() != 0 {
		t.Errorf("paused by one of two: %v, %d arrived", c, s.arrived.Load())
	}
	left, err := s.client.ResumeAll(t.Context(), &pb.ResumeAllRequest{})
	if err != nil || len(left.Pauses) != 0 {
		t.Fatalf("%v (%v)", left, err)
	}
	if c := s.await("c", "finished"); c.Counts.Delivered != 50 || c.Started == nil || c.Finished == nil || s.arrived.Load() != 50 {
		t.Errorf("finished: %v, %d arrived", c, s.arrived.Load())
	}
	if _, err := s.client.StartCampaign(t.Context(), &pb.StartCampaignRequest{CampaignId: "c"}); err != nil {
		t.Errorf("a finished campaign is started: %v", err)
	}
	_, err = s.client.CancelCampaign(t.Context(), &pb.CancelCampaignRequest{CampaignId: "c"})
	is(t, err, connect.CodeFailedPrecondition, "finished")
}

func TestCampaignIsCancelled(t *testing.T) {
	s := newStation(t)
	s.load("c", 20)
	if _, err := s.client.PauseCampaign(t.Context(), &pb.PauseCampaignRequest{CampaignId: "c"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.StartCampaign(t.Context(), &pb.StartCampaignRequest{CampaignId: "c"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		res, err := s.client.CancelCampaign(t.Context(), &pb.CancelCampaignRequest{CampaignId: "c"})
		if err != nil || res.Campaign.State != "cancelled" || res.Campaign.Counts.Cancelled != 20 || res.Campaign.Cancelled == nil {
			t.Errorf("cancelled: %v (%v)", res, err)
		}
	}
	_, err := s.client.StartCampaign(t.Context(), &pb.StartCampaignRequest{CampaignId: "c"})
	is(t, err, connect.CodeFailedPrecondition, "cancelled")
	got, err := s.client.GetRecipient(t.Context(), &pb.GetRecipientRequest{CampaignId: "c", Address: "u1@a.test"})
	if err != nil || got.Recipient.State != "cancelled" {
		t.Errorf("recipient: %v (%v)", got, err)
	}
	if n := s.arrived.Load(); n != 0 {
		t.Errorf("%d arrived", n)
	}
}

func TestCampaignsAreListedInPages(t *testing.T) {
	s := newStation(t)
	var want []string
	for i := range 5 {
		id := fmt.Sprintf("c%d", i)
		s.load(id, 1)
		want = append(want, id)
	}
	if _, err := s.client.CancelCampaign(t.Context(), &pb.CancelCampaignRequest{CampaignId: "c2"}); err != nil {
		t.Fatal(err)
	}
	list := func(req *pb.ListCampaignsRequest) (ids []string, pages int) {
		t.Helper()
		for {
			res, err := s.client.ListCampaigns(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, c := range res.Campaigns {
				ids = append(ids, c.CampaignId)
			}
			if req.PageToken = res.NextPageToken; req.PageToken == "" {
				return ids, pages
			}
		}
	}
	if ids, pages := list(&pb.ListCampaignsRequest{PageSize: 2}); !slices.Equal(ids, want) || pages != 3 {
		t.Errorf("%v in %d pages", ids, pages)
	}
	if ids, pages := list(&pb.ListCampaignsRequest{}); !slices.Equal(ids, want) || pages != 1 {
		t.Errorf("%v in %d pages", ids, pages)
	}
	if ids, _ := list(&pb.ListCampaignsRequest{States: []string{"stopped"}, PageSize: 2}); !slices.Equal(ids, []string{"c0", "c1", "c3", "c4"}) {
		t.Errorf("stopped: %v", ids)
	}
	for _, c := range []struct {
		req   *pb.ListCampaignsRequest
		words string
	}{
		{&pb.ListCampaignsRequest{States: []string{"lost"}}, `"lost" is none of stopped`},
		{&pb.ListCampaignsRequest{PageSize: 1001}, "at most 1000"},
		{&pb.ListCampaignsRequest{PageToken: "-1"}, "page_token"},
	} {
		_, err := s.client.ListCampaigns(t.Context(), c.req)
		is(t, err, connect.CodeInvalidArgument, c.words)
	}
}

func TestSiteIsShownPausedAndLimited(t *testing.T) {
	s := newStation(t)
	s.load("one", 10)
	if _, err := s.client.StartCampaign(t.Context(), &pb.StartCampaignRequest{CampaignId: "one"}); err != nil {
		t.Fatal(err)
	}
	s.await("one", "finished")
	list, err := s.client.ListSites(t.Context(), &pb.ListSitesRequest{Limit: 1})
	if err != nil || len(list.Sites) != 1 || list.Sites[0].Delivered != 10 || list.Sites[0].ConnectionLimit != 2 {
		t.Fatalf("%v (%v)", list, err)
	}
	name := list.Sites[0].Site
	if _, err := s.client.PauseSite(t.Context(), &pb.PauseSiteRequest{Site: name, By: "ada"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.SetSiteLimits(t.Context(), &pb.SetSiteLimitsRequest{
		Site: name, Limits: &pb.SiteLimits{Connections: 1, MessageRate: 500}, Duration: durationpb.New(time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	got, err := s.client.GetSite(t.Context(), &pb.GetSiteRequest{Site: name})
	if err != nil {
		t.Fatal(err)
	}
	if from := got.Site.Sources[0]; got.Site.State != "paused" || from.ConnectionLimit.Origin != "set" || from.MessageRate.Origin != "set" ||
		from.MessageRate.Until == nil || from.MessagesPerConnection.Origin != "default" {
		t.Errorf("site: %v", got)
	}
	if l := got.Site.Limits; len(got.Site.Pauses) != 1 || got.Site.ConnectionLimit != 1 || got.Site.MessageRate != 500 || l.GetUntil() == nil || l.Connections != 1 {
		t.Errorf("site: %v", got)
	}
	s.load("two", 10)
	started, err := s.client.StartCampaign(t.Context(), &pb.StartCampaignRequest{CampaignId: "two"})
	if err != nil || started.Campaign.State != "sending" {
		t.Errorf("at a site that is paused: %v (%v)", started, err)
	}
	for late := time.Now().Add(20 * time.Second); len(got.Hosts) == 0 && time.Now().Before(late); {
		// Until it is looked up; nothing is connected while it is paused.
		if got, err = s.client.GetSite(t.Context(), &pb.GetSiteRequest{Site: name}); err != nil {
			t.Fatal(err)
		}
	}
	if len(got.Hosts) != 1 || got.Hosts[0].Host == "" || got.Hosts[0].Resting || got.Hosts[0].InFlight != 0 {
		t.Errorf("hosts: %v", got.Hosts)
	}
	_, err = s.client.ResumeSite(t.Context(), &pb.ResumeSiteRequest{Site: name, By: "bob"})
	is(t, err, connect.CodeFailedPrecondition, "paused by ada")
	if n := s.arrived.Load(); n != 10 {
		t.Errorf("%d arrived, want the 10 from before the pause", n)
	}
	left, err := s.client.ResumeSite(t.Context(), &pb.ResumeSiteRequest{Site: name, By: "ada"})
	if err != nil || len(left.Pauses) != 0 {
		t.Errorf("%v (%v)", left, err)
	}
	s.await("two", "finished")
	if _, err := s.client.SetSiteLimits(t.Context(), &pb.SetSiteLimitsRequest{Site: name}); err != nil {
		t.Fatal(err)
	}
	if got, err = s.client.GetSite(t.Context(), &pb.GetSiteRequest{Site: name}); err != nil || got.Site.Limits != nil || got.Site.ConnectionLimit != 2 || got.Site.MessageRate != 0 {
		t.Errorf("limits taken back: %v (%v)", got, err)
	}
}

func TestSteeringRefusesNonsense(t *testing.T) {
	s := newStation(t)
	s.load("c", 1)
	ctx, c := t.Context(), s.client
	long := strings.Repeat("a", 1001)
	for _, call := range []struct {
		name  string
		code  connect.Code
		words string
		err   func() error
	}{
		{"start", connect.CodeNotFound, "no such campaign", func() error {
			_, err := c.StartCampaign(ctx, &pb.StartCampaignRequest{CampaignId: "missing"})
			return err
		}},
		{"get", connect.CodeNotFound, `campaign "missing": no such campaign; penstock campaign list`, func() error {
			_, err := c.GetCampaign(ctx, &pb.GetCampaignRequest{CampaignId: "missing"})
			return err
		}},
		{"get nothing", connect.CodeInvalidArgument, "campaign_id is missing", func() error { _, err := c.GetCampaign(ctx, &pb.GetCampaignRequest{}); return err }},
		{"pause", connect.CodeNotFound, "no such campaign", func() error {
			_, err := c.PauseCampaign(ctx, &pb.PauseCampaignRequest{CampaignId: "missing"})
			return err
		}},
		{"resume", connect.CodeNotFound, "no such campaign", func() error {
			_, err := c.ResumeCampaign(ctx, &pb.ResumeCampaignRequest{CampaignId: "missing"})
			return err
		}},
		{"cancel", connect.CodeNotFound, "no such campaign", func() error {
			_, err := c.CancelCampaign(ctx, &pb.CancelCampaignRequest{CampaignId: "missing"})
			return err
		}},
		{"resume what is not paused", connect.CodeFailedPrecondition, "nor by anybody else", func() error {
			_, err := c.ResumeCampaign(ctx, &pb.ResumeCampaignRequest{CampaignId: "c", Site: "google"})
			return err
		}},
		{"a long reason", connect.CodeInvalidArgument, "1001 octets", func() error {
			_, err := c.PauseCampaign(ctx, &pb.PauseCampaignRequest{CampaignId: "c", Reason: long})
			return err
		}},
		{"a long name", connect.CodeInvalidArgument, "who pauses", func() error { _, err := c.PauseAll(ctx, &pb.PauseAllRequest{By: long}); return err }},
		{"resume everything", connect.CodeFailedPrecondition, "everything", func() error { _, err := c.ResumeAll(ctx, &pb.ResumeAllRequest{}); return err }},
		{"no site", connect.CodeNotFound, "no-such-site", func() error { _, err := c.GetSite(ctx, &pb.GetSiteRequest{Site: "no-such-site"}); return err }},
		{"pause no site", connect.CodeInvalidArgument, "site is empty", func() error { _, err := c.PauseSite(ctx, &pb.PauseSiteRequest{}); return err }},
		{"resume no site", connect.CodeInvalidArgument, "site is empty", func() error { _, err := c.ResumeSite(ctx, &pb.ResumeSiteRequest{}); return err }},
		{"limit no site", connect.CodeInvalidArgument, "site is empty", func() error { _, err := c.SetSiteLimits(ctx, &pb.SetSiteLimitsRequest{}); return err }},
		{"flush no site", connect.CodeInvalidArgument, "site is empty", func() error { _, err := c.FlushSite(ctx, &pb.FlushSiteRequest{}); return err }},
		{"flush an unknown site", connect.CodeNotFound, "no-such-site", func() error { _, err := c.FlushSite(ctx, &pb.FlushSiteRequest{Site: "no-such-site"}); return err }},
		{"flush what is not sent", connect.CodeFailedPrecondition, "not being sent", func() error {
			_, err := c.FlushSite(ctx, &pb.FlushSiteRequest{Site: "s", CampaignId: "c"})
			return err
		}},
		{"forget an unknown site", connect.CodeNotFound, "no-such-site", func() error { _, err := c.ForgetSite(ctx, &pb.ForgetSiteRequest{Site: "no-such-site"}); return err }},
		{"an unknown order", connect.CodeInvalidArgument, `"size" is none of`, func() error { _, err := c.ListSites(ctx, &pb.ListSitesRequest{Order: "size"}); return err }},
		{"an unknown state", connect.CodeInvalidArgument, `"lost" is none of`, func() error { _, err := c.ListSites(ctx, &pb.ListSitesRequest{States: []string{"lost"}}); return err }},
		{"no token", connect.CodeInvalidArgument, "page_token", func() error { _, err := c.ListSites(ctx, &pb.ListSitesRequest{PageToken: "e30"}); return err }},
		{"too many sites", connect.CodeInvalidArgument, "at most 1000", func() error { _, err := c.ListSites(ctx, &pb.ListSitesRequest{Limit: 1001}); return err }},
		{"too many connections", connect.CodeInvalidArgument, "100000", func() error {
			_, err := c.SetSiteLimits(ctx, &pb.SetSiteLimitsRequest{Site: "s", Limits: &pb.SiteLimits{Connections: math.MaxUint32}})
			return err
		}},
		{"a rate that is none", connect.CodeInvalidArgument, "message rate", func() error {
			_, err := c.SetSiteLimits(ctx, &pb.SetSiteLimitsRequest{Site: "s", Limits: &pb.SiteLimits{MessageRate: math.NaN()}})
			return err
		}},
		{"limits of the past", connect.CodeInvalidArgument, "would have ended", func() error {
			_, err := c.SetSiteLimits(ctx, &pb.SetSiteLimitsRequest{Site: "s", Limits: &pb.SiteLimits{MessageRate: 1}, Duration: durationpb.New(-time.Hour)})
			return err
		}},
	} {
		t.Run(call.name, func(t *testing.T) { is(t, call.err(), call.code, call.words) })
	}
	if list, err := c.ListPauses(ctx, &pb.ListPausesRequest{}); err != nil || len(list.Pauses) != 0 {
		t.Errorf("nonsense is kept: %v (%v)", list, err)
	}
}

// TestWithoutAnEngineChangesAreWrittenDown: where nobody sends, pauses and
// cancellations wait in the ledger, and what needs an engine says so.
func TestWithoutAnEngineChangesAreWrittenDown(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		ctx := t.Context()
		res, err := c.PauseCampaign(ctx, &pb.PauseCampaignRequest{CampaignId: "small", Site: "google", By: "ada"})
		if err != nil || res.Campaign.State != "stopped" || len(res.Campaign.Pauses) != 1 || res.Campaign.Pauses[0].Site != "google" {
			t.Errorf("%v (%v)", res, err)
		}
		if _, err := c.ResumeCampaign(ctx, &pb.ResumeCampaignRequest{CampaignId: "small", Site: "google", By: "ada"}); err != nil {
			t.Error(err)
		}
		if held, err := c.PauseSite(ctx, &pb.PauseSiteRequest{Site: "google"}); err != nil || len(held.Pauses) != 1 {
			t.Errorf("%v (%v)", held, err)
		}
		cancelled, err := c.CancelCampaign(ctx, &pb.CancelCampaignRequest{CampaignId: "small"})
		if err != nil || cancelled.Campaign.Counts.Cancelled != 2 || cancelled.Campaign.Counts.Delivered != 1 || cancelled.Campaign.Counts.Suppressed != 1 {
			t.Errorf("%v (%v)", cancelled, err)
		}
		deferred, err := c.GetRecipient(ctx, &pb.GetRecipientRequest{CampaignId: "small", Address: "u2@a.test"})
		if err != nil || deferred.Recipient.State != "cancelled" || deferred.Recipient.Due != nil {
			t.Errorf("%v (%v)", deferred, err)
		}
		_, err = c.StartCampaign(ctx, &pb.StartCampaignRequest{CampaignId: "big"})
		is(t, err, connect.CodeFailedPrecondition, "penstock serve")
		_, err = c.ListSites(ctx, &pb.ListSitesRequest{})
		is(t, err, connect.CodeFailedPrecondition, "penstock serve")
		_, err = c.GetSite(ctx, &pb.GetSiteRequest{Site: "google"})
		is(t, err, connect.CodeFailedPrecondition, "penstock serve")
		_, err = c.SetSiteLimits(ctx, &pb.SetSiteLimitsRequest{Site: "google"})
		is(t, err, connect.CodeFailedPrecondition, "penstock serve")
	})
}

// user is who these tests are run by, and so who calls over the socket.
func user(t *testing.T) string {
	t.Helper()
	u, err := osuser.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}
