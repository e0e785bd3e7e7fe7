package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/penstock-mail/penstock/engine/access"
	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/document"
)

func newToken(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke the tokens that programs call with",
		Long: `Whoever calls over TCP shows a token, or a client certificate. A token has a
name, which is in the audit log, and a role:

  read     sees everything: campaigns, recipients, sites
  operate  also steers: starts, pauses, limits, cancels
  admin    also rules the process: backups, reload, drain, tokens, the audit log

The Unix socket takes none: who can open it is admin.`,
		Args: commands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newTokenCreate(f), newTokenList(f), newTokenRevoke(f))
	return c
}

func newTokenCreate(f *flags) *cobra.Command {
	var name, role, expires string
	c := &cobra.Command{
		Use:   "create",
		Short: "Make a token and print it, this once: only its hash is kept",
		Example: `  penstock token create --name dashboard --role read
  penstock token create --name ci --role operate --expires 90d > ci.token`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			req := &pb.CreateTokenRequest{Name: name, Role: role}
			if expires != "" {
				d, ok := document.ParseDuration(expires)
				if !ok || d < time.Second {
					return mistake("--expires %s: want a time span such as 12h or 90d", expires)
				}
				req.ValidFor = durationpb.New(d)
			}
			if name == "" || role == "" {
				return mistake("a token wants --name and --role (%s)", strings.Join(access.Roles(), ", "))
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.CreateToken(cmd.Context(), req)
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), res)
				}
				until := "until it is revoked"
				if res.Token.Expires != nil {
					until = "until " + moment(res.Token.Expires.AsTime())
				}
				// The secret alone goes to standard output, so that it can be redirected.
				fmt.Fprintf(cmd.ErrOrStderr(), "token %s with role %s is good %s; it is not shown again:\n", res.Token.Name, res.Token.Role, until)
				_, err = fmt.Fprintln(cmd.OutOrStdout(), res.Secret)
				return err
			})
		},
	}
	c.Flags().StringVar(&name, "name", "", "what it is called, as in the audit log")
	c.Flags().StringVar(&role, "role", "", "its `role`: "+strings.Join(access.Roles(), ", "))
	c.Flags().StringVar(&expires, "expires", "", "how long it is good, such as 12h or 90d (default: until it is revoked)")
	f.add(c, "config", "data", "format")
	offer(c, "role", access.Roles()...)
	return c
}

func newTokenList(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the tokens that there are; what is kept of them tells no secret",
		Args:  takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.formatIs("table", "json", "csv"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.ListTokens(cmd.Context(), &pb.ListTokensRequest{})
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), res)
				}
				return f.printRows(cmd, []string{"name", "role", "created", "by", "expires"}, len(res.Tokens), func(i int, at func(time.Time) string) []string {
					t := res.Tokens[i]
					ends := ""
					if t.Expires != nil {
						ends = at(t.Expires.AsTime())
					}
					if t.Expired {
						ends += " (over)"
					}
					return []string{t.Name, t.Role, at(t.Created.AsTime()), t.CreatedBy, ends}
				})
			})
		},
	}
	f.add(c, "config", "data", "format")
	c.Flags().Lookup("format").Usage = "output `format`: table, json or csv"
	return c
}

// printRows writes a table or CSV, in which times are as RFC 3339 has them.
func (f *flags) printRows(cmd *cobra.Command, columns []string, rows int, cells func(i int, at func(time.Time) string) []string) error {
	if f.format == "csv" {
		row, flush := csvTable(cmd.OutOrStdout(), columns...)
		for i := range rows {
			if err := row(cells(i, func(t time.Time) string { return t.UTC().Format(timeFormat) })...); err != nil {
				return err
			}
		}
		return flush()
	}
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = strings.ToUpper(c)
	}
	t := newTable(cmd.OutOrStdout(), head...)
	for i := range rows {
		t.row(cells(i, moment)...)
	}
	return t.flush()
}

func newTokenRevoke(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "revoke NAME",
		Short: "End a token: the next call with it is refused, and its streams are cut",
		Args:  takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.ask(cmd.Context(), func(c *control.Client) error {
				_, err := c.RevokeToken(cmd.Context(), &pb.RevokeTokenRequest{Name: args[0]})
				return err
			})
		},
	}
	f.add(c, "config", "data")
	return c
}
