package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func newSite(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "site",
		Short: "List, pause, resume and limit the sites that are sent to",
		Long: `A site is the destination that limits and pauses apply to, such as google for
all its servers; penstock mx DOMAIN says which one a domain belongs to.`,
		Args: commands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newSiteList(f), newSiteShow(f), newSitePause(f), newSiteResume(f), newSiteLimit(f))
	return c
}

func newSiteList(f *flags) *cobra.Command {
	var most uint32
	c := &cobra.Command{
		Use:   "list",
		Short: "List the busiest sites of the process that sends",
		Args:  takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.ListSites(cmd.Context(), &pb.ListSitesRequest{Limit: most})
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), res)
				}
				t := newTable(cmd.OutOrStdout(), "SITE", ">CONNECTIONS", ">RATE", ">DELIVERED", ">DEFERRED", ">BOUNCED", "STATE")
				for _, s := range res.Sites {
					t.row(s.Site, connections(s), perSecond(s.MessageRate), count(s.Delivered), count(s.Deferred), count(s.Bounced), siteState(s))
				}
				return t.flush()
			})
		},
	}
	c.Flags().Uint32Var(&most, "limit", 100, "the most sites, 1 to 1,000")
	f.add(c, "config", "data", "format")
	return c
}

func connections(s *pb.Site) string {
	return strconv.FormatUint(uint64(s.Connections), 10) + "/" + strconv.FormatUint(uint64(s.ConnectionLimit), 10)
}

func perSecond(rate float64) string {
	if rate == 0 {
		return "-"
	}
	return strconv.FormatFloat(rate, 'f', -1, 64) + "/s"
}

// siteState is the one thing to know of a site.
func siteState(s *pb.Site) string {
	switch {
	case len(s.Pauses) > 0:
		return "paused by " + s.Pauses[0].By
	case s.Backoff != "":
		return "backing off: " + s.Backoff
	case s.Limits != nil:
		return "limited"
	}
	return ""
}

func newSiteShow(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "show SITE",
		Short: "Show how a site stands, with its hosts",
		Args:  takes("SITE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.GetSite(cmd.Context(), &pb.GetSiteRequest{Site: args[0]})
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), res)
				}
				return printSite(cmd.OutOrStdout(), res)
			})
		},
	}
	f.add(c, "config", "data", "format")
	return c
}

