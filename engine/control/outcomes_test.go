package control_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// outcomes is a call that lists the small campaign's.
func outcomes(c *control.Client, req *pb.ListOutcomesRequest) func() error {
	return func() error {
		req.CampaignId = "small"
		_, _, err := listOutcomes(c, req)
		return err
	}
}

// listOutcomes reads a listing to its end.
func listOutcomes(c *control.Client, req *pb.ListOutcomesRequest) (all []*pb.Outcome, cursor string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stream, err := c.ListOutcomes(ctx, req)
	if err != nil {
		return nil, "", err
	}
	for stream.Receive() {
		all = append(all, stream.Msg().Outcomes...)
		cursor = stream.Msg().Cursor
	}
	return all, cursor, errors.Join(stream.Err(), stream.Close())
}

func TestOutcomesAreListedAsChosen(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		all, cursor, err := listOutcomes(c, &pb.ListOutcomesRequest{CampaignId: "big", States: []string{"pending", "suppressed"}})
		if err != nil || len(all) != people || cursor != "" {
			t.Fatalf("%d recipients, cursor %q, %v; want %d", len(all), cursor, err, people)
		}
		for i, r := range all {
			if int(r.Recipient.Seq) != i+1 || r.Recipient.Address != fmt.Sprintf("u%d@a.test", i+1) {
				t.Fatalf("recipient %d: %v", i, r)
			}
		}
		for _, test := range []struct {
			req  *pb.ListOutcomesRequest
			want string
		}{
			{&pb.ListOutcomesRequest{}, "[1 2 3 4]"},
			{&pb.ListOutcomesRequest{States: []string{"delivered", "deferred"}}, "[1 2]"},
			{&pb.ListOutcomesRequest{States: []string{"bounced"}}, "[]"},
			{&pb.ListOutcomesRequest{Domains: []string{"A.test", "b.test"}, Codes: []uint32{4}}, "[2]"},
			{&pb.ListOutcomesRequest{Domains: []string{"b.test"}}, "[]"},
			{&pb.ListOutcomesRequest{Sites: []string{"elsewhere"}}, "[]"},
			{&pb.ListOutcomesRequest{Codes: []uint32{250, 550}}, "[1]"},
			{&pb.ListOutcomesRequest{EnhancedCode: "4.3"}, "[2]"},
			{&pb.ListOutcomesRequest{From: timestamppb.New(noon), States: []string{"delivered", "pending"}}, "[1]"},
			{&pb.ListOutcomesRequest{Until: timestamppb.New(noon), States: []string{"delivered", "pending"}}, "[]"},
		} {
			test.req.CampaignId = "small"
			all, _, err := listOutcomes(c, test.req)
			if err != nil {
				t.Errorf("%v: %v", test.req, err)
			}
			seqs := make([]uint32, len(all))
			for i, o := range all {
				seqs[i] = o.Recipient.Seq
			}
			if got := fmt.Sprint(seqs); got != test.want {
				t.Errorf("%v: %s, want %s", test.req, got, test.want)
			}
			for _, o := range all {
				if o.Recipient.Seq == 2 && (o.Attempts != 1 || o.Last.GetCode() != 451 || o.Recipient.State != "deferred") {
					t.Errorf("%v", o)
				}
			}
		}
	})
}

func TestOutcomesGoOnBehindTheirCursor(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		for _, piece := range []uint64{1, 255, 256, 257, people - 1, people, people + 1} {
			req := &pb.ListOutcomesRequest{CampaignId: "big", Limit: piece}
			if piece == 1 {
				req.Limit, req.Domains = 100, []string{"a.test"}
			}
			n := 0
			for {
				all, cursor, err := listOutcomes(c, req)
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range all {
					if n++; int(o.Recipient.Seq) != n {
						t.Fatalf("in pieces of %d: %v where %d is due", piece, o, n)
					}
				}
				if req.Cursor = cursor; cursor == "" {
					break
				}
			}
			if n != people {
				t.Errorf("in pieces of %d: %d, want %d", piece, n, people)
			}
		}
	})
}

func TestAddressIsFoundInEveryCampaign(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		find := func(req *pb.FindRecipientRequest) *pb.FindRecipientResponse {
			t.Helper()
			res, err := c.FindRecipient(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		res := find(&pb.FindRecipientRequest{Address: "u2@A.test"})
		if len(res.Found) != 2 || res.NextPageToken != "" || res.Found[0].CampaignId != "big" || res.Found[1].CampaignId != "small" {
			t.Fatalf("found %v", res)
		}
		if f := res.Found[1]; f.Recipient.State != "deferred" || len(f.Attempts) != 1 || f.Attempts[0].Code != 451 || f.Created == nil || f.Recipient.Address != "u2@a.test" {
			t.Errorf("small: %v", f)
		}
		first := find(&pb.FindRecipientRequest{Address: "u2@a.test", PageSize: 1})
		second := find(&pb.FindRecipientRequest{Address: "u2@a.test", PageSize: 1, PageToken: first.NextPageToken})
		if len(first.Found) != 1 || first.NextPageToken == "" || len(second.Found) != 1 || second.Found[0].CampaignId != "small" || second.NextPageToken != "" {
			t.Errorf("pages %v, %v", first, second)
		}
		if res := find(&pb.FindRecipientRequest{Address: "nobody@a.test"}); len(res.Found) != 0 {
			t.Errorf("nobody: %v", res)
		}
	})
}

func TestListingOfADeletedCampaignEnds(t *testing.T) {
	s := newStation(t)
	s.load("c", 5)
	if _, err := s.client.CancelCampaign(t.Context(), &pb.CancelCampaignRequest{CampaignId: "c"}); err != nil {
		t.Fatal(err)
	}
	_, cursor, err := listOutcomes(s.client, &pb.ListOutcomesRequest{CampaignId: "c", Limit: 2})
	if err != nil || cursor == "" {
		t.Fatalf("cursor %q, %v", cursor, err)
	}
	if _, err := s.delete("c"); err != nil {
		t.Fatal(err)
	}
	_, _, err = listOutcomes(s.client, &pb.ListOutcomesRequest{CampaignId: "c", Cursor: cursor})
	is(t, err, connect.CodeNotFound, `"c"`)
	s.load("c", 5)
	_, _, err = listOutcomes(s.client, &pb.ListOutcomesRequest{CampaignId: "c", Cursor: cursor})
	is(t, err, connect.CodeInvalidArgument, "one that was deleted")
}
