package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func newSource(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "source",
		Short: "List, pause and limit the addresses that are sent from",
		Long: `A source is a local address and the EHLO name that belongs to it, as penstock.yaml
names them; "default" when it names none.`,
		Args: commands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newSourceList(f), newSourceShow(f), newSourcePause(f), newSourceResume(f), newSourceLimit(f), newSourceFlush(f), newSourceForget(f))
	return c
}

func newSourceList(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the sources of the process that sends",
		Args:  takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.formatIs("table", "json", "csv"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.ListSources(cmd.Context(), &pb.ListSourcesRequest{})
				switch {
				case err != nil:
					return err
				case f.format == "json":
					return printJSON(cmd.OutOrStdout(), res)
				case f.format == "csv":
					return csvSources(cmd.OutOrStdout(), res.Sources)
				}
				t := newTable(cmd.OutOrStdout(), "SOURCE", "ADDRESS", "EHLO", ">CONNECTIONS", ">IN FLIGHT", ">RATE", ">SITES", ">BACKING OFF", "STATE")
				for _, s := range res.Sources {
					t.row(s.Source, orAny(s.Address), s.Hello, count(s.Connections), count(s.InFlight), perSecond(s.Rate),
						count(s.Sites), count(s.BackingOff), sourceState(s))
				}
				return t.flush()
			})
		},
	}
	f.add(c, "config", "data", "format")
	return c
}

func csvSources(w io.Writer, all []*pb.Source) error {
	row, flush := csvTable(w, "source", "address", "hello", "connections", "reserved", "in_flight", "rate", "sites", "backing_off", "paused")
	number := func(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
	for _, s := range all {
		if err := row(s.Source, s.Address, s.Hello, number(s.Connections), number(s.Reserved), number(s.InFlight), decimal(s.Rate),
			number(s.Sites), number(s.BackingOff), strconv.FormatBool(len(s.Pauses) > 0)); err != nil {
			return err
		}
	}
	return flush()
}

func orAny(address string) string {
	if address == "" {
		return "any"
	}
	return address
}

// sourceState is the one thing to know of a source.
func sourceState(s *pb.Source) string {
	switch {
	case len(s.Pauses) > 0:
		return "paused by " + s.Pauses[0].By
	case s.Limits != nil:
		return "limited"
	}
	return ""
}

func newSourceShow(f *flags) *cobra.Command {
	req := &pb.GetSourceRequest{}
	c := &cobra.Command{
		Use:   "show SOURCE",
		Short: "Show how a source stands, site by site",
		Args:  takes("SOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			req.Source = args[0]
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.GetSource(cmd.Context(), req)
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), res)
				}
				return printSource(cmd.OutOrStdout(), res)
			})
		},
	}
	c.Flags().Uint32Var(&req.Limit, "limit", 100, "the most sites, 1 to 1,000")
	f.add(c, "config", "data", "format")
	return c
}

func printSource(w io.Writer, r *pb.GetSourceResponse) error {
	s := r.Source
	t := newTable(w).align("ll")
	t.row("source", s.Source)
	t.row("address", orAny(s.Address))
	t.row("EHLO", s.Hello)
	t.row("connections", count(s.Connections)+" open at "+numbered(s.Sites, "site")+", "+count(s.InFlight)+" in flight")
	t.row("rate", perSecond(s.Rate))
	if s.BackingOff > 0 {
		t.row("backing off", numbered(s.BackingOff, "site"))
	}
	if l := s.Limits; l != nil {
		t.row("limited to", limitsOf(&pb.SiteLimits{Connections: l.Connections, MessageRate: l.MessageRate, Until: l.Until}))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := printPauses(w, s.Pauses); err != nil || len(r.Sites) == 0 {
		return err
	}
	fmt.Fprintln(w)
	sites := newTable(w, "SITE", ">OPEN", ">RATE", "AT MOST", "MESSAGES", "BACK-OFF")
	for _, at := range r.Sites {
		sites.row(at.Site, count(at.State.Connections), perSecond(at.State.Rate), bounded(at.State.ConnectionLimit, ""),
			bounded(at.State.MessageRate, "/s"), backoff(at.State.Backoff))
	}
	return sites.flush()
}

func newSourcePause(f *flags) *cobra.Command {
	p := &person{}
	c := &cobra.Command{
		Use:   "pause SOURCE",
		Short: "Have nothing go out from a source until it is resumed",
		Long: `Have nothing go out from a source until it is resumed: what is on the wire
finishes, and the other sources take its part. With all sources paused it is as if
everything was: no attempt, retry or expiry time is used up.`,
		Example: `  penstock source pause second --why "address is listed"`,
		Args:    takes("SOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.PauseSource(cmd.Context(), &pb.PauseSourceRequest{Source: args[0], By: p.by, Reason: p.why})
				if err != nil {
					return err
				}
				return printPauses(cmd.OutOrStdout(), res.Pauses)
			})
		},
	}
	p.pauses(c)
	f.add(c, "config", "data")
	return c
}

