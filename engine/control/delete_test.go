package control_test

import (
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/penstock-mail/penstock/engine/campaign"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func (s *station) start(id string, at *timestamppb.Timestamp) (*pb.Campaign, error) {
	res, err := s.client.StartCampaign(s.Context(), &pb.StartCampaignRequest{CampaignId: id, At: at})
	return res.GetCampaign(), err
}

func (s *station) delete(id string) (*pb.Campaign, error) {
	res, err := s.client.DeleteCampaign(s.Context(), &pb.DeleteCampaignRequest{CampaignId: id})
	return res.GetCampaign(), err
}

func TestCampaignIsDeletedWhenItHasEnded(t *testing.T) {
	s := newStation(t)
	s.load("c", 50)
	_, err := s.delete("c")
	is(t, err, connect.CodeFailedPrecondition, "cancel it first, or wait for its last recipient")
	if _, err := s.client.PauseCampaign(t.Context(), &pb.PauseCampaignRequest{CampaignId: "c", Site: "nowhere", By: "ada"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.start("c", nil); err != nil {
		t.Fatal(err)
	}
	s.await("c", "finished")
	if c, err := s.delete("c"); err != nil || c.Counts.Delivered != 50 || c.State != "finished" {
		t.Fatalf("deleted %v, %v", c, err)
	}
	_, err = s.delete("c")
	is(t, err, connect.CodeNotFound, `"c"`)
	if _, err := s.client.GetReport(t.Context(), &pb.GetReportRequest{CampaignId: "c"}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("report: %v", err)
	}
	if res, err := s.client.ListPauses(t.Context(), &pb.ListPausesRequest{}); err != nil || len(res.Pauses) != 0 {
		t.Errorf("pauses left: %v, %v", res, err)
	}
	// The id is free: another campaign bears it and is sent.
	s.load("c", 20)
	if _, err := s.start("c", nil); err != nil {
		t.Fatal(err)
	}
	if c := s.await("c", "finished"); c.Counts.Delivered != 20 {
		t.Errorf("again: %v", c)
	}
	// One that was cancelled before anybody sent it.
	s.load("d", 5)
	if _, err := s.client.CancelCampaign(t.Context(), &pb.CancelCampaignRequest{CampaignId: "d"}); err != nil {
		t.Fatal(err)
	}
	if c, err := s.delete("d"); err != nil || c.Counts.Cancelled != 5 {
		t.Errorf("deleted %v, %v", c, err)
	}
}

func TestCampaignStartsAtATime(t *testing.T) {
	s := newStation(t)
	s.load("c", 50)
	later := timestamppb.New(time.Now().Add(time.Hour).Truncate(time.Second))
	for range 2 {
		c, err := s.start("c", later)
		if err != nil || !c.StartAt.AsTime().Equal(later.AsTime()) || c.Started != nil || c.State != "waiting" || !c.OpensAt.AsTime().Equal(later.AsTime()) {
			t.Fatalf("%v, %v", c, err)
		}
		later = timestamppb.New(later.AsTime().Add(time.Hour))
	}
	// Start without a time leaves it.
	if c, err := s.start("c", nil); err != nil || c.StartAt == nil {
		t.Errorf("%v, %v", c, err)
	}
	_, err := s.start("c", &timestamppb.Timestamp{Nanos: -1})
	is(t, err, connect.CodeInvalidArgument, "at:")
	if n := s.arrived.Load(); n != 0 {
		t.Errorf("%d messages came too early", n)
	}
	// A pause holds it beyond its time; then it can be put off again.
	if _, err := s.client.PauseCampaign(t.Context(), &pb.PauseCampaignRequest{CampaignId: "c"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.start("c", timestamppb.New(time.Now().Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	if c, err := s.start("c", later); err != nil || c.StartAt == nil {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := s.client.ResumeCampaign(t.Context(), &pb.ResumeCampaignRequest{CampaignId: "c"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.start("c", timestamppb.Now()); err != nil {
		t.Fatal(err)
	}
	c := s.await("c", "finished")
	if c.Counts.Delivered != 50 || c.StartAt != nil {
		t.Errorf("%v", c)
	}
	if c, err := s.start("c", later); err != nil || c.State != "finished" {
		t.Errorf("finished: %v, %v", c, err)
	}
	// What has begun cannot be put off, even if nothing of it can flow.
	s.load("d", 50)
	sites, err := s.client.ListSites(t.Context(), &pb.ListSitesRequest{})
	if err != nil || len(sites.Sites) != 1 {
		t.Fatalf("sites %v, %v", sites, err)
	}
	site := sites.Sites[0].Site
	if _, err := s.client.PauseSite(t.Context(), &pb.PauseSiteRequest{Site: site}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.start("d", nil); err != nil {
		t.Fatal(err)
	}
	s.awaitThat("d", "begun", func(c *pb.Campaign) bool { return c.Started != nil })
	_, err = s.start("d", later)
	is(t, err, connect.CodeFailedPrecondition, "pause it and resume it then")
	if _, err := s.client.ResumeSite(t.Context(), &pb.ResumeSiteRequest{Site: site}); err != nil {
		t.Fatal(err)
	}
	s.await("d", "finished")
}

// TestStartTimeOutlastsARestart: it is in the ledger, and the next process waits
// for it, too.
func TestStartTimeOutlastsARestart(t *testing.T) {
	s := newStation(t)
	s.load("c", 5)
	later := time.Now().Add(time.Hour).Truncate(time.Second)
	if _, err := s.start("c", timestamppb.New(later)); err != nil {
		t.Fatal(err)
	}
	c, err := s.engine.Ledger().Campaign("c")
	if err != nil {
		t.Fatal(err)
	}
	meta, err := c.Meta()
	if err != nil {
		t.Fatal(err)
	}
	settings, err := campaign.DecodeSettings(meta.Settings)
	if err != nil || !settings.StartAt.Equal(later) {
		t.Errorf("start_at is %v, want %v (%v)", settings.StartAt, later, err)
	}
	if _, err := s.start("c", timestamppb.New(time.Now())); err != nil {
		t.Fatal(err)
	}
	s.await("c", "finished")
}
