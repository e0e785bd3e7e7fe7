package control_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func TestSocketIsTheOwnersAlone(t *testing.T) {
	t.Parallel()
	dir, _ := served(t)
	info, err := os.Stat(filepath.Join(dir, control.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode(); mode.Perm() != 0o600 || mode&fs.ModeSocket == 0 {
		t.Errorf("mode %v, want a socket with 0600", mode)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// As a process leaves it that was killed.
	first, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, control.SocketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	first.SetUnlinkOnClose(false)
	first.Close()
	second, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	if _, err := control.Listen(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

func TestClientsSideBySide(t *testing.T) {
	t.Parallel()
	dir, first := served(t)
	second := control.Dial(dir)
	defer second.Close()
	var wait sync.WaitGroup
	for _, c := range []*control.Client{first, second} {
		for range 4 {
			wait.Go(func() {
				stream, err := c.ListOutcomes(t.Context(), &pb.ListOutcomesRequest{CampaignId: "big", States: []string{"pending"}})
				if err != nil {
					t.Error(err)
					return
				}
				defer stream.Close()
				n := 0
				for stream.Receive() {
					n += len(stream.Msg().Outcomes)
					if _, err := c.GetReport(t.Context(), &pb.GetReportRequest{CampaignId: "small"}); err != nil {
						t.Error(err)
					}
				}
				if n != people-1 || stream.Err() != nil {
					t.Errorf("%d recipients, error %v", n, stream.Err())
				}
			})
		}
	}
	wait.Wait()
}

func TestStreamThatIsGivenUp(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := c.ListOutcomes(ctx, &pb.ListOutcomesRequest{CampaignId: "big"})
		if err != nil {
			t.Fatal(err)
		}
		if !stream.Receive() {
			t.Fatal(stream.Err())
		}
		cancel()
		for stream.Receive() {
		}
		stream.Close()
		if _, err := c.Verify(t.Context(), &pb.VerifyRequest{}); err != nil {
			t.Errorf("the next call: %v", err)
		}
	})
}

func TestServerClosesInOrder(t *testing.T) {
	t.Parallel()
	dir, led := stocked(t)
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := control.Serve(l, led)
	c := control.Dial(dir)
	defer c.Close()
	if _, err := c.Verify(t.Context(), &pb.VerifyRequest{}); err != nil {
		t.Fatal(err)
	}
	s.Close(t.Context())
	if _, err := os.Stat(filepath.Join(dir, control.SocketName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
	if _, err := c.Verify(t.Context(), &pb.VerifyRequest{}); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("after the end: %v", err)
	}
}

// TestServerDoesNotWaitForEver: a client that stays connected and says nothing
// is cut off when patience ends.
func TestServerDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	dir, led := stocked(t)
	l, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := control.Serve(l, led)
	conn, err := net.Dial("unix", filepath.Join(dir, control.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /penstock.v1.ServerService/Verify HTTP/1.1\r\nHost: penstock\r\nContent-Length: 100\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s.Close(ended)
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the client's connection: %v", err)
	}
}

// TestClosedLedgerIsUnavailable: a client can tell that it should come back.
func TestClosedLedgerIsUnavailable(t *testing.T) {
	t.Parallel()
	led, err := ledger.Open(t.TempDir(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := control.Local(led)
	defer c.Close()
	if err := led.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verify(t.Context(), &pb.VerifyRequest{}); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("verify: %v", err)
	}
	if _, err := c.GetReport(t.Context(), &pb.GetReportRequest{CampaignId: "x"}); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("report: %v", err)
	}
}

func TestLocalClientAfterClose(t *testing.T) {
	t.Parallel()
	_, led := stocked(t)
	c := control.Local(led)
	c.Close()
	c.Close()
	if _, err := c.Verify(t.Context(), &pb.VerifyRequest{}); err == nil {
		t.Error("a closed client answers")
	}
}

// TestSpeaksJSON: whoever has curl needs no client of ours.
func TestSpeaksJSON(t *testing.T) {
	t.Parallel()
	dir, _ := served(t)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, control.SocketName))
	}}
	defer transport.CloseIdleConnections()
	post := func(path, body string) (int, string) {
		t.Helper()
		res, err := (&http.Client{Transport: transport}).Post("http://penstock/penstock.v1."+path, "application/json", strings.NewReader(body))
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
	if code, text := post("CampaignService/GetRecipient", `{"campaignId": "small", "address": "u1@a.test"}`); code != 200 || !strings.Contains(text, `"delivered"`) {
		t.Errorf("%d %s", code, text)
	}
	if code, text := post("CampaignService/GetReport", `{"campaignId": "none"}`); code != 404 || !strings.Contains(text, "not_found") {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := post("CampaignService/GetReport", `{"campaignId": `); code != 400 {
		t.Errorf("broken JSON: %d", code)
	}
	if code, _ := post("CampaignService/Nothing", `{}`); code != 404 {
		t.Errorf("no such call: %d", code)
	}
}
