package control

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/intake"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// Campaigns on their way in, as CampaignService shows them: they have an id and a
// state, and nothing to steer yet.

// inbound is what is on its way in and no campaign yet, oldest first.
func (d *desk) inbound() []intake.Status {
	if d.intakes == nil {
		return nil
	}
	return slices.DeleteFunc(d.intakes.List(), func(st intake.Status) bool {
		_, err := d.ledger.Campaign(st.ID)
		return err == nil // its intake is about to end
	})
}

// arriving is a campaign on its way in; nil: there is none.
func (d *desk) arriving(id string) *pb.Campaign {
	if d.intakes == nil {
		return nil
	}
	st, err := d.intakes.Get(id)
	if err != nil || st.State == intake.Loaded {
		return nil
	}
	return arriving(st)
}

func arriving(st intake.Status) *pb.Campaign {
	return &pb.Campaign{
		CampaignId: st.ID, State: string(st.State), Rows: st.Rows, Rejected: st.Rejected,
		Counts: &pb.Counts{}, Created: moment(st.Created),
	}
}

// notYet is the error for what only a loaded campaign bears.
func (d *desk) notYet(id string, err error) error {
	if c := d.arriving(id); c != nil && errors.Is(err, ledger.ErrNoCampaign) {
		return connect.NewError(connect.CodeFailedPrecondition,
			fmt.Errorf("campaign %s is not loaded yet: it is %s; GetIntake (penstock campaign show) tells of it, DropIntake (penstock campaign drop) gives it up", id, c.State))
	}
	return status(err)
}

// arrivalToken is where a page of what is on its way in ends: behind all
// campaigns that are loaded.
func arrivalToken(st *intake.Status) string {
	return "@" + strconv.FormatInt(st.Created.UnixNano(), 10) + "." + st.ID
}

// parseArrivalToken reads one; ok is false for a token of another kind.
func parseArrivalToken(token string) (created time.Time, id string, ok bool) {
	rest, is := strings.CutPrefix(token, "@")
	nanos, id, found := strings.Cut(rest, ".")
	n, err := strconv.ParseInt(nanos, 10, 64)
	return time.Unix(0, n), id, is && found && err == nil
}

// addArriving fills a page up with what is on its way in behind a token; empty:
// from the first.
func (d *desk) addArriving(res *pb.ListCampaignsResponse, states []string, most int, token string) {
	created, id, behind := parseArrivalToken(token)
	var last *intake.Status
	for _, st := range d.inbound() {
		if behind && (st.Created.Before(created) || st.Created.Equal(created) && st.ID <= id) {
			continue
		}
		if len(states) > 0 && !slices.Contains(states, string(st.State)) {
			continue
		}
		if len(res.Campaigns) == most {
			if last == nil { // the page was full of campaigns: all of these are behind it
				res.NextPageToken = "@0."
				return
			}
			res.NextPageToken = arrivalToken(last)
			return
		}
		res.Campaigns = append(res.Campaigns, arriving(st))
		last = &st
	}
}
