package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/intake"
)

// created is a campaign of which people.csv is to come.
func created(id string) *pb.CreateCampaignRequest {
	return &pb.CreateCampaignRequest{
		Definition: "id: " + id + "\nfrom: news@sender.test\nsubject: Hello\ntext: body.txt\nrecipients: people.csv\n",
		Files:      []*pb.File{{Name: "body.txt", Content: &pb.File_Text{Text: "Water finds its way.\n"}}},
		Uploads:    []*pb.Upload{{Name: "people.csv"}},
	}
}

func rows(n int) []byte {
	var b bytes.Buffer
	b.WriteString("email\n")
	for i := range n {
		fmt.Fprintf(&b, "u%d@a.test\n", i+1)
	}
	return b.Bytes()
}

// detail is an error's detail of a kind.
func detail[T proto.Message](t *testing.T, err error) (found T) {
	t.Helper()
	var remote *connect.Error
	if !errors.As(err, &remote) {
		t.Fatalf("%v is no answer", err)
	}
	for _, d := range remote.Details() {
		if v, err := d.Value(); err == nil {
			if v, ok := v.(T); ok {
				return v
			}
		}
	}
	t.Fatalf("%v has no %T", err, found)
	return found
}

func TestCampaignIsCreatedUploadedAndSent(t *testing.T) {
	s := newStation(t)
	ctx := t.Context()
	req := created("c")
	req.Start = true
	res, err := s.client.CreateCampaign(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if res.Intake.State != "receiving" || res.Intake.Files[0].Stored != 0 {
		t.Errorf("%v", res.Intake)
	}
	if c := s.campaign("c"); c.State != "receiving" || c.Counts == nil {
		t.Errorf("shown as %v", c)
	}
	_, err = s.client.PauseCampaign(ctx, &pb.PauseCampaignRequest{CampaignId: "c"})
	is(t, err, connect.CodeFailedPrecondition, "is not loaded yet")
	all := rows(2000)
	stream, err := s.client.UploadRecipients(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const chunk = 1000
	for at := 0; at < len(all); at += chunk {
		end := min(at+chunk, len(all))
		if err := stream.Send(&pb.UploadRecipientsRequest{Chunk: &pb.Chunk{
			CampaignId: "c", File: "people.csv", Offset: uint64(at), Data: all[at:end], Last: end == len(all),
		}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseRequest(); err != nil {
		t.Fatal(err)
	}
	var last *pb.UploadRecipientsResponse
	for {
		res, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && res.File.Stored < last.File.Stored {
			t.Errorf("%d acknowledged after %d", res.File.Stored, last.File.Stored)
		}
		last = res
	}
	if last == nil || !last.File.Complete || last.File.Stored != uint64(len(all)) || last.State == "receiving" {
		t.Errorf("at last %v", last)
	}
	_ = stream.CloseResponse()
	for s.campaign("c").State == "loading" {
		time.Sleep(time.Millisecond)
	}
	if c := s.await("c", "finished"); c.Counts.Delivered != 2000 || s.arrived.Load() != 2000 {
		t.Errorf("%v, %d arrived", c, s.arrived.Load())
	}
	got, err := s.client.GetIntake(ctx, &pb.GetIntakeRequest{CampaignId: "c"})
	if err != nil || got.Intake.State != "loaded" || got.Intake.Rows != 2000 {
		t.Errorf("%v, %v", got, err)
	}
	_, err = s.client.DropIntake(ctx, &pb.DropIntakeRequest{CampaignId: "c"})
	is(t, err, connect.CodeFailedPrecondition, "it is loaded")
}

// TestIntakeSaysWhatIsWrong, with a code and something that a program can act on.
func TestIntakeSaysWhatIsWrong(t *testing.T) {
	s := newStation(t)
	ctx := t.Context()
	bad := created("c")
	bad.Definition = "id: c\ncolour: red\n"
	_, err := s.client.CreateCampaign(ctx, bad)
	is(t, err, connect.CodeInvalidArgument, "colour: is not a known key")
	if p := detail[*pb.Problems](t, err).Problems; len(p) < 5 || !slices.ContainsFunc(p, func(p *pb.Problem) bool { return p.Field == "colour" && p.Line == 2 }) {
		t.Errorf("problems: %v", p)
	}
	_, err = s.client.GetIntake(ctx, &pb.GetIntakeRequest{CampaignId: "c"})
	is(t, err, connect.CodeNotFound, "nothing is being received")
	_, err = s.client.DropIntake(ctx, &pb.DropIntakeRequest{CampaignId: "c"})
	is(t, err, connect.CodeNotFound, "nothing is being received")
	huge := created("c")
	huge.Uploads[0].Size = proto.Uint64(1 << 63)
	_, err = s.client.CreateCampaign(ctx, huge)
	is(t, err, connect.CodeInvalidArgument, "out of range")

	if _, err := s.client.CreateCampaign(ctx, created("c")); err != nil {
		t.Fatal(err)
	}
	other := created("c")
	other.Files[0].Content = &pb.File_Data{Data: []byte("Another.")}
	_, err = s.client.CreateCampaign(ctx, other)
	is(t, err, connect.CodeAlreadyExists, "file body.txt changed")
	if d := detail[*pb.Differences](t, err); d.CampaignId != "c" || len(d.Differences) != 1 {
		t.Errorf("differences: %v", d)
	}
	add := func(c *pb.Chunk) error {
		_, err := s.client.AppendRecipients(ctx, &pb.AppendRecipientsRequest{Chunk: c})
		return err
	}
	err = add(&pb.Chunk{CampaignId: "c", File: "people.csv", Offset: 9, Data: []byte("x")})
	is(t, err, connect.CodeOutOfRange, "go on at 0")
	if w := detail[*pb.Wanted](t, err); w.Offset != 0 || w.File != "people.csv" {
		t.Errorf("wanted: %v", w)
	}
	is(t, add(nil), connect.CodeNotFound, "nothing is being received")
	is(t, add(&pb.Chunk{CampaignId: "c", File: "../people.csv"}), connect.CodeNotFound, "no upload")
	is(t, add(&pb.Chunk{CampaignId: "c", File: "people.csv", Offset: 1 << 63, Data: []byte("x")}), connect.CodeOutOfRange, "go on at 0")
	is(t, add(&pb.Chunk{CampaignId: "c", File: "people.csv", Data: make([]byte, intake.MaxChunk+1)}), connect.CodeInvalidArgument, "larger than")
	is(t, add(&pb.Chunk{CampaignId: "c", File: "people.csv", Data: make([]byte, 3*intake.MaxChunk)}), connect.CodeResourceExhausted, "")
	if err := add(&pb.Chunk{CampaignId: "c", File: "people.csv", Data: rows(2)}); err != nil {
		t.Fatal(err)
	}
	is(t, add(&pb.Chunk{CampaignId: "c", File: "people.csv", Data: []byte("x")}), connect.CodeFailedPrecondition, "differs from what is there")

	// A stream that goes wrong has acknowledged what came before.
	stream, err := s.client.UploadRecipients(ctx)
	if err != nil {
		t.Fatal(err)
	}
	at := uint64(len(rows(2)))
	_ = stream.Send(&pb.UploadRecipientsRequest{Chunk: &pb.Chunk{CampaignId: "c", File: "people.csv", Offset: at, Data: []byte("v@a.test\n")}})
	_ = stream.Send(&pb.UploadRecipientsRequest{Chunk: &pb.Chunk{CampaignId: "c", File: "people.csv", Offset: 1000}})
	var stored uint64
	for {
		res, err := stream.Receive()
		if err != nil {
			is(t, err, connect.CodeOutOfRange, "go on at")
			break
		}
		stored = res.File.Stored
	}
	if stored != at+9 {
		t.Errorf("%d acknowledged, want %d", stored, at+9)
	}
	_ = stream.CloseRequest()
	_ = stream.CloseResponse()
	if _, err := s.client.DropIntake(ctx, &pb.DropIntakeRequest{CampaignId: "c"}); err != nil {
		t.Error(err)
	}
	_, err = s.client.GetCampaign(ctx, &pb.GetCampaignRequest{CampaignId: "c"})
	is(t, err, connect.CodeNotFound, "no such campaign")
}

// TestClientThatDies in the middle leaves what was acknowledged, and another goes
// on from there.
func TestClientThatDies(t *testing.T) {
	s := newStation(t)
	if _, err := s.client.CreateCampaign(t.Context(), created("c")); err != nil {
		t.Fatal(err)
	}
	all := rows(500)
	ctx, die := context.WithCancel(t.Context())
	dying := control.Dial(filepath.Join(s.dir, "data"))
	stream, err := dying.UploadRecipients(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.UploadRecipientsRequest{Chunk: &pb.Chunk{CampaignId: "c", File: "people.csv", Data: all[:700]}}); err != nil {
		t.Fatal(err)
	}
	if res, err := stream.Receive(); err != nil || res.File.Stored != 700 {
		t.Fatalf("%v %v", res, err)
	}
	die()
	dying.Close()
	got, err := s.client.GetIntake(t.Context(), &pb.GetIntakeRequest{CampaignId: "c"})
	if err != nil || got.Intake.State != "receiving" || got.Intake.Files[0].Stored != 700 {
		t.Fatalf("%v %v", got, err)
	}
	res, err := s.client.AppendRecipients(t.Context(), &pb.AppendRecipientsRequest{Chunk: &pb.Chunk{
		CampaignId: "c", File: "people.csv", Offset: 700, Data: all[700:], Last: true,
	}})
	if err != nil || !res.File.Complete {
		t.Fatalf("%v %v", res, err)
	}
	for s.campaign("c").State == "loading" {
		time.Sleep(time.Millisecond)
	}
	if c := s.campaign("c"); c.State != "stopped" || c.Counts.Pending != 500 {
		t.Errorf("%v", c)
	}
}

// TestListShowsWhatIsOnItsWay behind what is loaded, page by page.
func TestListShowsWhatIsOnItsWay(t *testing.T) {
	s := newStation(t)
	s.load("l1", 1)
	s.load("l2", 1)
	for i := range 5 {
		if _, err := s.client.CreateCampaign(t.Context(), created(fmt.Sprint("r", i))); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []uint32{1, 2, 3, 4, 6, 7, 100} {
		var got []string
		req := &pb.ListCampaignsRequest{PageSize: size}
		for {
			res, err := s.client.ListCampaigns(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Campaigns) > int(size) {
				t.Errorf("%d on a page of %d", len(res.Campaigns), size)
			}
			for _, c := range res.Campaigns {
				got = append(got, c.CampaignId+" "+c.State)
			}
			if req.PageToken = res.NextPageToken; req.PageToken == "" {
				break
			}
		}
		want := "l1 stopped,l2 stopped,r0 receiving,r1 receiving,r2 receiving,r3 receiving,r4 receiving"
		if strings.Join(got, ",") != want {
			t.Errorf("pages of %d: %v", size, got)
		}
	}
	res, err := s.client.ListCampaigns(t.Context(), &pb.ListCampaignsRequest{States: []string{"broken", "stopped"}})
	if err != nil || len(res.Campaigns) != 2 {
		t.Errorf("%v %v", res, err)
	}
}

// TestNoIntakeWithoutAProcessThatSends says what to start.
func TestNoIntakeWithoutAProcessThatSends(t *testing.T) {
	eachWay(t, func(t *testing.T, c *control.Client) {
		_, err := c.CreateCampaign(t.Context(), created("c"))
		is(t, err, connect.CodeFailedPrecondition, "penstock serve")
		_, err = c.GetIntake(t.Context(), &pb.GetIntakeRequest{CampaignId: "c"})
		is(t, err, connect.CodeFailedPrecondition, "penstock serve")
		stream, err := c.UploadRecipients(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Receive()
		is(t, err, connect.CodeFailedPrecondition, "penstock serve")
	})
}

// TestIntakeSpeaksJSON: curl is enough, also for a campaign in chunks.
func TestIntakeSpeaksJSON(t *testing.T) {
	s := newStation(t)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "data", control.SocketName))
	}}
	defer transport.CloseIdleConnections()
	post := func(method, body string) (int, string) {
		t.Helper()
		res, err := (&http.Client{Transport: transport}).Post("http://penstock/penstock.v1.IntakeService/"+method, "application/json", strings.NewReader(body))
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
	definition := `"id: j\nfrom: news@sender.test\nsubject: Hello\ntext: body.txt\nrecipients: people.csv\n"`
	for _, c := range []struct {
		method, body string
		code         int
		want         string
	}{
		{"CreateCampaign", `{"definition": ` + definition + `, "colour": "red"}`, 400, "colour"},
		{"CreateCampaign", `{"definition": ` + definition + `}`, 400, `"debug":{"problems"`},
		{"CreateCampaign", `{"definition": ` + definition + `, "files": [{"name": "body.txt", "text": "Hello"}], "uploads": [{"name": "people.csv", "size": 25}]}`, 200, `"receiving"`},
		{"AppendRecipients", `{"chunk": {"campaignId": "j", "file": "people.csv", "offset": 3, "data": "ZW1haWwK"}}`, 400, "go on at 0"},
		{"AppendRecipients", `{"chunk": {"campaignId": "j", "file": "people.csv", "data": "ZW1haWwKYW5uQGEudGVzdApib2JAYS50ZXN0Cg==", "last": true}}`, 400, "announced with 25"},
		{"AppendRecipients", `{"chunk": {"campaignId": "j", "file": "people.csv", "data": "ZW1haWwKYW5uQGEudGVzdApib2JAYS4="}}`, 200, `"stored"`},
		{"GetIntake", `{"campaignId": "j"}`, 200, `"stored":"23"`},
		{"UploadRecipients", `{}`, 505, ""},
	} {
		code, text := post(c.method, c.body)
		text = strings.ReplaceAll(text, ": ", ":")
		if code != c.code || !strings.Contains(strings.ReplaceAll(text, " ", ""), strings.ReplaceAll(c.want, " ", "")) {
			t.Errorf("%s %s: %d %s", c.method, c.body, code, text)
		}
	}
}

// TestEndlessCreate is cut off, and so is one of endless files.
func TestEndlessCreate(t *testing.T) {
	s := newStation(t)
	req := created("c")
	req.Files = append(req.Files, &pb.File{Name: "more", Content: &pb.File_Data{Data: make([]byte, 65<<20)}})
	_, err := s.client.CreateCampaign(t.Context(), req)
	is(t, err, connect.CodeResourceExhausted, "")
	if res, err := s.client.ListCampaigns(t.Context(), &pb.ListCampaignsRequest{}); err != nil || len(res.Campaigns) != 0 {
		t.Errorf("%v %v", res, err)
	}
}
