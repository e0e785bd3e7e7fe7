package control_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// watch sees a campaign to the end of its watch.
func (s *station) watch(id string, each func(*pb.WatchCampaignResponse)) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stream, err := s.client.WatchCampaign(ctx, &pb.WatchCampaignRequest{CampaignId: id, Interval: durationpb.New(100 * time.Millisecond)})
	if err != nil {
		return err
	}
	for stream.Receive() {
		each(stream.Msg())
	}
	return errors.Join(stream.Err(), stream.Close())
}

func TestCampaignIsWatchedToItsEnd(t *testing.T) {
	s := newStation(t)
	s.load("c", 300)
	if _, err := s.client.PauseCampaign(t.Context(), &pb.PauseCampaignRequest{CampaignId: "c", By: "ada"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.start("c", nil); err != nil {
		t.Fatal(err)
	}
	var seen []*pb.WatchCampaignResponse
	if err := s.watch("c", func(p *pb.WatchCampaignResponse) {
		if seen = append(seen, p); len(seen) != 1 {
			return
		}
		if _, err := s.client.ResumeCampaign(t.Context(), &pb.ResumeCampaignRequest{CampaignId: "c", By: "ada"}); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	first, last := seen[0], seen[len(seen)-1]
	if first.Campaign.State != "paused" || first.Progress != 0 || first.FirstPass != 0 || first.AttemptsPerSecond != 0 || first.Time == nil || len(first.Campaign.Pauses) != 1 {
		t.Errorf("first: %v", first)
	}
	if last.Campaign.State != "finished" || last.Progress != 1 || last.FirstPass != 1 || last.Campaign.Counts.Delivered != 300 || last.Connections != 0 {
		t.Errorf("last: %v", last)
	}
	sum := 0.0
	for i, p := range seen[1:] {
		sum += p.DeliveredPerSecond * p.Time.AsTime().Sub(seen[i].Time.AsTime()).Seconds()
	}
	if sum < 200 || sum > 400 {
		t.Errorf("the rates make %.0f, and 300 were delivered", sum)
	}
	// What has ended is shown once.
	n := 0
	if err := s.watch("c", func(*pb.WatchCampaignResponse) { n++ }); err != nil || n != 1 {
		t.Errorf("%d times, %v", n, err)
	}
}

func TestWatchOfADeletedCampaignEnds(t *testing.T) {
	s := newStation(t)
	err := s.watch("none", nil)
	is(t, err, connect.CodeNotFound, "none")
	s.load("c", 50)
	n, last := 0, ""
	err = s.watch("c", func(seen *pb.WatchCampaignResponse) {
		last = seen.Campaign.State
		if n++; n > 1 {
			return
		}
		if _, err := s.client.CancelCampaign(t.Context(), &pb.CancelCampaignRequest{CampaignId: "c"}); err != nil {
			t.Error(err)
		}
		if _, err := s.delete("c"); err != nil {
			t.Error(err)
		}
	})
	if err == nil && last == "cancelled" {
		return // the end was seen before it was gone
	}
	is(t, err, connect.CodeNotFound, `"c"`)
}

func TestWatchersEndWithTheServer(t *testing.T) {
	s := newStation(t)
	s.load("c", 5)
	begun, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() { ended <- s.watch("c", func(*pb.WatchCampaignResponse) { begun <- struct{}{} }) }()
	<-begun
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s.served.Close(ctx)
	if err := <-ended; connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("%v", err)
	}
}
