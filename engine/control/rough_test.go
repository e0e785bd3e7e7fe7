package control_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// TestRoughHands: what is no request changes nothing and ends with a code.
func TestRoughHands(t *testing.T) {
	s := newStation(t)
	s.load("c", 1)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "data", control.SocketName))
	}}
	defer transport.CloseIdleConnections()
	for _, c := range []struct {
		name, kind, body string
		want             int
	}{
		{"broken JSON", "application/json", `{"campaignId": "c"`, 400},
		{"an unknown field", "application/json", `{"campaignId": "c", "until": "tomorrow"}`, 400},
		{"an unknown field, in a known alphabet", "application/json; charset=utf-8", `{"campaignId": "c", "sight": "google"}`, 400},
		{"a wrong type", "application/json", `{"campaignId": 7}`, 400},
		{"broken protobuf", "application/proto", "\x0a\xff\xff", 400},
		{"text", "text/plain", "c", 415},
		{"too much", "application/json", `{"reason": "` + strings.Repeat("a", 2<<20) + `"}`, 429},
	} {
		res, err := (&http.Client{Transport: transport}).Post("http://penstock/penstock.v1.CampaignService/PauseCampaign", c.kind, bytes.NewReader([]byte(c.body)))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if res.Body.Close(); res.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", c.name, res.StatusCode, c.want)
		}
	}
	if n := len(s.engine.Pauses().All()); n != 0 {
		t.Errorf("%d pauses came of it", n)
	}
}

// TestManyHandsAtOnce pause, resume and ask while a campaign is sent; when all
// have let go it goes on to its end, everybody once.
func TestManyHandsAtOnce(t *testing.T) {
	s := newStation(t)
	s.load("c", 500)
	if _, err := s.client.StartCampaign(t.Context(), &pb.StartCampaignRequest{CampaignId: "c"}); err != nil {
		t.Fatal(err)
	}
	var hands sync.WaitGroup
	for i := range 8 {
		hands.Go(func() {
			by := fmt.Sprintf("p%d", i)
			for range 5 {
				if _, err := s.client.PauseCampaign(t.Context(), &pb.PauseCampaignRequest{CampaignId: "c", By: by}); err != nil {
					t.Error(err)
				}
				if _, err := s.client.ListCampaigns(t.Context(), &pb.ListCampaignsRequest{}); err != nil {
					t.Error(err)
				}
				if _, err := s.client.ResumeCampaign(t.Context(), &pb.ResumeCampaignRequest{CampaignId: "c", By: by}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	hands.Wait()
	if c := s.await("c", "finished"); c.Counts.Delivered != 500 || s.arrived.Load() != 500 || len(s.engine.Pauses().All()) != 0 {
		t.Errorf("%v, %d arrived", c, s.arrived.Load())
	}
}
