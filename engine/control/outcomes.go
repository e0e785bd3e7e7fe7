package control

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/penstock-mail/penstock/engine/address"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func (c *campaigns) ListOutcomes(ctx context.Context, req *pb.ListOutcomesRequest, stream *connect.ServerStream[pb.ListOutcomesResponse]) error {
	campaign, err := c.find(req.CampaignId)
	if err != nil {
		return err
	}
	list := ledger.Listing{}
	if list.Filter, err = filter(req); err != nil {
		return err
	}
	if list.After, err = parseCursor(campaign, req.Cursor); err != nil {
		return err
	}
	out := patiently(ctx, stream, c.desk.patience)
	defer out.wait()
	var part pb.ListOutcomesResponse
	flush := func(at ledger.Position) error {
		part.Cursor = cursor(campaign, at)
		err := out.send(&part)
		part.Outcomes = part.Outcomes[:0]
		return err
	}
	list.Passed = flush
	at, left := list.After, req.Limit
	err = campaign.Outcomes(ctx, list, func(o *ledger.Outcome) error {
		told := &pb.Outcome{Recipient: recipient(o.Seq, o.Local, o.Domain, o.State, o.Last), Attempts: uint32(o.Attempts)}
		if o.Last != nil {
			told.Last = attempt(o.Last)
		}
		part.Outcomes = append(part.Outcomes, told)
		at = ledger.Position{Domain: o.Domain, Seq: o.Seq}
		if left--; left == 0 {
			return errEnough
		}
		if len(part.Outcomes) < chunk {
			return nil
		}
		return flush(at)
	})
	if errors.Is(err, errEnough) {
		return status(flush(at))
	}
	if err == nil {
		part.Cursor = ""
		err = out.send(&part)
	}
	return status(err)
}

// errEnough ends a listing at its limit.
var errEnough = errors.New("enough")

// filter reads what a request chooses.
func filter(req *pb.ListOutcomesRequest) (f ledger.Filter, err error) {
	if f.States, err = parseStates(req.States); err != nil {
		return f, err
	}
	for _, d := range req.Domains {
		_, domain, err := address.Parse("x@" + d)
		if err != nil {
			return f, invalid("domain %q: %w", d, err)
		}
		f.Domains = append(f.Domains, domain)
	}
	f.Sites, f.Enhanced = req.Sites, req.EnhancedCode
	for _, code := range req.Codes {
		f.Codes = append(f.Codes, int(code))
	}
	for name, at := range map[string]*timestamppb.Timestamp{"from": req.From, "until": req.Until} {
		if at == nil {
			continue
		}
		if err := at.CheckValid(); err != nil {
			return f, invalid("%s: %w", name, err)
		}
	}
	if req.From != nil {
		f.From = req.From.AsTime()
	}
	if req.Until != nil {
		f.Until = req.Until.AsTime()
	}
	return f, nil
}

func parseStates(names []string) ([]ledger.State, error) {
	states := make([]ledger.State, len(names))
	for i, name := range names {
		state, ok := ledger.ParseState(name)
		if !ok {
			return nil, invalid("state %q is none of %s", name, strings.Join(ledger.StateNames(), ", "))
		}
		states[i] = state
	}
	return states, nil
}

// cursorVersion is the first octet of a cursor.
const cursorVersion = 1

// cursor is a position for people to carry about: version, campaign, sequence
// number, domain.
func cursor(c *ledger.Campaign, at ledger.Position) string {
	b := append(make([]byte, 0, 9+len(at.Domain)), cursorVersion)
	b = binary.BigEndian.AppendUint32(b, c.Number())
	b = binary.BigEndian.AppendUint32(b, uint32(at.Seq))
	return base64.RawURLEncoding.EncodeToString(append(b, at.Domain...))
}

// parseCursor reads what cursor wrote; an empty one is the beginning.
func parseCursor(c *ledger.Campaign, text string) (at ledger.Position, err error) {
	if text == "" {
		return at, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 9 || len(b) > 9+253 || b[0] != cursorVersion {
		return at, invalid("cursor %q is not one that a listing gave", text)
	}
	if n := binary.BigEndian.Uint32(b[1:]); n != c.Number() {
		return at, invalid("cursor %q is of another campaign, or of one that was deleted", text)
	}
	return ledger.Position{Domain: string(b[9:]), Seq: ledger.Seq(binary.BigEndian.Uint32(b[5:]))}, nil
}
