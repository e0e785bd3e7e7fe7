package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine/address"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// The part of CampaignService that tells of one address.

// Bounds of a page of campaigns that an address is in.
const (
	usualFound = 20
	mostFound  = 100
)

func (c *campaigns) GetRecipient(_ context.Context, req *pb.GetRecipientRequest) (*pb.GetRecipientResponse, error) {
	campaign, err := c.find(req.CampaignId)
	if err != nil {
		return nil, err
	}
	local, domain, err := parse(req.Address)
	if err != nil {
		return nil, err
	}
	found, err := campaign.Lookup(local, domain)
	if errors.Is(err, ledger.ErrNoRecipient) {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("%s is not a recipient of campaign %s; rows that were not loaded are listed by: penstock rejects %s", req.Address, req.CampaignId, req.CampaignId))
	}
	if err != nil {
		return nil, status(err)
	}
	res := &pb.GetRecipientResponse{Recipient: recipient(found.Seq, local, domain, found.State, lastOf(found.Attempts))}
	for i := range found.Attempts {
		res.Attempts = append(res.Attempts, attempt(&found.Attempts[i]))
	}
	return res, nil
}

func (c *campaigns) FindRecipient(ctx context.Context, req *pb.FindRecipientRequest) (*pb.FindRecipientResponse, error) {
	local, domain, err := parse(req.Address)
	if err != nil {
		return nil, err
	}
	most := int(req.PageSize)
	switch {
	case most == 0:
		most = usualFound
	case most > mostFound:
		return nil, invalid("page_size is %d, at most %d may be", req.PageSize, mostFound)
	}
	// A token is the number of the last campaign of the page before.
	var before uint64
	if req.PageToken != "" {
		if before, err = strconv.ParseUint(req.PageToken, 10, 32); err != nil || before == 0 {
			return nil, invalid("page_token %q is not one that a page gave", req.PageToken)
		}
	}
	res := &pb.FindRecipientResponse{}
	var last uint32
	err = c.ledger.Find(ctx, local, domain, uint32(before), func(in *ledger.Campaign, r *ledger.Record) error {
		if len(res.Found) == most {
			res.NextPageToken = strconv.FormatUint(uint64(last), 10)
			return ledger.ErrStop
		}
		last = in.Number()
		found := &pb.FoundRecipient{
			CampaignId: in.Name(), Created: moment(in.Totals().Created),
			Recipient: recipient(r.Seq, local, domain, r.State, lastOf(r.Attempts)),
		}
		for i := range r.Attempts {
			found.Attempts = append(found.Attempts, attempt(&r.Attempts[i]))
		}
		res.Found = append(res.Found, found)
		return nil
	})
	if err != nil {
		return nil, status(err)
	}
	return res, nil
}

// parse takes an address of a request apart.
func parse(text string) (local, domain string, err error) {
	local, domain, err = address.Parse(text)
	if err != nil {
		return "", "", invalid("%q %w", text, err)
	}
	return local, domain, nil
}

// invalid is the answer to a mistake in a request.
func invalid(format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, args...))
}
