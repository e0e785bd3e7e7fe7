package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// tracedContent is how much of each content --bodies shows, in octets.
const tracedContent = 64 << 10

func newTrace(f *flags) *cobra.Command {
	req := &pb.TraceRequest{}
	bodies, last := false, time.Duration(0)
	c := &cobra.Command{
		Use:   "trace",
		Short: "Show the SMTP dialogues of chosen sites, campaigns or recipients, live",
		Long: `Show the SMTP dialogues of chosen sites, hosts, sources, campaigns or recipients as
they happen, above TLS, secrets masked and contents left out unless asked for. Each
choice that is made must fit; with --campaign or --recipient only lines that belong
to a message are shown.

Each line has the time, the connection's number and host, and then > for what we
say, < for what the server answers, * for what happens to the connection.`,
		Example: `  penstock trace --site google --for 1m
  penstock trace --recipient ada@example.com --bodies
  penstock trace --campaign spring --limit 100 --format json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			if last < 0 {
				return mistake("--for wants a duration above 0, such as 1m")
			}
			if last > 0 {
				req.Duration = durationpb.New(last)
			}
			if bodies {
				req.Content = tracedContent
			}
			out := &tracePrinter{w: cmd.OutOrStdout(), json: f.format == "json", colours: coloured(cmd.OutOrStdout())}
			return f.ask(cmd.Context(), func(c *control.Client) error {
				stream, err := c.Trace(cmd.Context(), req)
				if err != nil {
					return err
				}
				defer stream.Close()
				for stream.Receive() {
					for _, line := range stream.Msg().Lines {
						if err := out.print(line); err != nil {
							return err
						}
					}
				}
				if cmd.Context().Err() != nil {
					return nil // whoever pressed Ctrl-C has seen enough
				}
				return stream.Err()
			})
		},
	}
	set := c.Flags()
	set.StringArrayVar(&req.Sites, "site", nil, "only this `site`; may be repeated, as the others")
	set.StringArrayVar(&req.Hosts, "host", nil, "only this `host`")
	set.StringArrayVar(&req.Sources, "source", nil, "only this `source`")
	set.StringArrayVar(&req.CampaignIds, "campaign", nil, "only messages of the campaign with this `id`")
	set.StringArrayVar(&req.Recipients, "recipient", nil, "only messages to this `address`")
	set.BoolVar(&bodies, "bodies", false, "show contents, the first 64 KiB of each")
	set.Uint64Var(&req.Limit, "limit", 0, "end after so many lines (default: no limit)")
	durationVar(set, &last, "for", "end after this `duration`, at most 24h (default 10m)")
	f.add(c, "config", "data", "format")
	return c
}

// coloured reports whether w is a terminal that wants colours (no-color.org).
func coloured(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isTerminal(file) && os.Getenv("NO_COLOR") == ""
}

// tracePrinter writes lines as people read them, or as JSON lines.
type tracePrinter struct {
	w             io.Writer
	json, colours bool
}

func (p *tracePrinter) print(l *pb.TraceLine) error {
	if p.json {
		text, err := asJSON.Marshal(l)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.w, "%s\n", text)
		return err
	}
	var b strings.Builder
	if l.Dropped > 0 {
		fmt.Fprintf(&b, "(%s left out: too fast to be read)\n", numbered(l.Dropped, "line"))
	}
	head := l.Time.AsTime().Local().Format("15:04:05.000") + " " + strconv.FormatUint(l.Connection, 10) + " " + l.Host + " "
	mark, colour := marks(l.Kind, l.Text)
	text := printable(l.Text)
	switch l.Kind {
	case "content":
		text = "(" + numbered(l.Size, "octet") + " of content)"
	case "note":
		if l.Address != "" {
			text += " (" + l.Address + " from " + l.Source + ")"
		}
	}
	p.line(&b, head, mark, colour, text)
	if l.Kind == "content" && l.Text != "" {
		for _, line := range strings.Split(strings.TrimSuffix(l.Text, "\r\n"), "\r\n") {
			p.line(&b, head, "|", colour, printable(line))
		}
	}
	_, err := io.WriteString(p.w, b.String())
	return err
}

// The colours of a dialogue: what we say, good answers, refusals, the rest.
const (
	cyan  = "36"
	green = "32"
	red   = "31"
	faint = "2"
)

func marks(kind, text string) (mark, colour string) {
	switch kind {
	case "client":
		return ">", cyan
	case "server":
		if strings.HasPrefix(text, "4") || strings.HasPrefix(text, "5") {
			return "<", red
		}
		return "<", green
	case "content":
		return ">", faint
	}
	return "*", faint
}

func (p *tracePrinter) line(b *strings.Builder, head, mark, colour, text string) {
	if p.colours {
		fmt.Fprintf(b, "\x1b[%sm%s\x1b[0m\x1b[%sm%s %s\x1b[0m\n", faint, head, colour, mark, text)
		return
	}
	b.WriteString(head + mark + " " + text + "\n")
}

// printable keeps what a server or a message says from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r >= ' ' && (r < 0x7f || r > 0x9f) {
			return r
		}
		return '?'
	}, text)
}
