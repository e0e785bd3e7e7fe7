package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func newCampaign(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "campaign",
		Short: "List, start, pause, resume, cancel and delete campaigns",
		Args:  commands,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newCampaignCreate(f), newCampaignDrop(f))
	c.AddCommand(newCampaignList(f), newCampaignShow(f), newCampaignStart(f), newCampaignPause(f), newCampaignResume(f), newCampaignCancel(f),
		newCampaignWatch(f), newCampaignClone(f), newCampaignDelete(f), newCampaignOutcomes(f))
	return c
}

func newCampaignList(f *flags) *cobra.Command {
	var states []string
	c := &cobra.Command{
		Use:   "list",
		Short: "List campaigns, the oldest first, with how they stand",
		Args:  takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.formatIs("table", "json", "csv"); err != nil {
				return err
			}
			for _, s := range states {
				if !slices.Contains(control.CampaignStates(), s) {
					return mistake("--state %s: want some of %s", s, strings.Join(control.CampaignStates(), ", "))
				}
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				all, err := allCampaigns(cmd.Context(), c, states)
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), &pb.ListCampaignsResponse{Campaigns: all})
				}
				if f.format == "csv" {
					return csvCampaigns(cmd.OutOrStdout(), all)
				}
				return printCampaigns(cmd.OutOrStdout(), all)
			})
		},
	}
	c.Flags().StringSliceVar(&states, "state", nil, "only these `states`: "+strings.Join(control.CampaignStates(), ", "))
	f.add(c, "config", "data", "format")
	c.Flags().Lookup("format").Usage = "output `format`: table, json or csv"
	return c
}

// allCampaigns asks for every page.
func allCampaigns(ctx context.Context, c *control.Client, states []string) (all []*pb.Campaign, err error) {
	req := &pb.ListCampaignsRequest{States: states, PageSize: 1000}
	for {
		res, err := c.ListCampaigns(ctx, req)
		if err != nil {
			return nil, err
		}
		all = append(all, res.Campaigns...)
		if req.PageToken = res.NextPageToken; req.PageToken == "" {
			return all, nil
		}
	}
}

func printCampaigns(w io.Writer, all []*pb.Campaign) error {
	t := newTable(w, "CAMPAIGN", "STATE", ">LOADED", ">PENDING", ">DELIVERED", ">DEFERRED", ">BOUNCED", "STARTED")
	for _, c := range all {
		n := c.Counts
		started := ""
		if c.Started != nil {
			started = moment(c.Started.AsTime())
		}
		t.row(c.CampaignId, c.State, count(n.Loaded), count(n.Pending), count(n.Delivered), count(n.Deferred), count(n.Bounced), started)
	}
	return t.flush()
}

func csvCampaigns(w io.Writer, all []*pb.Campaign) error {
	row, flush := csvTable(w, "campaign", "state", "rows", "rejected", "loaded", "pending", "delivered", "deferred", "bounced",
		"expired", "suppressed", "cancelled", "uncertain", "created", "started", "finished")
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	at := func(t *timestamppb.Timestamp) string {
		if t == nil {
			return ""
		}
		return t.AsTime().Format(timeFormat)
	}
	for _, c := range all {
		n := c.Counts
		if err := row(c.CampaignId, c.State, number(c.Rows), number(c.Rejected), number(n.Loaded), number(n.Pending), number(n.Delivered),
			number(n.Deferred), number(n.Bounced), number(n.Expired), number(n.Suppressed), number(n.Cancelled), number(n.Uncertain),
			at(c.Created), at(c.Started), at(c.Finished)); err != nil {
			return err
		}
	}
	return flush()
}

func newCampaignShow(f *flags) *cobra.Command {
	c := f.onCampaign("show ID", "Show how a campaign stands, who paused it and why", func(ctx context.Context, c *control.Client, id string) (*pb.Campaign, error) {
		res, err := c.GetCampaign(ctx, &pb.GetCampaignRequest{CampaignId: id})
		return res.GetCampaign(), err
	})
	return c
}

func newCampaignStart(f *flags) *cobra.Command {
	var at instant
	c := f.onCampaign("start ID", "Start a loaded campaign in the process that serves, now or at a time", func(ctx context.Context, c *control.Client, id string) (*pb.Campaign, error) {
		res, err := c.StartCampaign(ctx, &pb.StartCampaignRequest{CampaignId: id, At: at.stamp()})
		return res.GetCampaign(), err
	})
	c.Example = `  penstock campaign start spring-2026
  penstock campaign start spring-2026 --at 2026-04-01T09:00:00+02:00
  penstock campaign start spring-2026 --at now`
	c.Flags().Var(&at, "at", "when the first message may go out, in place of start_at: a `time` such as 2026-04-01T09:00:00+02:00, 2026-04-01 09:00 (this machine's zone), +2h, or now")
	return c
}

