package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func newRecipient(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "recipient [ID] ADDRESS",
		Short: "Show what became of one address: every attempt, host, reply and time",
		Long: `Show what became of one address, in one campaign or in all of them, the newest
first: every attempt with its host, reply and time.`,
		Example: `  penstock recipient ada@example.org
  penstock recipient spring-2026 ada@example.org --format json`,
		Args: takesRecipient,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				if len(args) == 1 {
					return f.findRecipient(cmd, c, args[0])
				}
				res, err := c.GetRecipient(cmd.Context(), &pb.GetRecipientRequest{CampaignId: args[0], Address: args[1]})
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), res)
				}
				return printRecipient(cmd.OutOrStdout(), res.Recipient, res.Attempts)
			})
		},
	}
	f.add(c, "config", "data", "format")
	return c
}

// takesRecipient: a lone argument is an address, and no campaign without one.
func takesRecipient(cmd *cobra.Command, args []string) error {
	if len(args) == 1 && !strings.Contains(args[0], "@") {
		return mistake("%s: %q is no address, and behind a campaign's id ADDRESS is missing; see: %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return takes("ADDRESS", "[ADDRESS]")(cmd, args)
}

// findRecipient shows an address in all campaigns.
func (f *flags) findRecipient(cmd *cobra.Command, c *control.Client, address string) error {
	all, err := everywhere(cmd.Context(), c, address)
	if err != nil {
		return err
	}
	if f.format == "json" {
		return printJSON(cmd.OutOrStdout(), &pb.FindRecipientResponse{Found: all})
	}
	if len(all) == 0 {
		return fmt.Errorf("%s is a recipient of no campaign; rows that were not loaded are listed by: penstock rejects ID", address)
	}
	w := cmd.OutOrStdout()
	for i, found := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "campaign %s, loaded %s\n", found.CampaignId, moment(found.Created.AsTime()))
		if err := printRecipient(w, found.Recipient, found.Attempts); err != nil {
			return err
		}
	}
	return nil
}

// everywhere asks for every page.
func everywhere(ctx context.Context, c *control.Client, address string) (all []*pb.FoundRecipient, err error) {
	req := &pb.FindRecipientRequest{Address: address, PageSize: 100}
	for {
		res, err := c.FindRecipient(ctx, req)
		if err != nil {
			return nil, err
		}
		all = append(all, res.Found...)
		if req.PageToken = res.NextPageToken; req.PageToken == "" {
			return all, nil
		}
	}
}

func printRecipient(w io.Writer, r *pb.Recipient, attempts []*pb.Attempt) error {
	fmt.Fprintf(w, "%s, row %d: %s", r.Address, r.Seq, r.State)
	if r.Due != nil {
		fmt.Fprintf(w, ", to be tried again at %s", moment(r.Due.AsTime()))
	}
	fmt.Fprintln(w)
	if len(attempts) == 0 {
		fmt.Fprintln(w, "nothing happened to it yet")
	}
	for _, a := range attempts {
		fmt.Fprintf(w, "\n%s  %s  %s\n", ordinal(a), moment(a.Time.AsTime()), a.State)
		for _, detail := range details(a) {
			fmt.Fprintf(w, "    %s\n", detail)
		}
	}
	return nil
}

// ordinal numbers tries; what happened without one has a dash.
func ordinal(a *pb.Attempt) string {
	if a.Number == 0 {
		return " -"
	}
	return fmt.Sprintf("%2d", a.Number)
}

// details are what is known of an attempt: where and how, then the answer.
func details(a *pb.Attempt) (lines []string) {
	if a.Host != "" {
		where := fmt.Sprintf("%s [%s] from %s, ", a.Host, a.Address, a.Source)
		if a.Tls == "" {
			where += "in plain"
		} else {
			where += a.Tls
		}
		lines = append(lines, where+", answered after "+span(a.Took.AsDuration()))
	}
	reply := replyLine(int(a.Code), a.EnhancedCode, oneLine.Replace(a.Text))
	if a.Command != "" {
		reply = strings.TrimSuffix(a.Command+": "+reply, ": ")
	}
	if reply != "" {
		lines = append(lines, reply)
	}
	if a.Anomaly != "" {
		lines = append(lines, "anomaly: "+a.Anomaly)
	}
	return lines
}
