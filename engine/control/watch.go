package control

import (
	"context"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func (c *campaigns) WatchCampaign(ctx context.Context, req *pb.WatchCampaignRequest, stream *connect.ServerStream[pb.WatchCampaignResponse]) error {
	campaign, err := c.find(req.CampaignId)
	if err != nil {
		return err
	}
	interval, err := intervalOf(req.Interval.AsDuration(), req.Interval != nil)
	if err != nil {
		return err
	}
	if c.desk.engine == nil && campaign.Totals().Finished.IsZero() {
		return errNotSending
	}
	watcher, leave, err := c.desk.watches.join(watchKey{campaign.Number(), interval}, func() (picture, error) { return c.picture(campaign) })
	if err != nil {
		return status(err)
	}
	defer leave()
	out := patiently(ctx, stream, c.desk.patience)
	defer out.wait()
	for {
		select {
		case p, more := <-watcher.pictures:
			if !more {
				return status(watcher.err)
			}
			if err := out.send(p); err != nil {
				return status(err)
			}
		case <-ctx.Done():
			return status(ctx.Err())
		}
	}
}

// picture is how a campaign stands now.
func (c *campaigns) picture(campaign *ledger.Campaign) (picture, error) {
	// Asked first: what follows is not older.
	last := !campaign.Totals().Finished.IsZero()
	shown, err := c.show(campaign)
	if err != nil {
		return picture{}, err
	}
	p := picture{
		message:  &pb.WatchCampaignResponse{Campaign: shown, Time: moment(time.Now())},
		attempts: campaign.Attempts(), delivered: shown.Counts.Delivered, last: last,
	}
	if n := shown.Counts; n.Loaded > 0 {
		open := n.Pending + n.Deferred
		if !last && n.Uncertain > 0 {
			open += n.Uncertain // tried again, or about to be final
		}
		p.message.Progress = 1 - float64(open)/float64(n.Loaded)
		p.message.FirstPass = 1 - float64(n.Pending)/float64(n.Loaded)
	}
	if c.desk.engine != nil && !last {
		p.message.Connections = uint32(c.desk.connections.of(c.desk.engine, campaign.Name()))
	}
	return p, nil
}

// connections is how many are open for each campaign, looked up at most once a
// second for all of them, since that goes over every lane.
type connections struct {
	mu sync.Mutex
	at time.Time      // guarded by mu
	by map[string]int // guarded by mu
}

func (n *connections) of(e *engine.Engine, campaign string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); now.Sub(n.at) >= time.Second {
		n.at, n.by = now, e.Connections()
	}
	return n.by[campaign]
}