func newCampaignPause(f *flags) *cobra.Command {
	var site string
	p := &person{}
	c := f.onCampaign("pause ID", "Freeze a campaign, or what it has for one site, until it is resumed", func(ctx context.Context, c *control.Client, id string) (*pb.Campaign, error) {
		if site != "" {
			noteUnknownSite(ctx, c, site)
		}
		res, err := c.PauseCampaign(ctx, &pb.PauseCampaignRequest{CampaignId: id, Site: site, By: p.by, Reason: p.why})
		return res.GetCampaign(), err
	})
	c.Example = `  penstock campaign pause spring-2026 --why "typo in the subject"
  penstock campaign pause spring-2026 --site google`
	c.Flags().StringVar(&site, "site", "", "only what the campaign has for this `site`")
	p.pauses(c)
	return c
}

func newCampaignResume(f *flags) *cobra.Command {
	var site string
	p := &person{}
	c := f.onCampaign("resume ID", "Take back one's own pause of a campaign", func(ctx context.Context, c *control.Client, id string) (*pb.Campaign, error) {
		res, err := c.ResumeCampaign(ctx, &pb.ResumeCampaignRequest{CampaignId: id, Site: site, By: p.by, Force: p.force})
		return res.GetCampaign(), err
	})
	c.Flags().StringVar(&site, "site", "", "what was paused for this `site` alone")
	p.resumes(c)
	return c
}

func newCampaignCancel(f *flags) *cobra.Command {
	return f.onCampaign("cancel ID", "End a campaign for good: who was not sent to is cancelled", func(ctx context.Context, c *control.Client, id string) (*pb.Campaign, error) {
		res, err := c.CancelCampaign(ctx, &pb.CancelCampaignRequest{CampaignId: id})
		return res.GetCampaign(), err
	})
}

// onCampaign is a command that does something to one campaign, and shows how it
// stands then.
func (f *flags) onCampaign(use, short string, do func(context.Context, *control.Client, string) (*pb.Campaign, error)) *cobra.Command {
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				shown, err := do(cmd.Context(), c, args[0])
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), shown)
				}
				if err := printCampaign(cmd.OutOrStdout(), shown); err != nil || !onItsWay(shown) {
					return err
				}
				res, err := c.GetIntake(cmd.Context(), &pb.GetIntakeRequest{CampaignId: args[0]})
				if err != nil {
					return err
				}
				return printIntake(cmd.OutOrStdout(), res.Intake)
			})
		},
	}
	f.add(c, "config", "data", "format")
	return c
}

func printCampaign(w io.Writer, c *pb.Campaign) error {
	fmt.Fprintf(w, "campaign %s: %s\n", c.CampaignId, c.State)
	n := c.Counts
	t := newTable(w).align("lr")
	if c.Rejected > 0 {
		t.row("  rows read", count(c.Rows))
		t.row("  rejected", count(c.Rejected))
	}
	for _, row := range []struct {
		state string
		n     uint64
	}{
		{"loaded", n.Loaded}, {"pending", n.Pending}, {"delivered", n.Delivered}, {"deferred", n.Deferred}, {"bounced", n.Bounced},
		{"expired", n.Expired}, {"suppressed", n.Suppressed}, {"cancelled", n.Cancelled}, {"uncertain", n.Uncertain},
	} {
		if row.n > 0 || row.state == "loaded" {
			t.row("  "+row.state, count(row.n))
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	if c.OpensAt != nil && c.StartAt == nil {
		fmt.Fprintf(w, "it goes on when its window opens, at %s\n", moment(c.OpensAt.AsTime()))
	}
	if c.StartAt != nil {
		fmt.Fprintf(w, "it begins at %s; at once with: penstock campaign start %s --at now\n", moment(c.StartAt.AsTime()), c.CampaignId)
	}
	if c.Forecast != nil {
		printForecast(w, c.Forecast, time.Now())
	}
	for _, site := range c.RestingSites {
		fmt.Fprintf(w, "site %s refuses it and is left alone for a while\n", site)
	}
	return printPauses(w, c.Pauses)
}

// printPauses writes a line for each pause.
func printPauses(w io.Writer, all []*pb.Pause) error {
	for _, p := range all {
		what := "everything"
		switch {
		case p.CampaignId != "" && p.Site != "":
			what = "campaign " + p.CampaignId + " at site " + p.Site
		case p.CampaignId != "":
			what = "campaign " + p.CampaignId
		case p.Site != "":
			what = "site " + p.Site
		case p.Source != "":
			what = "source " + p.Source
		}
		line := fmt.Sprintf("%s is paused by %s since %s", what, p.By, moment(p.Since.AsTime()))
		if p.Reason != "" {
			line += ": " + oneLine.Replace(p.Reason)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// printResumed writes what is still paused, or that nothing is.
func printResumed(w io.Writer, what string, left []*pb.Pause) error {
	if len(left) > 0 {
		return printPauses(w, left)
	}
	_, err := fmt.Fprintf(w, "%s is no longer paused\n", what)
	return err
}

// person is who pauses and resumes.
type person struct {
	by, why string
	force   bool
}

func (p *person) pauses(c *cobra.Command) {
	c.Flags().StringVar(&p.why, "why", "", "the `reason`, for people")
	p.is(c)
}

func (p *person) resumes(c *cobra.Command) {
	c.Flags().BoolVar(&p.force, "force", false, "take back the pauses of others, too")
	p.is(c)
}

func (p *person) is(c *cobra.Command) {
	c.Flags().StringVar(&p.by, "by", whoami(), "`who` does it")
}

// whoami is the user's name on this machine.
func whoami() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}
