package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/control/penstockv1/penstockv1connect"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// TestWhoDoesNotReadIsCutOff: a listing whose client stops reading ends by
// itself, so that its snapshot goes, and the connection of another call is not
// hurt by the deadline.
func TestWhoDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	led, err := ledger.Open(t.TempDir(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer led.Close()
	loader, err := led.Create(t.Context(), ledger.Meta{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	const people, patience = 5000, 500 * time.Millisecond
	for i := range people {
		if err := loader.Add(ledger.Row{Seq: ledger.Seq(i + 1), Local: fmt.Appendf(nil, "u%d", i), Domain: []byte("a.test")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := loader.Commit(t.Context(), nil, people); err != nil {
		t.Fatal(err)
	}
	pipes := newPipes()
	ended := make(chan struct{}, 1)
	s := Start(Options{Ledger: led, Patience: patience})
	h := s.http.Handler
	s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		ended <- struct{}{}
	})
	s.Answer(pipes)
	defer s.Close(context.Background())
	transport := &http.Transport{DialContext: pipes.dialing}
	defer transport.CloseIdleConnections()
	c := penstockv1connect.NewCampaignServiceClient(&http.Client{Transport: transport}, "http://penstock")
	stream, err := c.ListOutcomes(t.Context(), &pb.ListOutcomesRequest{CampaignId: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if !stream.Receive() {
		t.Fatal(stream.Err())
	}
	select {
	case <-ended: // though nobody reads
	case <-time.After(20 * time.Second):
		t.Fatal("the listing never ends")
	}
	for stream.Receive() {
	}
	if err := errors.Join(stream.Err(), stream.Close()); err == nil {
		t.Error("the client does not see that it was cut off")
	}
	// A deadline that is over by now does not count for the next call.
	for range 2 {
		if stream, err = c.ListOutcomes(t.Context(), &pb.ListOutcomesRequest{CampaignId: "c", Limit: 1}); err != nil {
			t.Fatal(err)
		}
		for stream.Receive() {
		}
		if err := errors.Join(stream.Err(), stream.Close()); err != nil {
			t.Fatal(err)
		}
		<-ended
		<-time.After(2 * patience) // so that the deadline is past
		if _, err := c.GetCampaign(t.Context(), &pb.GetCampaignRequest{CampaignId: "c"}); err != nil {
			t.Errorf("the next call: %v", connect.CodeOf(err))
		}
		<-ended
	}
}