func newSourceResume(f *flags) *cobra.Command {
	p := &person{}
	c := &cobra.Command{
		Use:   "resume SOURCE",
		Short: "Take back one's own pause of a source",
		Args:  takes("SOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.ResumeSource(cmd.Context(), &pb.ResumeSourceRequest{Source: args[0], By: p.by, Force: p.force})
				if err != nil {
					return err
				}
				return printResumed(cmd.OutOrStdout(), "source "+args[0], res.Pauses)
			})
		},
	}
	p.resumes(c)
	f.add(c, "config", "data")
	return c
}

// ceiling is the flags of a command that sets limits.
type ceiling struct {
	most uint32
	rate float64
	last time.Duration
}

func (l *ceiling) add(c *cobra.Command, unset string) {
	c.Flags().Uint32Var(&l.most, "connections", 0, "the most connections, 1 to 100,000 (default: "+unset+")")
	c.Flags().Float64Var(&l.rate, "rate", 0, "messages a second (default: "+unset+")")
	durationVar(c.Flags(), &l.last, "for", "only for this `duration`, such as 2h (default: for good)")
}

// check finds what makes no sense, and gives the duration, nil for good.
func (l *ceiling) check() (*durationpb.Duration, error) {
	switch {
	case l.rate < 0 || math.IsNaN(l.rate) || math.IsInf(l.rate, 0):
		return nil, mistake("--rate %v: want messages a second, above 0", l.rate)
	case l.last < 0 || l.last > 0 && l.most == 0 && l.rate == 0:
		return nil, mistake("--for wants a duration above 0, and --connections or --rate with it")
	case l.last == 0:
		return nil, nil
	}
	return durationpb.New(l.last), nil
}

// printSet says what something is held to from now on.
func (l *ceiling) printSet(w io.Writer, what string) error {
	limits := &pb.SiteLimits{Connections: l.most, MessageRate: l.rate}
	if l.last > 0 {
		limits.Until = timestamppb.New(time.Now().Add(l.last))
	}
	text := limitsOf(limits)
	if text == "" {
		text = "what is configured"
	}
	_, err := fmt.Fprintf(w, "%s is held to %s\n", what, text)
	return err
}

func newSourceLimit(f *flags) *cobra.Command {
	l := &ceiling{}
	c := &cobra.Command{
		Use:   "limit SOURCE",
		Short: "Hold a source to limits over all sites, on top of those at each",
		Long: `Hold a source to limits over all sites, on top of those at each, also after
restarts. Without limits, earlier ones are lifted.`,
		Example: `  penstock source limit second --connections 200 --rate 50 --for 24h
  penstock source limit second`,
		Args: takes("SOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			last, err := l.check()
			if err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				if _, err := c.SetSourceLimits(cmd.Context(), &pb.SetSourceLimitsRequest{
					Source: args[0], Limits: &pb.SourceLimits{Connections: l.most, MessageRate: l.rate}, Duration: last,
				}); err != nil {
					return err
				}
				return l.printSet(cmd.OutOrStdout(), "source "+args[0])
			})
		},
	}
	l.add(c, "none")
	f.add(c, "config", "data")
	return c
}

func newSourceFlush(f *flags) *cobra.Command {
	return newSourceCall(f, "flush", "End the rests that a source was sent to, at every site", func(cmd *cobra.Command, c *control.Client, name string) error {
		_, err := c.FlushSource(cmd.Context(), &pb.FlushSourceRequest{Source: name})
		return said(cmd, err, "source %s: its rests have ended", name)
	})
}

func newSourceForget(f *flags) *cobra.Command {
	return newSourceCall(f, "forget", "Drop what was learned of a source, at every site", func(cmd *cobra.Command, c *control.Client, name string) error {
		_, err := c.ForgetSource(cmd.Context(), &pb.ForgetSourceRequest{Source: name})
		return said(cmd, err, "source %s: what was learned is forgotten", name)
	})
}

// said tells that something was done, if it was.
func said(cmd *cobra.Command, err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
	return err
}

// newSourceCall is a command that only names a source.
func newSourceCall(f *flags, name, short string, call func(*cobra.Command, *control.Client, string) error) *cobra.Command {
	c := &cobra.Command{
		Use:   name + " SOURCE",
		Short: short,
		Args:  takes("SOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd.Context(), func(c *control.Client) error { return call(cmd, c, args[0]) })
		},
	}
	f.add(c, "config", "data")
	return c
}
