package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func newCampaignWatch(f *flags) *cobra.Command {
	var interval time.Duration
	c := &cobra.Command{
		Use:   "watch ID",
		Short: "Show how a campaign goes on, a line at a time, until it has ended",
		Long: `Show how a campaign goes on, a line at a time, until it has ended: its state, how
far it is, attempts and deliveries a second, and recipients by state. Interrupting
it ends the watching, not the campaign.`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				stream, err := c.WatchCampaign(cmd.Context(), &pb.WatchCampaignRequest{CampaignId: args[0], Interval: durationpb.New(interval)})
				if err != nil {
					return err
				}
				defer stream.Close()
				show := watchLines(cmd.OutOrStdout())
				if f.format == "json" {
					show = func(p *pb.WatchCampaignResponse) error { return writeLine(cmd.OutOrStdout(), p) }
				}
				for stream.Receive() {
					if err := show(stream.Msg()); err != nil {
						return err
					}
				}
				if cmd.Context().Err() != nil {
					return nil // it was interrupted
				}
				return stream.Err()
			})
		},
	}
	c.Flags().DurationVar(&interval, "interval", time.Second, "how often, `100ms` to 1h")
	f.add(c, "config", "data", "format")
	c.Flags().Lookup("format").Usage = "output `format`: table or json (JSON lines)"
	return c
}

// watchLines writes a picture a line, below the names of the columns.
func watchLines(w io.Writer) func(*pb.WatchCampaignResponse) error {
	const line = "%-8s  %-9s %6s %9s %9s %6s %11s %11s %9s %9s\n"
	first := true
	return func(p *pb.WatchCampaignResponse) error {
		if first {
			first = false
			if _, err := fmt.Fprintf(w, line, "TIME", "STATE", "DONE", "TRIED/S", "SENT/S", "CONNS", "PENDING", "DELIVERED", "DEFERRED", "BOUNCED"); err != nil {
				return err
			}
		}
		n := p.Campaign.Counts
		_, err := fmt.Fprintf(w, line, p.Time.AsTime().Local().Format(time.TimeOnly), p.Campaign.State, fmt.Sprintf("%.1f%%", 100*p.Progress),
			count(uint64(p.AttemptsPerSecond+.5)), count(uint64(p.DeliveredPerSecond+.5)), count(p.Connections),
			count(n.Pending), count(n.Delivered), count(n.Deferred), count(n.Bounced))
		return err
	}
}
