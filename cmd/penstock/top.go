package main

import (
	"context"
	"fmt"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func newTop(f *flags) *cobra.Command {
	once := false
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch campaigns and sites live: how fast, how long still, and why not faster",
		Long: `Watch what a process sends (serve or send): campaigns, sites, how fast they go,
how long they will take, and what they wait for. From here they are paused and
resumed, too; ? shows the keys. When the process goes away, top says so and
waits for it to come back.

With --once, or where the output is no terminal, it prints one picture.

What is waited for, as shares of the last seconds:
  rate limit             the site's message rate, configured, set or learned
  connection limit       all connections that the site may have, fewer than usual
  connecting             connections on the way
  round trips            replies that are on the way
  final answer           the server thinks about a whole message
  DNS                    domains being looked up
  composing and signing  messages being prepared
  disk                   leases and outcomes being written, or too little space
  processor              this machine
  nothing to send        who is left waits for a retry
  paused, schedule       a person, start_at or windows
  max_rate               the campaign's own rate
  resting                the site objected or cannot be reached`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.top(cmd, once) },
	}
	c.Flags().BoolVar(&once, "once", false, "print one picture and end")
	f.add(c, "config", "data")
	return c
}

// topSites bounds the sites that top asks for.
const topSites = 500

// picture is what top shows, as of a moment.
type picture struct {
	at        time.Time
	campaigns []*pb.Campaign
	sites     []*pb.Site
	total     *pb.Forecast
}

// unfinished is the states of campaigns that top shows.
var unfinished = []string{"sending", "waiting", "paused", "stopped"}

// look asks for a picture.
func look(ctx context.Context, c *control.Client) (*picture, error) {
	p := &picture{}
	campaigns, err := c.ListCampaigns(ctx, &pb.ListCampaignsRequest{States: unfinished, PageSize: 1000})
	if err != nil {
		return nil, err
	}
	sites, err := c.ListSites(ctx, &pb.ListSitesRequest{Order: "backlog", Limit: topSites})
	if err != nil {
		return nil, err
	}
	forecast, err := c.GetForecast(ctx, &pb.GetForecastRequest{Limit: 1})
	if err != nil {
		return nil, err
	}
	p.at, p.campaigns, p.sites, p.total = time.Now(), campaigns.Campaigns, sites.Sites, forecast.Total
	return p, nil
}

// pauses stops or lets go what is chosen.
func pauses(ctx context.Context, c *control.Client, q question) (err error) {
	by := whoami()
	switch {
	case q.site != "" && q.pause:
		_, err = c.PauseSite(ctx, &pb.PauseSiteRequest{Site: q.site, By: by, Reason: "from top"})
	case q.site != "":
		_, err = c.ResumeSite(ctx, &pb.ResumeSiteRequest{Site: q.site, By: by})
	case q.pause:
		_, err = c.PauseCampaign(ctx, &pb.PauseCampaignRequest{CampaignId: q.campaign, By: by, Reason: "from top"})
	default:
		_, err = c.ResumeCampaign(ctx, &pb.ResumeCampaignRequest{CampaignId: q.campaign, By: by})
	}
	return err
}

// answersWithin bounds each question that top asks.
const answersWithin = 10 * time.Second

// dial is a client to the server that was named, or to the process that holds the
// data directory, whether it is there or not.
func (f *flags) dial() (*control.Client, error) {
	if f.isRemote() {
		return f.dialServer()
	}
	cfg, err := f.load()
	if err != nil {
		return nil, err
	}
	return control.Dial(cfg.Data), nil
}

func (f *flags) top(cmd *cobra.Command, once bool) error {
	if once || !isTerminal(os.Stdout) || !isTerminal(os.Stdin) {
		return f.ask(cmd.Context(), func(c *control.Client) error {
			p, err := look(cmd.Context(), c)
			if err != nil {
				return err
			}
			t := &top{shown: p}
			_, err = fmt.Fprint(cmd.OutOrStdout(), t.still())
			return err
		})
	}
	c, err := f.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	within := func(do func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), answersWithin)
		defer cancel()
		return control.Cause(do(ctx))
	}
	t := &top{
		look: func() (p *picture, err error) {
			err = within(func(ctx context.Context) error { p, err = look(ctx, c); return err })
			return p, err
		},
		pauses: func(q question) error {
			return within(func(ctx context.Context) error { return pauses(ctx, c, q) })
		},
	}
	_, err = tea.NewProgram(t, tea.WithContext(cmd.Context())).Run()
	if cmd.Context().Err() != nil {
		return nil // ended by a signal, as one ends it
	}
	return err
}
