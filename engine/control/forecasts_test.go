package control_test

import (
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// TestForecast: what a campaign waits for and when it will be done is there with
// the campaign, its site, and row by row.
func TestForecast(t *testing.T) {
	s := newStation(t)
	ctx := t.Context()
	s.load("a", 1)
	s.load("c", 2000)
	s.load("d", 100)
	start := func(id string) {
		t.Helper()
		if _, err := s.client.StartCampaign(ctx, &pb.StartCampaignRequest{CampaignId: id}); err != nil {
			t.Fatal(err)
		}
	}
	start("a")
	s.await("a", "finished")
	sites, err := s.client.ListSites(ctx, &pb.ListSitesRequest{})
	if err != nil || len(sites.Sites) != 1 {
		t.Fatalf("sites: %v %v", sites, err)
	}
	name := sites.Sites[0].Site
	if _, err := s.client.SetSiteLimits(ctx, &pb.SetSiteLimitsRequest{Site: name, Limits: &pb.SiteLimits{MessageRate: 50}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.PauseCampaign(ctx, &pb.PauseCampaignRequest{CampaignId: "d"}); err != nil {
		t.Fatal(err)
	}
	start("c")
	start("d")
	held := s.awaitThat("d", "forecast as paused", func(c *pb.Campaign) bool { return len(c.GetForecast().GetWaits()) > 0 }).Forecast
	if held.Held != 100 || held.FirstPass != nil || held.Waits[0].Cause != "paused" || held.Waits[0].Share != 1 {
		t.Errorf("paused: %v", held)
	}
	f := s.awaitThat("c", "behind the rate limit", func(c *pb.Campaign) bool {
		f := c.GetForecast()
		return f != nil && f.FirstPass != nil && len(f.Waits) > 0 && f.Waits[0].Cause == "rate limit" && f.Waits[0].Share > 0.6
	}).Forecast
	if left := time.Until(f.FirstPass.AsTime()).Seconds(); left < float64(f.Pending)/50-3 || left > float64(f.Pending)/50+3 {
		t.Errorf("%d are left at 50/s, and done in %.1f s", f.Pending, left)
	}
	got, err := s.client.GetForecast(ctx, &pb.GetForecastRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got.RowCount != 2 || len(got.Rows) != 2 || got.Rows[0].CampaignId != "d" || got.Rows[1].CampaignId != "c" || got.Rows[1].Site != name {
		t.Errorf("rows: %v", got)
	}
	if got.Total.Pending != got.Rows[0].Forecast.Pending+got.Rows[1].Forecast.Pending || got.Total.Held != 100 {
		t.Errorf("total: %v", got.Total)
	}
	one, err := s.client.GetForecast(ctx, &pb.GetForecastRequest{CampaignId: "c", Site: name, Limit: 1})
	if err != nil || one.RowCount != 1 || one.Total.Held != 0 {
		t.Errorf("one campaign at one site: %v %v", one, err)
	}
	site, err := s.client.GetSite(ctx, &pb.GetSiteRequest{Site: name})
	if err != nil || site.Site.Forecast.GetPending() == 0 {
		t.Errorf("the site: %v %v", site, err)
	}
	_, err = s.client.GetForecast(ctx, &pb.GetForecastRequest{CampaignId: "nobody"})
	is(t, err, connect.CodeNotFound, "nobody")
	_, err = s.client.GetForecast(ctx, &pb.GetForecastRequest{Limit: 1001})
	is(t, err, connect.CodeInvalidArgument, "limit is 1001")
	local := control.Local(s.engine.Ledger())
	defer local.Close()
	_, err = local.GetForecast(ctx, &pb.GetForecastRequest{})
	is(t, err, connect.CodeFailedPrecondition, "penstock serve")
}
