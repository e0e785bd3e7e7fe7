package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func newSiteShow(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "show SITE",
		Short: "Show all that is known of a site: limits, back-off, hosts, who waits",
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
	t.row("state", s.State)
	t.row("connections", connections(s)+", "+count(s.InFlight)+" in flight")
	t.row("rate", perSecond(s.Rate))
	t.row("to be tried", count(s.Pending)+" pending, "+count(s.Waiting)+" waiting, "+count(s.Due)+" of them due")
	t.row("delivered", count(s.Delivered))
	t.row("deferred", count(s.Deferred)+lately(s))
	t.row("bounced", count(s.Bounced))
	t.row("uncertain", count(s.Uncertain))
	if l := s.Limits; l != nil {
		t.row("limited to", limitsOf(l))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := printPauses(w, s.Pauses); err != nil {
		return err
	}
	for _, part := range []func(io.Writer, *pb.GetSiteResponse) error{printSiteBounds, printSiteHosts, printSiteBacklog, printSiteReplies} {
		if err := part(w, r); err != nil {
			return err
		}
	}
	return nil
}

func lately(s *pb.Site) string {
	if s.DeferralShare == 0 {
		return ""
	}
	return ", " + percent(s.DeferralShare) + " of the last answers"
}

func printSiteBounds(w io.Writer, r *pb.GetSiteResponse) error {
	if len(r.Site.Sources) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable(w, "SOURCE", ">OPEN", "AT MOST", "MESSAGES", "CONNECTING", "PER CONNECTION", "BACK-OFF")
	for _, s := range r.Site.Sources {
		t.row(s.Source, count(s.Connections), bounded(s.ConnectionLimit, ""), bounded(s.MessageRate, "/s"),
			bounded(s.ConnectionRate, "/s"), bounded(s.MessagesPerConnection, ""), backoff(s.Backoff))
	}
	return t.flush()
}

// bounded writes a limit and where it comes from.
func bounded(b *pb.SiteBound, unit string) string {
	if b.GetValue() == 0 {
		return "-"
	}
	text := decimal(b.Value) + unit + " (" + b.Origin
	if b.Until != nil {
		text += " until " + moment(b.Until.AsTime())
	}
	return text + ")"
}

func backoff(b *pb.SiteBackoff) string {
	if b == nil {
		return ""
	}
	text := b.Reason + " since " + moment(b.Since.AsTime())
	switch {
	case b.Resting:
		text += ", rests until " + moment(b.NextTry.AsTime())
	case b.Probing:
		text += ", tries one at a time"
	case b.NextTry != nil:
		text += ", next step " + moment(b.NextTry.AsTime())
	}
	return text
}

func printSiteHosts(w io.Writer, r *pb.GetSiteResponse) error {
	if len(r.Hosts) == 0 {
		return nil
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

func printSiteBacklog(w io.Writer, r *pb.GetSiteResponse) error {
	if len(r.Campaigns) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable(w, "CAMPAIGN", ">PENDING", ">WAITING", ">DUE")
	for _, c := range r.Campaigns {
		t.row(c.CampaignId, count(c.Pending), count(c.Waiting), count(c.Due))
	}
	return t.flush()
}

func printSiteReplies(w io.Writer, r *pb.GetSiteResponse) error {
	if len(r.Site.Replies) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable(w, "WHEN", "LAST REPLIES")
	for _, reply := range r.Site.Replies {
		t.row(moment(reply.Time.AsTime()), reply.Text)
	}
	return t.flush()
}

func limitsOf(l *pb.SiteLimits) string {
	var parts []string
	if l.Connections > 0 {
		parts = append(parts, numbered(l.Connections, "connection"))
	}
	if l.MessageRate > 0 {
		parts = append(parts, perSecond(l.MessageRate))
	}
	text := strings.Join(parts, ", ")
	if l.Until != nil {
		text += " until " + moment(l.Until.AsTime())
	}
	return text
}
