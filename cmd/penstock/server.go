package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func newServer(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "server",
		Short: "Look at the process that serves, have it reload or end",
		Args:  commands,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newServerInfo(f), newServerConfig(f), newServerReload(f), newServerDrain(f))
	return c
}

func newServerInfo(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "info",
		Short: "Show its version, since when it serves and how it stands, and who you are to it",
		Args:  takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.GetInfo(cmd.Context(), &pb.GetInfoRequest{})
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), res)
				}
				you, err := c.WhoAmI(cmd.Context(), &pb.WhoAmIRequest{})
				if err != nil {
					return err
				}
				return printInfo(cmd.OutOrStdout(), res, you)
			})
		},
	}
	f.add(c, "config", "data", "format")
	return c
}

func printInfo(w io.Writer, i *pb.GetInfoResponse, you *pb.WhoAmIResponse) error {
	t := newTable(w)
	t.row("state", i.State)
	if i.NotReady != "" {
		t.row("not ready", i.NotReady)
	}
	t.row("version", strings.TrimSpace(i.Version+" "+i.Commit))
	t.row("built with", i.GoVersion)
	t.row("process", fmt.Sprintf("%d, since %s", i.ProcessId, moment(i.Started.AsTime())))
	t.row("data", i.DataDirectory)
	t.row("listens at", strings.Join(i.Listens, ", "))
	t.row("campaigns", fmt.Sprintf("%s, of which %s run", count(i.Campaigns), count(i.Running)))
	t.row("sites", count(i.Sites))
	t.row("calls", count(i.Calls))
	t.row("you are", fmt.Sprintf("%s by %s, role %s", you.Name, you.Via, you.Role))
	return t.flush()
}

func newServerConfig(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Show every setting that is in force there, and where it comes from",
		Args:  takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.formatIs("table", "json", "csv"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.GetConfig(cmd.Context(), &pb.GetConfigRequest{})
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), res)
				}
				return f.printRows(cmd, []string{"setting", "value", "from"}, len(res.Settings), func(i int, _ func(time.Time) string) []string {
					return []string{res.Settings[i].Key, res.Settings[i].Value, res.Settings[i].Origin}
				})
			})
		},
	}
	f.add(c, "config", "data", "format")
	c.Flags().Lookup("format").Usage = "output `format`: table, json or csv"
	return c
}

func newServerReload(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have it read its configuration, suppression lists and certificates again, as SIGHUP does",
		Long: `Have it read its configuration again, and the suppression lists and certificates
that it names. All of that is taken or, when something is wrong, nothing.

In force at once: limits (but for gears and domains that had none before),
suppress, log.level, serve.clients and serve.tls. The others need a restart, and
it says so.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.Reload(cmd.Context(), &pb.ReloadRequest{})
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), res)
				}
				for _, w := range res.Warnings {
					cmd.PrintErrln(w)
				}
				return printReloaded(cmd.OutOrStdout(), res)
			})
		},
	}
	f.add(c, "config", "data", "format")
	return c
}

func printReloaded(w io.Writer, r *pb.ReloadResponse) error {
	for _, line := range r.Reread {
		fmt.Fprintln(w, "read again:", line)
	}
	value := func(s string) string {
		if s == "" {
			return "(unset)"
		}
		return s
	}
	for _, c := range r.Applied {
		fmt.Fprintf(w, "in force: %s: %s, was %s\n", c.Key, value(c.Is), value(c.Was))
	}
	for _, c := range r.Restart {
		fmt.Fprintf(w, "needs a restart: %s: %s, is %s still\n", c.Key, value(c.Is), value(c.Was))
	}
	if len(r.Applied)+len(r.Restart) == 0 {
		fmt.Fprintln(w, "no setting has changed")
	}
	return nil
}

func newServerDrain(f *flags) *cobra.Command {
	var within time.Duration
	c := &cobra.Command{
		Use:   "drain",
		Short: "Have it end in order, as SIGTERM does: what is on the wire finishes",
		Args:  takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req := &pb.DrainRequest{}
			if cmd.Flags().Changed("within") {
				req.Within = durationpb.New(within)
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				if _, err := c.Drain(cmd.Context(), req); err != nil {
					return err
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "it drains: nothing new begins, and it ends when what is on the wire has finished")
				return err
			})
		},
	}
	durationVar(c.Flags(), &within, "within", "how long that may take (default: as smtp.drain says)")
	f.add(c, "config", "data")
	return c
}
