package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func newSiteFlush(f *flags) *cobra.Command {
	req := &pb.FlushSiteRequest{}
	c := &cobra.Command{
		Use:   "flush SITE",
		Short: "Try now whoever is deferred at a site",
		Long: `Try now whoever is deferred at a site, of all campaigns that are being sent or of
one. Their attempts count on; rests of the site, its hosts and the breaker end;
limits and pauses are kept to.`,
		Example: "  penstock site flush google --campaign spring",
		Args:    takes("SITE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Site = args[0]
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.FlushSite(cmd.Context(), req)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s due now\n", numbered(res.Recipients, "recipient"))
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&req.CampaignId, "campaign", "", "only this campaign's `id`")
	f.add(c, "config", "data")
	return c
}

func newSiteForget(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "forget SITE",
		Short: "Drop what was learned of a site",
		Long: `Drop what was learned of a site: lowered limits and back-off, what its hosts turned
out not to bear, and the rests of campaigns there. Limits that are configured or
set apply again.`,
		Args: takes("SITE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd.Context(), func(c *control.Client) error {
				_, err := c.ForgetSite(cmd.Context(), &pb.ForgetSiteRequest{Site: args[0]})
				return said(cmd, err, "site %s: what was learned is forgotten", args[0])
			})
		},
	}
	f.add(c, "config", "data")
	return c
}