func printSite(w io.Writer, r *pb.GetSiteResponse) error {
	s := r.Site
	t := newTable(w).align("ll")
	t.row("site", s.Site)
	t.row("connections", connections(s))
	t.row("rate allowed", perSecond(s.MessageRate))
	t.row("delivered", count(s.Delivered))
	t.row("deferred", count(s.Deferred))
	t.row("bounced", count(s.Bounced))
	t.row("uncertain", count(s.Uncertain))
	if s.Backoff != "" {
		t.row("backing off", s.Backoff)
	}
	if l := s.Limits; l != nil {
		t.row("limited to", limitsOf(l))
	}
	if s.LastReply != "" {
		t.row("last reply", s.LastReply)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := printPauses(w, s.Pauses); err != nil || len(r.Hosts) == 0 {
		return err
	}
	fmt.Fprintln(w)
	hosts := newTable(w, "HOST", ">CONNECTIONS", ">IN FLIGHT", "GEAR", "LAST FAILURE")
	for _, h := range r.Hosts {
		failure := h.LastFailure
		if h.Resting {
			failure = "resting: " + failure
		}
		hosts.row(h.Host, strconv.FormatUint(uint64(h.Connections), 10), strconv.FormatUint(uint64(h.InFlight), 10), h.Gear, failure)
	}
	return hosts.flush()
}

func limitsOf(l *pb.SiteLimits) string {
	text := ""
	if l.Connections > 0 {
		text = numbered(l.Connections, "connection")
	}
	if l.MessageRate > 0 {
		if text != "" {
			text += ", "
		}
		text += perSecond(l.MessageRate)
	}
	if l.Until != nil {
		text += " until " + moment(l.Until.AsTime())
	}
	return text
}

func newSitePause(f *flags) *cobra.Command {
	p, all := &person{}, false
	c := &cobra.Command{
		Use:   "pause SITE",
		Short: "Freeze a site, or everything, until it is resumed",
		Example: `  penstock site pause google --why "ticket 4711"
  penstock site pause --all`,
		Args: siteOrAll(&all),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd.Context(), func(c *control.Client) error {
				if all {
					res, err := c.PauseAll(cmd.Context(), &pb.PauseAllRequest{By: p.by, Reason: p.why})
					if err != nil {
						return err
					}
					return printPauses(cmd.OutOrStdout(), res.Pauses)
				}
				res, err := c.PauseSite(cmd.Context(), &pb.PauseSiteRequest{Site: args[0], By: p.by, Reason: p.why})
				if err != nil {
					return err
				}
				return printPauses(cmd.OutOrStdout(), res.Pauses)
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "pause everything")
	p.pauses(c)
	f.add(c, "config", "data")
	return c
}

func newSiteResume(f *flags) *cobra.Command {
	p, all := &person{}, false
	c := &cobra.Command{
		Use:   "resume SITE",
		Short: "Take back one's own pause of a site, or of everything",
		Args:  siteOrAll(&all),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd.Context(), func(c *control.Client) error {
				if all {
					res, err := c.ResumeAll(cmd.Context(), &pb.ResumeAllRequest{By: p.by, Force: p.force})
					if err != nil {
						return err
					}
					return printPauses(cmd.OutOrStdout(), res.Pauses)
				}
				res, err := c.ResumeSite(cmd.Context(), &pb.ResumeSiteRequest{Site: args[0], By: p.by, Force: p.force})
				if err != nil {
					return err
				}
				return printPauses(cmd.OutOrStdout(), res.Pauses)
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "resume everything; pauses of single sites and campaigns stay")
	p.resumes(c)
	f.add(c, "config", "data")
	return c
}

// siteOrAll wants either a site or --all.
func siteOrAll(all *bool) cobra.PositionalArgs {
	one, none := takes("SITE"), takes()
	return func(cmd *cobra.Command, args []string) error {
		if *all {
			return none(cmd, args)
		}
		return one(cmd, args)
	}
}

func newSiteLimit(f *flags) *cobra.Command {
	var most uint32
	var rate float64
	var last time.Duration
	c := &cobra.Command{
		Use:   "limit SITE",
		Short: "Hold a site to other limits than configured, for each source",
		Long: `Hold a site to other limits than configured, for each source, while it is sent
to and after restarts. Without limits, earlier ones are taken back.`,
		Example: `  penstock site limit google --connections 5 --rate 20 --for 2h
  penstock site limit google`,
		Args: takes("SITE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if rate < 0 || math.IsNaN(rate) || math.IsInf(rate, 0) {
				return mistake("--rate %v: want messages a second, above 0", rate)
			}
			if last < 0 || last > 0 && most == 0 && rate == 0 {
				return mistake("--for wants a duration above 0, and --connections or --rate with it")
			}
			req := &pb.SetSiteLimitsRequest{Site: args[0], Limits: &pb.SiteLimits{Connections: most, MessageRate: rate}}
			if last > 0 {
				req.Duration = durationpb.New(last)
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				_, err := c.SetSiteLimits(cmd.Context(), req)
				return err
			})
		},
	}
	c.Flags().Uint32Var(&most, "connections", 0, "the most connections, 1 to 100,000 (default: as configured)")
	c.Flags().Float64Var(&rate, "rate", 0, "messages a second (default: as configured)")
	c.Flags().DurationVar(&last, "for", 0, "only for this `duration`, such as 2h (default: for good)")
	f.add(c, "config", "data")
	return c
}
