package control_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/trace"
)

// traced collects what a trace shows until it ends; begun is closed when it has
// begun.
func (s *station) traced(ctx context.Context, req *pb.TraceRequest, begun chan<- struct{}) (lines []*pb.TraceLine, err error) {
	stream, err := s.client.Trace(ctx, req)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	for stream.Receive() {
		if begun != nil {
			close(begun)
			begun = nil
		}
		lines = append(lines, stream.Msg().Lines...)
	}
	return lines, stream.Err()
}

// TestTraceShowsAMessagesDialogue: of one recipient, from MAIL to the answer to its
// end, in order, with the content as far as it was asked for.
func TestTraceShowsAMessagesDialogue(t *testing.T) {
	s := newStation(t)
	s.load("one", 50)
	begun, done := make(chan struct{}), make(chan struct{})
	var lines []*pb.TraceLine
	var err error
	go func() {
		defer close(done)
		lines, err = s.traced(t.Context(), &pb.TraceRequest{Recipients: []string{"U7@a.test"}, CampaignIds: []string{"one"}, Content: 10, Limit: 7}, begun)
	}()
	<-begun
	if _, err := s.client.StartCampaign(t.Context(), &pb.StartCampaignRequest{CampaignId: "one"}); err != nil {
		t.Fatal(err)
	}
	<-done
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, l := range lines {
		if l.Recipient != "u7@a.test" || l.CampaignId != "one" || l.Site == "" || l.Host == "" || l.Connection == 0 || l.Address == "" || l.Source != "default" {
			t.Errorf("line: %v", l)
		}
		said = append(said, l.Kind+" "+l.Command)
	}
	all := strings.Join(said, ", ")
	if len(lines) != 7 || !strings.Contains(all, "client MAIL, client RCPT, client end of message, content end of message, server ") {
		t.Errorf("lines: %s", all)
	}
	for _, l := range lines {
		if l.Kind == "content" && (len(l.Text) != 10 || l.Size <= 10) {
			t.Errorf("content: %d octets of %d", len(l.Text), l.Size)
		}
	}
	s.await("one", "finished")
}

func TestTraceEndsAndRefusesNonsense(t *testing.T) {
	s := newStation(t)
	for _, c := range []struct {
		req   *pb.TraceRequest
		words string
	}{
		{&pb.TraceRequest{Duration: durationpb.New(-time.Second)}, "duration"},
		{&pb.TraceRequest{Duration: durationpb.New(25 * time.Hour)}, "24h"},
		{&pb.TraceRequest{Content: 1 << 20}, "octets of each content"},
	} {
		_, err := s.traced(t.Context(), c.req, nil)
		is(t, err, connect.CodeInvalidArgument, c.words)
	}
	if lines, err := s.traced(t.Context(), &pb.TraceRequest{Duration: durationpb.New(10 * time.Millisecond)}, nil); err != nil || len(lines) != 0 {
		t.Errorf("its time is over: %v, %v", lines, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{}, trace.MaxTracers)
	for range trace.MaxTracers {
		begun := make(chan struct{})
		go func() {
			_, _ = s.traced(ctx, &pb.TraceRequest{}, begun)
			ended <- struct{}{}
		}()
		<-begun
	}
	_, err := s.traced(ctx, &pb.TraceRequest{}, nil)
	is(t, err, connect.CodeResourceExhausted, "at most 16")
	cancel()
	for range trace.MaxTracers {
		<-ended
	}
}

func TestTraceNeedsAProcessThatSends(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		stream, err := c.Trace(t.Context(), &pb.TraceRequest{})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		if stream.Receive() {
			t.Error("something is shown")
		}
		is(t, stream.Err(), connect.CodeFailedPrecondition, "penstock serve")
	})
}
