package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func newCampaignDelete(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "delete ID",
		Short: "Remove a campaign that has ended, with all that is known of its recipients",
		Long: `Remove a campaign that is finished or cancelled: its recipients, what became of
them, its report and its pauses. This cannot be undone. What was learned of
sites and hosts stays, and so do suppression lists. The id is free then, and the
space on disk comes back within seconds.`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.DeleteCampaign(cmd.Context(), &pb.DeleteCampaignRequest{CampaignId: args[0]})
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "deleted campaign %s with %s\n", args[0], numbered(res.Campaign.Counts.Loaded, "recipient"))
				return err
			})
		},
	}
	f.add(c, "config", "data")
	return c
}
