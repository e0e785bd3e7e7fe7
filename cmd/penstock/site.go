package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func newSite(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "site",
		Short: "List, pause, limit and flush the sites that are sent to",
		Long: `A site is the destination that limits and pauses apply to, such as google for
all its servers; penstock mx DOMAIN says which one a domain belongs to.`,
		Args: commands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newSiteList(f), newSiteShow(f), newSitePause(f), newSiteResume(f), newSiteLimit(f), newSiteFlush(f), newSiteForget(f))
	return c
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
				noteUnknownSite(cmd.Context(), c, args[0])
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
					return printResumed(cmd.OutOrStdout(), "everything", res.Pauses)
				}
				res, err := c.ResumeSite(cmd.Context(), &pb.ResumeSiteRequest{Site: args[0], By: p.by, Force: p.force})
				if err != nil {
					return err
				}
				return printResumed(cmd.OutOrStdout(), "site "+args[0], res.Pauses)
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "resume everything; pauses of single sites and campaigns stay")
	p.resumes(c)
	f.add(c, "config", "data")
	return c
}

// noteUnknownSite says that a site that is to be paused or limited is not known:
// it may be one that nothing was sent to yet, or a slip. What is set makes it
// known.
func noteUnknownSite(ctx context.Context, c *control.Client, site string) {
	if _, err := c.GetSite(ctx, &pb.GetSiteRequest{Site: site}); control.NotFound(err) {
		fmt.Fprintf(os.Stderr, "penstock: nothing was sent to a site %s so far: this holds from the first message on; if it is a slip, penstock site list shows those that there are\n", site)
	}
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
	l := &ceiling{}
	c := &cobra.Command{
		Use:   "limit SITE",
		Short: "Hold a site to other limits than configured, for each source",
		Long: `Hold a site to other limits than configured, for each source, while it is sent
to and after restarts. Without limits, earlier ones are taken back.`,
		Example: `  penstock site limit google --connections 5 --rate 20 --for 2h
  penstock site limit google`,
		Args: takes("SITE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			last, err := l.check()
			if err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				noteUnknownSite(cmd.Context(), c, args[0])
				if _, err := c.SetSiteLimits(cmd.Context(), &pb.SetSiteLimitsRequest{
					Site: args[0], Limits: &pb.SiteLimits{Connections: l.most, MessageRate: l.rate}, Duration: last,
				}); err != nil {
					return err
				}
				return l.printSet(cmd.OutOrStdout(), "site "+args[0])
			})
		},
	}
	l.add(c, "as configured")
	f.add(c, "config", "data")
	return c
}
