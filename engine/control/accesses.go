package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/penstock-mail/penstock/engine/access"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// accesses implements penstock.v1.AccessService.
type accesses struct {
	desk  *desk
	calls *calls
	audit *access.Log
}

// Bounds of a page of changes.
const (
	usualChanges = 100
	mostChanges  = 1000
)

func (a *accesses) WhoAmI(ctx context.Context, _ *pb.WhoAmIRequest) (*pb.WhoAmIResponse, error) {
	c := access.From(ctx)
	return &pb.WhoAmIResponse{Name: c.Name, Role: c.Role.String(), Via: string(c.Via)}, nil
}

func (a *accesses) CreateToken(ctx context.Context, req *pb.CreateTokenRequest) (*pb.CreateTokenResponse, error) {
	role, err := access.ParseRole(req.Role)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if d := req.ValidFor; d != nil && (d.CheckValid() != nil || d.AsDuration() <= 0) {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("valid_for must be a second at least; leave it out for a token without end"))
	}
	tokens, err := a.desk.tokens()
	if err != nil {
		return nil, status(err)
	}
	made, secret, err := tokens.Create(req.Name, role, req.ValidFor.AsDuration(), access.From(ctx).Name, a.desk.now())
	if err != nil {
		return nil, status(err)
	}
	if err := a.desk.ledger.Flush(ctx); err != nil {
		return nil, status(err)
	}
	return &pb.CreateTokenResponse{Token: a.token(&made), Secret: secret}, nil
}

func (a *accesses) ListTokens(context.Context, *pb.ListTokensRequest) (*pb.ListTokensResponse, error) {
	tokens, err := a.desk.tokens()
	if err != nil {
		return nil, status(err)
	}
	res := &pb.ListTokensResponse{}
	for _, t := range tokens.List() {
		res.Tokens = append(res.Tokens, a.token(&t))
	}
	return res, nil
}

func (a *accesses) RevokeToken(ctx context.Context, req *pb.RevokeTokenRequest) (*pb.RevokeTokenResponse, error) {
	tokens, err := a.desk.tokens()
	if err != nil {
		return nil, status(err)
	}
	if err := tokens.Revoke(req.Name); err != nil {
		return nil, status(err)
	}
	a.calls.endStreams(connect.NewError(connect.CodeUnauthenticated, access.ErrUnknown), func(c access.Caller) bool {
		return c.Via == access.ViaToken && c.Name == req.Name
	})
	return &pb.RevokeTokenResponse{}, status(a.desk.ledger.Flush(ctx))
}

func (a *accesses) token(t *access.Token) *pb.Token {
	return &pb.Token{
		Name: t.Name, Role: t.Role.String(), Created: timestamppb.New(t.Created), CreatedBy: t.CreatedBy,
		Expires: moment(t.Expires), Expired: t.Expired(a.desk.now()),
	}
}

func (a *accesses) ListAudit(_ context.Context, req *pb.ListAuditRequest) (*pb.ListAuditResponse, error) {
	q := access.Query{Most: int(req.PageSize), Who: req.Who, Method: req.Method}
	switch {
	case q.Most == 0:
		q.Most = usualChanges
	case q.Most > mostChanges:
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("page_size is %d, at most %d may be", req.PageSize, mostChanges))
	}
	// A token is the number of the last change of the page before.
	if req.PageToken != "" {
		var err error
		if q.Before, err = strconv.ParseUint(req.PageToken, 10, 64); err != nil || q.Before == 0 {
			return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("page_token %q is not one that a page gave", req.PageToken))
		}
	}
	changes, err := a.audit.List(q)
	if err != nil {
		return nil, status(fmt.Errorf("read audit log: %w", err))
	}
	res := &pb.ListAuditResponse{}
	for _, c := range changes {
		e := &pb.AuditEntry{
			Id: c.ID, Time: timestamppb.New(c.At), Who: c.Caller.Name, Role: c.Caller.Role.String(), Via: string(c.Caller.Via),
			Peer: c.Caller.Peer, Method: c.Method, Request: string(c.Request), Result: c.Result, Message: c.Message,
		}
		if c.Result != "" {
			e.Took = durationpb.New(c.Took)
		}
		res.Entries = append(res.Entries, e)
	}
	if len(changes) == q.Most {
		res.NextPageToken = strconv.FormatUint(changes[len(changes)-1].ID, 10)
	}
	return res, nil
}
