package control_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine/access"
	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// raw sends octets and gives the first line of what comes back; "" when the
// connection was closed instead.
func (h *lobby) raw(text string) string {
	h.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.base, "http://"))
	if err != nil {
		h.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // a TCP connection has deadlines
	_, _ = io.WriteString(conn, text)                      // it may be closed before all is written
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line)
}

// TestRequestsThatAreNone: heads that two servers could read differently, and
// heads without an end, are refused.
func TestRequestsThatAreNone(t *testing.T) {
	h := newLobby(t)
	head := "POST /penstock.v1.ServerService/PauseAll HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer " + h.tokens[access.Read] + "\r\n"
	smuggled := "2\r\n{}\r\n0\r\n\r\nPOST /penstock.v1.ServerService/PauseAll HTTP/1.1\r\n"
	for name, text := range map[string]string{
		"two lengths":                 head + "Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
		"a length that is none":       head + "Content-Length: 2 2\r\n\r\n{}",
		"a length below zero":         head + "Content-Length: -2\r\n\r\n{}",
		"an unknown transfer coding":  head + "Transfer-Encoding: xchunked\r\n\r\n" + smuggled,
		"two transfer codings":        head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + smuggled,
		"a space before the colon":    head + "Content-Length : 2\r\n\r\n{}",
		"a line that is no field":     head + "nonsense\r\n\r\n",
		"a folded field":              head + "X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
		"no host":                     strings.Replace(head, "Host: a\r\n", "", 1) + "Content-Length: 2\r\n\r\n{}",
		"a head too long":             head + "X: " + strings.Repeat("a", 1<<20) + "\r\n\r\n",
		"too many fields":             head + strings.Repeat("X: a\r\n", 1<<18) + "\r\n",
		"an unknown version":          "POST /penstock.v1.ServerService/PauseAll HTTP/3.0\r\nHost: a\r\n\r\n",
		"a preface that is none":      "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
		"a chunk's size that is none": head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
		"CONNECT":                     "CONNECT 127.0.0.1:25 HTTP/1.1\r\nHost: a\r\n\r\n",
		"an upgrade without a token":  "GET /penstock.v1.ServerService/PauseAll HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
	} {
		line := h.raw(text)
		if _, code, _ := strings.Cut(line, " "); line != "" && (len(code) == 0 || code[0] != '4' && code[0] != '5') {
			t.Errorf("%s: %s", name, line)
		}
	}
	if n := len(h.station.engine.Pauses().All()); n != 0 {
		t.Errorf("%d pauses came of it", n)
	}
}

// TestStreamsAreBounded, for one caller and in all, and what a caller is told.
func TestStreamsAreBounded(t *testing.T) {
	s := newStation(t)
	s.load("c", 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := control.Start(control.Options{Engine: s.engine, Streams: 3, StreamsEach: 2})
	server.Answer(l)
	t.Cleanup(func() { server.Close(t.Context()) })
	secret := func(name string) string {
		res, err := s.client.CreateToken(t.Context(), &pb.CreateTokenRequest{Name: name, Role: "read"})
		if err != nil {
			t.Fatal(err)
		}
		return res.Secret
	}
	// An open stream: reflection goes on as long as its client does.
	open := func(token string) (end func(), answer *http.Response) {
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: &protocols}
		body, writer := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+l.Addr().String()+"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc+proto")
		req.Header.Set("Authorization", "Bearer "+token)
		// ServerReflectionRequest.list_services (field 7) = "*".
		go func() { _, _ = writer.Write([]byte{0, 0, 0, 0, 3, 7<<3 | 2, 1, '*'}) }() // ends with the request
		res, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return func() { cancel(); res.Body.Close(); writer.Close(); transport.CloseIdleConnections() }, res
	}
	answers := func(res *http.Response) bool { // it has something to say, and is no error
		_, err := io.ReadFull(res.Body, make([]byte, 5))
		return err == nil
	}
	a, b := secret("a"), secret("b")
	for i, token := range []string{a, a, b} {
		end, res := open(token)
		defer end()
		if !answers(res) {
			t.Fatalf("stream %d: %v %v", i, res.Header, res.Trailer)
		}
	}
	said := func(res *http.Response) string {
		_, _ = io.Copy(io.Discard, res.Body) // the trailer comes behind it
		return fmt.Sprint(res.Header, res.Trailer)
	}
	for token, want := range map[string]string{a: "a has 2 streams open", b: "3 streams are open"} {
		end, res := open(token)
		if got := said(res); !strings.Contains(got, want) || !strings.Contains(got, "Grpc-Status:[8]") {
			t.Errorf("one too many: %s, want %q", got, want)
		}
		end()
	}
	// Calls that are no streams go on.
	c, err := control.DialTarget(control.Target{Address: l.Addr().String(), Token: a})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.WhoAmI(t.Context(), &pb.WhoAmIRequest{}); err != nil {
		t.Error(err)
	}
}

