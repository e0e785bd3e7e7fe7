package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func newAudit(f *flags) *cobra.Command {
	req := &pb.ListAuditRequest{}
	limit := 0
	c := &cobra.Command{
		Use:   "audit",
		Short: "List who changed what and when, the latest first",
		Long: `Every change is written to audit.log in the data directory before it is made,
and its result behind it: who (a token's or certificate's name, or the user at
the socket), from where, what was asked for, and what came of it. A change
without a result was cut short by the end of the process, or runs still.`,
		Example: `  penstock audit --limit 20
  penstock audit --who ci --method Campaign --format json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.formatIs("table", "json", "csv"); err != nil {
				return err
			}
			if limit < 1 {
				return mistake("--limit %d: want 1 or more", limit)
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				all := &pb.ListAuditResponse{}
				req.PageToken = ""
				for left := limit; left > 0; left = limit - len(all.Entries) {
					req.PageSize = uint32(min(left, 1000))
					res, err := c.ListAudit(cmd.Context(), req)
					if err != nil {
						return err
					}
					all.Entries = append(all.Entries, res.Entries...)
					if req.PageToken = res.NextPageToken; req.PageToken == "" {
						break
					}
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), all)
				}
				return f.printRows(cmd, []string{"id", "time", "who", "role", "via", "from", "method", "request", "result", "message"}, len(all.Entries), func(i int, at func(time.Time) string) []string {
					e := all.Entries[i]
					return []string{
						strconv.FormatUint(e.Id, 10), at(e.Time.AsTime()), e.Who, e.Role, e.Via, e.Peer, e.Method, e.Request, e.Result, e.Message,
					}
				})
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 100, "the most changes")
	c.Flags().StringVar(&req.Who, "who", "", "only those of this `name`")
	c.Flags().StringVar(&req.Method, "method", "", "only those whose method has this `text` in its name")
	f.add(c, "config", "data", "format")
	c.Flags().Lookup("format").Usage = "output `format`: table, json or csv"
	return c
}
