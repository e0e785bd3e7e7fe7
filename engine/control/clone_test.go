package control_test

import (
	"testing"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func TestCampaignIsCopied(t *testing.T) {
	s := newStation(t)
	s.load("c", 50)
	clone := func(from, id string, start bool, states ...string) (*pb.Campaign, error) {
		res, err := s.client.CloneCampaign(t.Context(), &pb.CloneCampaignRequest{CampaignId: from, NewCampaignId: id, States: states, Start: start})
		return res.GetCampaign(), err
	}
	_, err := clone("none", "d", false, "bounced")
	is(t, err, connect.CodeNotFound, `"none"`)
	_, err = clone("c", "d", false, "lost")
	is(t, err, connect.CodeInvalidArgument, `"lost"`)
	_, err = clone("c", "d", false, "pending")
	is(t, err, connect.CodeInvalidArgument, "cancel it")
	_, err = clone("c", "d", false, "uncertain")
	is(t, err, connect.CodeFailedPrecondition, "when it is finished")
	_, err = clone("c", "d", false, "bounced")
	is(t, err, connect.CodeFailedPrecondition, "nobody is bounced")
	if _, err := s.start("c", nil); err != nil {
		t.Fatal(err)
	}
	s.await("c", "finished")
	for _, start := range []bool{false, true, true, false} {
		c, err := clone("c", "d", start, "delivered")
		if err != nil || c.Counts.Loaded != 50 || c.CampaignId != "d" {
			t.Fatalf("%v, %v", c, err)
		}
		if !start && c.State == "sending" && c.Started == nil {
			t.Errorf("it was not to be started: %v", c)
		}
		if start {
			s.await("d", "finished")
		}
	}
	if n := s.arrived.Load(); n != 100 {
		t.Errorf("%d messages arrived, want 100", n)
	}
	_, err = clone("c", "d", false, "bounced", "delivered")
	is(t, err, connect.CodeAlreadyExists, "it has those who were delivered, not delivered, bounced")
	_, err = clone("d", "c", false, "delivered")
	is(t, err, connect.CodeAlreadyExists, "it is no copy")
}

func TestNothingIsCopiedWhereNothingIsSent(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		_, err := c.CloneCampaign(t.Context(), &pb.CloneCampaignRequest{CampaignId: "small", NewCampaignId: "d", States: []string{"delivered"}})
		is(t, err, connect.CodeFailedPrecondition, "start penstock serve")
	})
}
