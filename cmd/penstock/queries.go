package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
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
		write = func(r PT) error { return writeLine(w, r) }
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
	any := false
	for stream.Receive() {
		for _, r := range records(stream.Msg()) {
			any = true
			if err := write(r); err != nil {
				return err
			}
		}
	}
	if !any && stream.Err() != nil { // no head of a table that is none
		return stream.Err()
	}
	// What came before an error is written, too: a listing goes on behind it.
	return errors.Join(flush(), stream.Err())
}

// writeLine writes a message as a line of JSON.
func writeLine(w io.Writer, m proto.Message) error {
	text, err := asJSON.Marshal(m)
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
