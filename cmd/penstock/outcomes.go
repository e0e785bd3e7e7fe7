package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func newExport(f *flags) *cobra.Command {
	c := f.outcomes("csv", "json")
	c.Use, c.Short = "export ID", "Write recipients with their state, last code and reply, as CSV or JSON lines"
	c.Example = `  penstock export spring-2026 --state bounced,deferred > bounced.csv
  penstock export spring-2026 --format json | jq -r .recipient.address`
	return c
}

func newCampaignOutcomes(f *flags) *cobra.Command {
	c := f.outcomes("table", "csv", "json")
	c.Use, c.Short = "outcomes ID", "List recipients with where they stand, by state, domain, site, reply or time"
	c.Example = `  penstock campaign outcomes spring-2026 --state bounced --enhanced 5.1
  penstock campaign outcomes spring-2026 --site google --code 4 --from -1h
  penstock campaign outcomes spring-2026 --limit 1000 --format json`
	return c
}

// outcomes is a command that lists recipients, in the first of the formats
// unless told otherwise.
func (f *flags) outcomes(formats ...string) *cobra.Command {
	req := &pb.ListOutcomesRequest{}
	var codes []uint
	var from, until instant
	var format string
	c := &cobra.Command{
		Args: takes("ID"),
		Long: `List recipients by domain and row, each with where it stands and its last attempt.
Each flag narrows the choice. A listing that is cut short, by --limit or by an
error, says how it goes on; who has another outcome by then is listed with the
new one if his turn is still to come.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.format = format
			if err := f.formatIs(formats...); err != nil {
				return err
			}
			for _, name := range req.States {
				if _, ok := ledger.ParseState(name); !ok {
					return mistake("--state %s: want some of %s", name, strings.Join(ledger.StateNames(), ", "))
				}
			}
			req.CampaignId, req.From, req.Until = args[0], from.stamp(), until.stamp()
			for _, code := range codes {
				req.Codes = append(req.Codes, uint32(min(code, 1<<20)))
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				stream, err := c.ListOutcomes(cmd.Context(), req)
				if err != nil {
					return err
				}
				defer stream.Close()
				bookmark := &bookmark{received: stream}
				err = writeStream(cmd.OutOrStdout(), f.format, bookmark, (*pb.ListOutcomesResponse).GetOutcomes, outcomeColumns, outcomeCells(f.format))
				if bookmark.cursor != "" {
					fmt.Fprintf(cmd.ErrOrStderr(), "penstock: there may be more; to go on: --cursor %s\n", bookmark.cursor)
				}
				return err
			})
		},
	}
	set := c.Flags()
	set.StringSliceVar(&req.States, "state", nil, "only these `states`, separated by commas")
	set.StringSliceVar(&req.Domains, "domain", nil, "only at these `domains`")
	set.StringSliceVar(&req.Sites, "site", nil, "only what these `sites` serve")
	set.UintSliceVar(&codes, "code", nil, "only with these reply `codes`, such as 550; 2, 4 or 5 for all that begin so")
	set.StringVar(&req.EnhancedCode, "enhanced", "", "only with this enhanced `code`, such as 5.1.1, or one that begins so")
	set.Var(&from, "from", "only if the last record was made at this `time` or later: 2026-04-01 09:00, -1h")
	set.Var(&until, "until", "only if the last record was made before this `time`")
	set.Uint64Var(&req.Limit, "limit", 0, "the most to list (default all)")
	set.StringVar(&req.Cursor, "cursor", "", "go on where an earlier listing said")
	f.add(c, "config", "data")
	usage := "output `format`: " + strings.Join(formats[:len(formats)-1], ", ") + " or " + formats[len(formats)-1] + " (JSON lines)"
	set.StringVar(&format, "format", formats[0], usage)
	return c
}

// bookmark remembers where a stream of outcomes could go on.
type bookmark struct {
	received[pb.ListOutcomesResponse]
	cursor string
}

func (b *bookmark) Receive() bool {
	if !b.received.Receive() {
		return false
	}
	b.cursor = b.Msg().Cursor
	return true
}

// outcomeColumns and outcomeCells are a row of the table.
var outcomeColumns = []string{">row", "address", "state", "due", ">attempts", "time", "host", ">code", "enhanced_code", "reply"}

func outcomeCells(format string) func(*pb.Outcome) []string {
	when := func(t time.Time) string { return t.Format(timeFormat) }
	if format == "table" {
		when = moment // as every table has it
	}
	return func(r *pb.Outcome) []string { return outcomeRow(r, when) }
}

func outcomeRow(r *pb.Outcome, when func(time.Time) string) []string {
	last := r.GetLast()
	cells := []string{
		strconv.FormatUint(uint64(r.Recipient.Seq), 10), r.Recipient.Address, r.Recipient.State, "",
		strconv.FormatUint(uint64(r.Attempts), 10), "", last.GetHost(), "", last.GetEnhancedCode(), last.GetText(),
	}
	if r.Recipient.Due != nil {
		cells[3] = when(r.Recipient.Due.AsTime())
	}
	if last.GetTime() != nil {
		cells[5] = when(last.Time.AsTime())
	}
	if last.GetCode() != 0 {
		cells[7] = strconv.FormatUint(uint64(last.Code), 10)
	}
	return cells
}
