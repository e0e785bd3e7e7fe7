package control_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/penstock-mail/penstock/engine/access"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// TestAnotherGRPC speaks to the server with grpc-go, which shares no code with
// it: calls, streams, errors, reflection and health.
func TestAnotherGRPC(t *testing.T) {
	h := newLobby(t)
	h.station.load("c", people)
	conn, err := grpc.NewClient(strings.TrimPrefix(h.base, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	as := func(role access.Role) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+h.tokens[role])
	}
	call := func(ctx context.Context, method string, req, res any) codes.Code {
		return status.Code(conn.Invoke(ctx, method, req, res))
	}
	var list pb.ListCampaignsResponse
	if code := call(as(access.Read), "/penstock.v1.CampaignService/ListCampaigns", &pb.ListCampaignsRequest{}, &list); code != codes.OK || len(list.Campaigns) != 1 {
		t.Errorf("list: %v %v", code, &list)
	}
	for _, c := range []struct {
		ctx      context.Context
		method   string
		req, res any
		want     codes.Code
	}{
		{t.Context(), "CampaignService/ListCampaigns", &pb.ListCampaignsRequest{}, &list, codes.Unauthenticated},
		{as(access.Read), "CampaignService/PauseCampaign", &pb.PauseCampaignRequest{CampaignId: "c"}, &pb.PauseCampaignResponse{}, codes.PermissionDenied},
		{as(access.Operate), "CampaignService/PauseCampaign", &pb.PauseCampaignRequest{CampaignId: "none"}, &pb.PauseCampaignResponse{}, codes.NotFound},
		{as(access.Operate), "CampaignService/PauseCampaign", &pb.PauseCampaignRequest{CampaignId: "c", Reason: strings.Repeat("a", 1001)}, &pb.PauseCampaignResponse{}, codes.InvalidArgument},
		{as(access.Operate), "CampaignService/PauseCampaign", &pb.PauseCampaignRequest{Reason: strings.Repeat("a", 2<<20)}, &pb.PauseCampaignResponse{}, codes.ResourceExhausted},
		{as(access.Admin), "CampaignService/NoSuchMethod", &pb.ListCampaignsRequest{}, &list, codes.Unimplemented},
		{as(access.Admin), "ServerService/Drain", &pb.DrainRequest{}, &pb.DrainResponse{}, codes.FailedPrecondition},
	} {
		if code := call(c.ctx, "/penstock.v1."+c.method, c.req, c.res); code != c.want {
			t.Errorf("%s: %v, want %v", c.method, code, c.want)
		}
	}
	stream, err := conn.NewStream(as(access.Read), &grpc.StreamDesc{ServerStreams: true}, "/penstock.v1.CampaignService/ListOutcomes")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&pb.ListOutcomesRequest{CampaignId: "c"}); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for {
		var part pb.ListOutcomesResponse
		if err := stream.RecvMsg(&part); err != nil {
			break // its end: the count tells whether all came
		}
		rows += len(part.Outcomes)
	}
	if rows != people {
		t.Errorf("%d of %d recipients", rows, people)
	}

	reflection, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(as(access.Read))
	if err != nil {
		t.Fatal(err)
	}
	ask := &grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{ListServices: "*"}}
	if err := reflection.Send(ask); err != nil {
		t.Fatal(err)
	}
	told, err := reflection.Recv()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, s := range told.GetListServicesResponse().GetService() {
		known[s.Name] = true
	}
	for _, name := range access.Methods() {
		if service, _, _ := strings.Cut(name, "/"); strings.HasPrefix(service, "penstock.v1.") && !known[service] {
			t.Errorf("reflection does not know %s", service)
		}
	}

	health := grpc_health_v1.NewHealthClient(conn)
	check := func(service string) (string, codes.Code) {
		res, err := health.Check(as(access.Read), &grpc_health_v1.HealthCheckRequest{Service: service})
		return res.GetStatus().String(), status.Code(err)
	}
	if got, code := check("penstock.v1.CampaignService"); got != "SERVING" || code != codes.OK {
		t.Errorf("health: %s %v", got, code)
	}
	if _, code := check("penstock.v1.Nothing"); code != codes.NotFound {
		t.Errorf("health of what is not there: %v", code)
	}
	h.station.drained = true
	if err := h.station.engine.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := check(""); got != "NOT_SERVING" {
		t.Errorf("health when it has drained: %s", got)
	}
	if info, err := h.socket.GetInfo(t.Context(), &pb.GetInfoRequest{}); err != nil || info.State != "draining" || info.NotReady == "" {
		t.Errorf("%v %v", info, err)
	}
}
