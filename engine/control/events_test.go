package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// received is all that a stream gives until it ends.
func received(t *testing.T, c *control.Client, req *pb.StreamEventsRequest) (list []*pb.Event, cursor string, missing uint64, err error) {
	t.Helper()
	stream, err := c.StreamEvents(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for stream.Receive() {
		m := stream.Msg()
		list, cursor, missing = append(list, m.Events...), m.Cursor, missing+m.Missing
	}
	return list, cursor, missing, stream.Err()
}

func stories(list []*pb.Event) string {
	var all []string
	for _, e := range list {
		all = append(all, e.State+" "+e.CampaignId)
	}
	return strings.Join(all, ", ")
}

func TestEventsOverTheWire(t *testing.T) {
	t.Parallel()
	_, led := stocked(t)
	c := control.Local(led)
	defer c.Close()
	all, cursor, _, err := received(t, c, &pb.StreamEventsRequest{})
	if err != nil || cursor != "607" || len(all) != 607 {
		t.Fatalf("%d events, cursor %s, %v", len(all), cursor, err)
	}
	for i, e := range all {
		if e.Id != uint64(i+1) || e.Time == nil {
			t.Errorf("event %d: %v", i+1, e)
		}
	}
	delivered, deferred := all[605], all[606]
	if a := delivered.GetAttempt(); delivered.Kind != "attempt" || delivered.State != "delivered" || delivered.Recipient.Address != "u1@a.test" ||
		delivered.Recipient.Seq != 1 || delivered.Recipient.Domain != "a.test" || a.GetNumber() != 1 || a.GetHost() != "mx.a.test" || delivered.Recipient.Due != nil {
		t.Errorf("delivered: %v", delivered)
	}
	if deferred.Recipient.Due == nil || deferred.State != "deferred" {
		t.Errorf("deferred: %v", deferred)
	}
	if r := all[4]; r.Kind != "reject" || r.GetReject().GetAddress() != "nobody" || r.CampaignId != "big" {
		t.Errorf("reject: %v", r)
	}
	if l := all[604].GetChange(); l.GetRows() != 1200 || l.GetRejected() != 600 {
		t.Errorf("loaded: %v", all[604])
	}
	for _, r := range []struct {
		req  *pb.StreamEventsRequest
		want string
	}{
		{&pb.StreamEventsRequest{Cursor: "605"}, "delivered small, deferred small"},
		{&pb.StreamEventsRequest{Cursor: "607"}, ""},
		{&pb.StreamEventsRequest{Cursor: "now"}, ""},
		{&pb.StreamEventsRequest{Kinds: []string{"campaign"}, CampaignIds: []string{"small"}}, "created small, loaded small"},
		{&pb.StreamEventsRequest{States: []string{"deferred", "created"}}, "created small, created big, deferred small"},
		{&pb.StreamEventsRequest{Domains: []string{"a.test"}, States: []string{"delivered"}}, "delivered small"},
		{&pb.StreamEventsRequest{Domains: []string{"b.test"}}, ""},
	} {
		got, cursor, _, err := received(t, c, r.req)
		if err != nil || stories(got) != r.want || cursor != "607" {
			t.Errorf("%v: %q, cursor %s, %v", r.req, stories(got), cursor, err)
		}
	}
	for _, r := range []struct {
		req  *pb.StreamEventsRequest
		code connect.Code
		text string
	}{
		{&pb.StreamEventsRequest{Cursor: "608"}, connect.CodeOutOfRange, "another data directory"},
		{&pb.StreamEventsRequest{Cursor: "-1"}, connect.CodeInvalidArgument, "give one that a stream gave"},
		{&pb.StreamEventsRequest{Kinds: []string{"weather"}}, connect.CodeInvalidArgument, "is none of"},
		{&pb.StreamEventsRequest{Sites: make([]string, 101)}, connect.CodeInvalidArgument, "at most 100"},
		{&pb.StreamEventsRequest{Follow: true}, connect.CodeFailedPrecondition, "penstock serve"},
	} {
		if _, _, _, err := received(t, c, r.req); connect.CodeOf(err) != r.code || !strings.Contains(err.Error(), r.text) {
			t.Errorf("%v: %v", r.req, err)
		}
	}
}

func TestTrimmedEventsAreMissed(t *testing.T) {
	t.Parallel()
	now := noon
	led, err := ledger.Open(t.TempDir(), ledger.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer led.Close()
	load(t, led, "old", 1, 0)
	now = now.Add(2 * time.Hour)
	load(t, led, "new", 1, 0)
	if n, err := led.TrimEvents(t.Context(), now.Add(2*time.Hour), time.Hour, 0); err != nil || n != 2 {
		t.Fatalf("trimmed %d, %v", n, err)
	}
	c := control.Local(led)
	defer c.Close()
	_, _, _, err = received(t, c, &pb.StreamEventsRequest{Cursor: "1"})
	var gone *connect.Error
	if !errors.As(err, &gone) || gone.Code() != connect.CodeOutOfRange || len(gone.Details()) != 1 {
		t.Fatalf("read behind 1: %v", err)
	}
	detail, err := gone.Details()[0].Value()
	if m, ok := detail.(*pb.MissingEvents); err != nil || !ok || m.Missing != 1 || m.OldestCursor != "2" {
		t.Errorf("detail %v, %v", detail, err)
	}
	list, _, missing, err := received(t, c, &pb.StreamEventsRequest{Cursor: "0", SkipMissing: true})
	if err != nil || missing != 2 || stories(list) != "created new, loaded new" {
		t.Errorf("skipped: %q, %d missing, %v", stories(list), missing, err)
	}
	// Who asks for what there is misses nothing.
	list, _, missing, err = received(t, c, &pb.StreamEventsRequest{})
	if err != nil || missing != 0 || stories(list) != "created new, loaded new" {
		t.Errorf("all: %q, %d missing, %v", stories(list), missing, err)
	}
}

// follower reads live events on a goroutine of its own.
func follower(ctx context.Context, t *testing.T, c *control.Client, req *pb.StreamEventsRequest) (events <-chan *pb.Event, ended <-chan error) {
	t.Helper()
	req.Follow = true
	stream, err := c.StreamEvents(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	list, end := make(chan *pb.Event, 10_000), make(chan error, 1)
	go func() {
		defer stream.Close()
		for stream.Receive() {
			for _, e := range stream.Msg().Events {
				list <- e
			}
		}
		end <- stream.Err()
	}()
	return list, end
}

func TestEventsComeLive(t *testing.T) {
	s := newStation(t)
	s.load("c", 500)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all []<-chan *pb.Event
	var ends []<-chan error
	for _, req := range []*pb.StreamEventsRequest{{}, {}, {Cursor: "1"}} {
		list, end := follower(ctx, t, s.client, req)
		all, ends = append(all, list), append(ends, end)
	}
	if _, err := s.client.StartCampaign(t.Context(), &pb.StartCampaignRequest{CampaignId: "c"}); err != nil {
		t.Fatal(err)
	}
	for i, list := range all {
		id := uint64(0)
		if i == 2 {
			id = 1
		}
		delivered := 0
		for e := range list {
			if e.Id != id+1 {
				t.Fatalf("reader %d: event %d after %d", i, e.Id, id)
			}
			id = e.Id
			if e.State == "delivered" {
				delivered++
			}
			if e.State == "finished" {
				break
			}
		}
		if delivered != 500 {
			t.Errorf("reader %d: %d delivered", i, delivered)
		}
	}
	cancel()
	for _, end := range ends {
		if err := <-end; connect.CodeOf(err) != connect.CodeCanceled {
			t.Errorf("ended with %v", err)
		}
	}
}

func TestTooManyEventReaders(t *testing.T) {
	s := newStation(t)
	s.load("c", 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ends []<-chan error
	for range 64 {
		list, end := follower(ctx, t, s.client, &pb.StreamEventsRequest{})
		<-list
		ends = append(ends, end)
	}
	_, end := follower(ctx, t, s.client, &pb.StreamEventsRequest{})
	if err := <-end; connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	for _, end := range ends {
		<-end
	}
}

// TestASlowReaderHoldsUpNobody: whoever does not take his events in has none
// kept for him; the others have theirs, and he finds them later.
func TestASlowReaderHoldsUpNobody(t *testing.T) {
	s := newStation(t)
	slow, err := s.client.StreamEvents(t.Context(), &pb.StreamEventsRequest{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	s.load("c", 2000)
	if _, err := s.client.StartCampaign(t.Context(), &pb.StartCampaignRequest{CampaignId: "c"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	list, end := follower(ctx, t, s.client, &pb.StreamEventsRequest{States: []string{"finished"}})
	<-list
	cancel()
	<-end
	var id uint64
	for slow.Receive() {
		for _, e := range slow.Msg().Events {
			if e.Id != id+1 {
				t.Fatalf("event %d after %d", e.Id, id)
			}
			if id = e.Id; e.State == "finished" {
				return
			}
		}
	}
	t.Errorf("the slow reader ended at %d: %v", id, slow.Err())
}

// TestEventsAsJSON: the same to the last field, over HTTP/1.1 as curl has it.
func TestEventsAsJSON(t *testing.T) {
	s := newStation(t)
	s.load("c", 3)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "data", control.SocketName))
	}}
	defer transport.CloseIdleConnections()
	body := `{"kinds":["campaign"]}`
	envelope := append([]byte{0, 0, 0, 0, byte(len(body))}, body...)
	res, err := (&http.Client{Transport: transport}).Post("http://penstock/penstock.v1.EventService/StreamEvents", "application/connect+json", bytes.NewReader(envelope))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || len(text) < 5 {
		t.Fatalf("%q, %v", text, err)
	}
	var m struct {
		Cursor string
		Events []struct {
			ID, State string
			Change    struct{ Rows string }
		}
	}
	size := int(text[3])<<8 | int(text[4])
	if err := json.Unmarshal(text[5:5+size], &m); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	var states []string
	for _, e := range m.Events {
		states = append(states, e.ID+e.State+e.Change.Rows)
	}
	if !slices.Equal(states, []string{"1created3", "2loaded3"}) || m.Cursor != "2" {
		t.Errorf("%+v", m)
	}
}
