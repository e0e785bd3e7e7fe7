package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// cloneable are the states that recipients can be copied from: the final ones,
// but for those suppressed.
var cloneable = []string{"delivered", "bounced", "expired", "cancelled", "uncertain"}

func newCampaignClone(f *flags) *cobra.Command {
	req := &pb.CloneCampaignRequest{}
	c := &cobra.Command{
		Use:   "clone ID NEW-ID",
		Short: "Make a campaign of another one's recipients in given states, such as the failed ones",
		Long: `Make a campaign of those recipients of another one that are in the given states,
with their merge fields, the same content and the same settings but for start_at.
The suppression lists of now apply; whoever was erased is a rejected row. All of
it is made or nothing, and the same command again shows what it made.`,
		Example: `  penstock campaign clone spring-2026 spring-2026-again --state bounced,expired --start
  penstock campaign clone spring-2026 summer-2026 --state delivered`,
		Args: takes("ID", "NEW-ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			if len(req.States) == 0 {
				return mistake("--state is missing: say whom to copy, some of %s", strings.Join(cloneable, ", "))
			}
			for _, s := range req.States {
				if !slices.Contains(cloneable, s) {
					return mistake("--state %s: want some of %s", s, strings.Join(cloneable, ", "))
				}
			}
			req.CampaignId, req.NewCampaignId = args[0], args[1]
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.CloneCampaign(cmd.Context(), req)
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), res.Campaign)
				}
				return printCampaign(cmd.OutOrStdout(), res.Campaign)
			})
		},
	}
	c.Flags().StringSliceVar(&req.States, "state", nil, "whom to copy: `states`, separated by commas: "+strings.Join(cloneable, ", "))
	c.Flags().BoolVar(&req.Start, "start", false, "start it, too")
	f.add(c, "config", "data", "format")
	return c
}