// TestARevokedTokenEndsItsStreams with the reason, and at once.
func TestARevokedTokenEndsItsStreams(t *testing.T) {
	h := newLobby(t)
	body, writer := io.Pipe()
	defer writer.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.base+"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc+proto")
	req.Header.Set("Authorization", "Bearer "+h.tokens[access.Read])
	question := []byte{0, 0, 0, 0, 3, 7<<3 | 2, 1, '*'}
	go func() { _, _ = writer.Write(question) }() // ends with the request
	res, err := h.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.socket.RevokeToken(t.Context(), &pb.RevokeTokenRequest{Name: "t-read"}); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = writer.Write(question) }() // likewise
	_, _ = io.Copy(io.Discard, res.Body)          // the trailer says more
	if got := fmt.Sprint(res.Trailer); !strings.Contains(got, "Grpc-Status:[16]") || !strings.Contains(got, "was revoked") {
		t.Errorf("it ended with %s", got)
	}
	if code, said := h.call("/penstock.v1.SiteService/ListSites", "json", h.tokens[access.Read], nil); code != 401 || !strings.Contains(said, "was revoked") {
		t.Errorf("the next call: %d %s", code, said)
	}
}

// TestWithoutTheAuditLogNothingChanges, and questions are answered.
func TestWithoutTheAuditLogNothingChanges(t *testing.T) {
	s := newStation(t)
	if err := os.Mkdir(filepath.Join(s.dir, "data", access.LogName), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := s.client.PauseAll(t.Context(), &pb.PauseAllRequest{})
	if connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "nothing was changed") || len(s.engine.Pauses().All()) != 0 {
		t.Errorf("pause: %v, %v", err, s.engine.Pauses().All())
	}
	if _, err := s.client.ListPauses(t.Context(), &pb.ListPausesRequest{}); err != nil {
		t.Error(err)
	}
}

// TestTheAuditLogHasWhatWasAskedAndNoSecrets.
func TestTheAuditLogHasWhatWasAskedAndNoSecrets(t *testing.T) {
	s := newStation(t)
	made, err := s.client.CreateToken(t.Context(), &pb.CreateTokenRequest{Name: "ci", Role: "read"})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("ü", 300)
	if _, err := s.client.PauseAll(t.Context(), &pb.PauseAllRequest{By: "ada", Reason: long}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.PauseSite(t.Context(), &pb.PauseSiteRequest{}); err == nil {
		t.Fatal("no site is paused")
	}
	res, err := s.client.ListAudit(t.Context(), &pb.ListAuditRequest{PageSize: 2})
	if err != nil || len(res.Entries) != 2 || res.NextPageToken != "2" {
		t.Fatal(res, err)
	}
	refused, paused := res.Entries[0], res.Entries[1]
	if refused.Method != "penstock.v1.SiteService/PauseSite" || refused.Result != "invalid_argument" || !strings.Contains(refused.Message, "site is empty") || refused.Request != "{}" {
		t.Errorf("%v", refused)
	}
	var asked struct{ By, Reason string }
	if err := json.Unmarshal([]byte(paused.Request), &asked); err != nil || asked.By != "ada" || asked.Reason != strings.Repeat("ü", 100)+"…" {
		t.Errorf("%v %s", err, paused.Request)
	}
	if paused.Result != "ok" || paused.Who != user(t) || paused.Via != "socket" || paused.Took == nil {
		t.Errorf("%v", paused)
	}
	rest, err := s.client.ListAudit(t.Context(), &pb.ListAuditRequest{PageToken: res.NextPageToken, Method: "Token"})
	if err != nil || len(rest.Entries) != 1 || rest.Entries[0].Method != "penstock.v1.AccessService/CreateToken" {
		t.Error(rest, err)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "data", access.LogName))
	if err != nil || strings.Contains(string(text), made.Secret[20:]) {
		t.Errorf("%v; the log holds a secret:\n%s", err, text)
	}
	for _, wrong := range []*pb.ListAuditRequest{{PageSize: 1001}, {PageToken: "x"}, {PageToken: "0"}} {
		if _, err := s.client.ListAudit(t.Context(), wrong); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%v: %v", wrong, err)
		}
	}
}
