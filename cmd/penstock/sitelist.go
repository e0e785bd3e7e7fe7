package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func newSiteList(f *flags) *cobra.Command {
	req := &pb.ListSitesRequest{}
	c := &cobra.Command{
		Use:   "list",
		Short: "List the sites that are sent to or have somebody waiting",
		Long: `List the sites that are sent to or have somebody waiting: connections open and
allowed, answers a second over the last seconds, who waits, and the share of
answers that deferred over the last minute.

States: paused, resting (it objected, and nothing goes out for a while), slowed
(it objected, and is sent less), sending, waiting (somebody is to be tried, and
no connection is open), idle.`,
		Example: `  penstock site list --order backlog --limit 20
  penstock site list --state resting --state slowed
  penstock site list --name google --format csv`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.formatIs("table", "json", "csv"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.ListSites(cmd.Context(), req)
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), res)
				}
				return printSiteList(cmd, f.format, res)
			})
		},
	}
	set := c.Flags()
	set.Uint32Var(&req.Limit, "limit", 100, "the most sites, 1 to 1,000")
	set.StringVar(&req.Order, "order", "activity", "what comes first: activity, backlog, rate, deferrals or name")
	set.StringVar(&req.Name, "name", "", "only sites with this `text` in their name")
	set.StringArrayVar(&req.States, "state", nil, "only sites in this `state`; may be repeated")
	set.StringVar(&req.PageToken, "page", "", "go on behind a page: the `token` that it ended with")
	f.add(c, "config", "data", "format")
	return c
}

func printSiteList(cmd *cobra.Command, format string, res *pb.ListSitesResponse) error {
	if format == "csv" {
		row, flush := csvTable(cmd.OutOrStdout(), "site", "state", "connections", "connection_limit", "in_flight", "rate", "pending", "waiting",
			"due", "deferral_share", "delivered", "deferred", "bounced", "uncertain", "backoff", "last_reply")
		for _, s := range res.Sites {
			number := func(n uint64) string { return strconv.FormatUint(n, 10) }
			if err := row(s.Site, s.State, number(uint64(s.Connections)), number(uint64(s.ConnectionLimit)), number(uint64(s.InFlight)),
				decimal(s.Rate), number(s.Pending), number(s.Waiting), number(s.Due), decimal(s.DeferralShare),
				number(s.Delivered), number(s.Deferred), number(s.Bounced), number(s.Uncertain), s.Backoff, s.LastReply); err != nil {
				return err
			}
		}
		return flush()
	}
	t := newTable(cmd.OutOrStdout(), "SITE", ">CONNECTIONS", ">RATE", ">LIMIT", ">PENDING", ">WAITING", ">DELIVERED", ">DEFERRED", ">BOUNCED", ">DEFERRALS", "STATE")
	for _, s := range res.Sites {
		t.row(s.Site, connections(s), perSecond(s.Rate), perSecond(s.MessageRate), count(s.Pending), count(s.Waiting),
			count(s.Delivered), count(s.Deferred), count(s.Bounced), percent(s.DeferralShare), siteState(s))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if res.NextPageToken != "" {
		cmd.PrintErrf("more follow: --page %s\n", res.NextPageToken)
	}
	return nil
}

func connections(s *pb.Site) string {
	return strconv.FormatUint(uint64(s.Connections), 10) + "/" + strconv.FormatUint(uint64(s.ConnectionLimit), 10)
}

// perSecond writes a rate with as many digits as say something.
func perSecond(rate float64) string {
	if rate == 0 {
		return "-"
	}
	return decimal(rate) + "/s"
}

// decimal writes a number without digits that say nothing: 0.017, 4.2, 1234.
func decimal(v float64) string {
	digits := 3
	switch {
	case v >= 100:
		digits = 0
	case v >= 1:
		digits = 1
	}
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// percent writes a share; one of nothing is left out.
func percent(share float64) string {
	if share == 0 {
		return "-"
	}
	return decimal(100*share) + " %"
}

// siteState is the one thing to know of a site.
func siteState(s *pb.Site) string {
	switch {
	case len(s.Pauses) > 0:
		return "paused by " + s.Pauses[0].By
	case s.Backoff != "":
		return s.State + ": " + s.Backoff
	case s.Limits != nil:
		return s.State + ", limited"
	}
	return s.State
}
