package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func newReport(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "report ID",
		Short: "Show a campaign's report, at any time, also while it is being sent",
		Args:  takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.GetReport(cmd.Context(), &pb.GetReportRequest{CampaignId: args[0]})
				if err != nil {
					return err
				}
				return printReport(cmd.OutOrStdout(), res.ReportJson, f.format)
			})
		},
	}
	f.add(c, "config", "data", "format")
	return c
}

func newRecipient(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "recipient ID ADDRESS",
		Short: "Show what became of one address: every attempt, host, reply and time",
		Args:  takes("ID", "ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				res, err := c.GetRecipient(cmd.Context(), &pb.GetRecipientRequest{CampaignId: args[0], Address: args[1]})
				if err != nil {
					return err
				}
				if f.format == "json" {
					return printJSON(cmd.OutOrStdout(), res)
				}
				return printRecipient(cmd.OutOrStdout(), res)
			})
		},
	}
	f.add(c, "config", "data", "format")
	return c
}

func newExport(f *flags) *cobra.Command {
	var states []string
	c := &cobra.Command{
		Use:   "export ID",
		Short: "Write recipients with their state, last code and reply, as CSV or JSON lines",
		Args:  takes("ID"),
		Example: `  penstock export spring-2026 --state bounced,deferred > bounced.csv
  penstock export spring-2026 --format json | jq -r .recipient.address`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("format") {
				f.format = "csv"
			}
			if err := f.formatIs("csv", "json"); err != nil {
				return err
			}
			for _, name := range states {
				if _, ok := ledger.ParseState(name); !ok {
					return mistake("--state %s: want some of %s", name, strings.Join(ledger.StateNames(), ","))
				}
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				stream, err := c.Export(cmd.Context(), &pb.ExportRequest{CampaignId: args[0], States: states})
				if err != nil {
					return err
				}
				defer stream.Close()
				return writeStream(cmd.OutOrStdout(), f.format, stream, (*pb.ExportResponse).GetRecipients,
					[]string{"row", "address", "state", "due", "attempts", "time", "host", "code", "enhanced_code", "reply"}, exportCells)
			})
		},
	}
	c.Flags().StringSliceVar(&states, "state", nil, "only these `states`, separated by commas")
	f.add(c, "config", "data")
	c.Flags().StringVar(&f.format, "format", "csv", "output `format`: csv or json (JSON lines)")
	return c
}

func exportCells(r *pb.ExportedRecipient) []string {
	last := r.GetLast()
	cells := []string{
		strconv.FormatUint(uint64(r.Recipient.Seq), 10), r.Recipient.Address, r.Recipient.State, "",
		strconv.FormatUint(uint64(r.Attempts), 10), "", last.GetHost(), "", last.GetEnhancedCode(), last.GetText(),
	}
	if r.Recipient.Due != nil {
		cells[3] = r.Recipient.Due.AsTime().Format(timeFormat)
	}
	if last.GetTime() != nil {
		cells[5] = last.Time.AsTime().Format(timeFormat)
	}
	if last.GetCode() != 0 {
		cells[7] = strconv.FormatUint(uint64(last.Code), 10)
	}
	return cells
}

// timeFormat is RFC 3339 with milliseconds, for files.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

func newRejects(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "rejects ID",
		Short: "List the rows that were not loaded, with file, line and reason",
		Args:  takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.formatIs("table", "csv", "json"); err != nil {
				return err
			}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				stream, err := c.ListRejects(cmd.Context(), &pb.ListRejectsRequest{CampaignId: args[0]})
				if err != nil {
					return err
				}
				defer stream.Close()
				return writeStream(cmd.OutOrStdout(), f.format, stream, (*pb.ListRejectsResponse).GetRejects,
					[]string{">row", "file", ">line", "reason", "detail", "address"}, func(r *pb.Reject) []string {
						return []string{strconv.FormatUint(uint64(r.Seq), 10), r.File, strconv.FormatUint(uint64(r.Line), 10), r.Reason, r.Detail, r.Address}
					})
			})
		},
	}
	f.add(c, "config", "data", "format")
	c.Flags().Lookup("format").Usage = "output `format`: table, csv or json (JSON lines)"
	return c
}

// received is a stream of responses, each with some records.
type received[R any] interface {
	Receive() bool
	Msg() *R
	Err() error
}

// writeStream writes the records of a stream in the format asked for.
func writeStream[R, T any, PT interface {
	*T
	proto.Message
}](w io.Writer, format string, stream received[R], records func(*R) []PT, columns []string, cells func(PT) []string) error {
	var write func(PT) error
	flush := func() error { return nil }
	switch format {
	case "json":
		write = func(r PT) error {
			text, err := asJSON.Marshal(r)
			if err != nil {
				return err
			}
			var line bytes.Buffer
			// protojson varies its spaces on purpose.
			if err := json.Compact(&line, text); err != nil {
				return err
			}
			line.WriteByte('\n')
			_, err = w.Write(line.Bytes())
			return err
		}
	case "csv":
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = strings.TrimPrefix(c, ">")
		}
		row, done := csvTable(w, names...)
		write, flush = func(r PT) error { return row(cells(r)...) }, done
	default:
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = strings.ToUpper(c)
		}
		t := newTable(w, names...)
		write, flush = func(r PT) error { t.row(cells(r)...); return nil }, t.flush
	}
	for stream.Receive() {
		for _, r := range records(stream.Msg()) {
			if err := write(r); err != nil {
				return err
			}
		}
	}
	if err := stream.Err(); err != nil {
		return err
	}
	return flush()
}

// asJSON has every field, zeros too, under the names that the report's have.
var asJSON = protojson.MarshalOptions{EmitDefaultValues: true, UseProtoNames: true}

func printJSON(w io.Writer, m proto.Message) error {
	text, err := asJSON.Marshal(m)
	if err != nil {
		return err
	}
	return indented(w, text)
}

// indented writes JSON as people read it.
func indented(w io.Writer, text []byte) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(json.RawMessage(text))
}

func printRecipient(w io.Writer, r *pb.GetRecipientResponse) error {
	fmt.Fprintf(w, "%s, row %d: %s", r.Recipient.Address, r.Recipient.Seq, r.Recipient.State)
	if r.Recipient.Due != nil {
		fmt.Fprintf(w, ", to be tried again at %s", moment(r.Recipient.Due.AsTime()))
	}
	fmt.Fprintln(w)
	if len(r.Attempts) == 0 {
		fmt.Fprintln(w, "nothing happened to it yet")
	}
	for _, a := range r.Attempts {
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
