package control_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// TestMonitorsAsk at the socket and at a TCP address, where nothing else is
// answered.
func TestMonitorsAsk(t *testing.T) {
	s := newStation(t)
	s.load("c", 3)
	if _, err := s.client.StartCampaign(t.Context(), &pb.StartCampaignRequest{CampaignId: "c"}); err != nil {
		t.Fatal(err)
	}
	s.await("c", "finished")
	l, err := control.ListenLoopback("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	watched := control.Observe(l, s.engine)
	defer watched.Close(context.Background())
	var transport http.Transport
	transport.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, "socket") {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "data", control.SocketName))
		}
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	defer transport.CloseIdleConnections()
	get := func(url string) (int, string) {
		t.Helper()
		res, err := (&http.Client{Transport: &transport}).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	for _, host := range []string{"socket", "tcp"} {
		if code, text := get("http://" + host + "/metrics"); code != 200 || !strings.Contains(text, `penstock_outcomes_total{state="delivered"} 3`) {
			t.Errorf("%s: metrics: %d %s", host, code, text)
		}
		if code, text := get("http://" + host + "/healthz"); code != 200 || text != "ok\n" {
			t.Errorf("%s: healthz: %d %q", host, code, text)
		}
		if code, text := get("http://" + host + "/readyz"); code != 200 || text != "ready\n" {
			t.Errorf("%s: readyz: %d %q", host, code, text)
		}
	}
	res, err := (&http.Client{Transport: &transport}).Post("http://tcp/penstock.v1.ServerService/PauseAll", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != 404 || len(s.engine.Pauses().All()) != 0 {
		t.Errorf("a monitor may pause: %d", res.StatusCode)
	}
	drain, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.engine.Drain(drain); err != nil {
		t.Fatal(err)
	}
	s.drained = true
	if code, text := get("http://socket/readyz"); code != 503 || !strings.Contains(text, "being stopped") {
		t.Errorf("drained: readyz: %d %q", code, text)
	}
	if code, _ := get("http://socket/metrics"); code != 200 {
		t.Errorf("drained: metrics: %d", code)
	}
	// Changes are written down still, and nothing is started.
	if _, err := s.client.PauseAll(t.Context(), &pb.PauseAllRequest{}); err != nil {
		t.Error(err)
	}
}

func TestMonitorsAreOfThisMachine(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:9464", "example.org:9464", "127.0.0.1", "[::]:0"} {
		if l, err := control.ListenLoopback(addr); err == nil {
			t.Errorf("%s is listened at: %v", addr, l.Close())
		}
	}
	for _, addr := range []string{"localhost:0", "127.0.0.2:0"} {
		l, err := control.ListenLoopback(addr)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
