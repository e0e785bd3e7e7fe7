package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func newEvents(f *flags) *cobra.Command {
	req := &pb.StreamEventsRequest{}
	c := &cobra.Command{
		Use:   "events",
		Short: "Show what happened: attempts, rejected rows, changes of campaigns and sites",
		Long: `Show the event log, the oldest event first: every attempt with its outcome, every
row that was not loaded, and every change of a campaign or site. An event keeps
its number for ever; with --after NUMBER only those behind it are shown, so that
whoever stores the last number misses none.

With --follow it goes on with what happens, until it is interrupted; it needs a
process that sends (penstock serve or send), and waits for the next one when
that ends. Events are kept as long as events.keep and events.max_size say.

An event must match one value of each flag that is given.`,
		Example: `  penstock events --campaign spring-2026 --state bounced
  penstock events --follow --kind site,campaign
  penstock events --follow --after 1204711 --format json >> events.jsonl`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			p := &eventPrinter{w: bufio.NewWriter(cmd.OutOrStdout()), errs: cmd.ErrOrStderr(), format: f.format, cursor: req.Cursor}
			if req.Follow {
				return f.followEvents(cmd.Context(), req, p)
			}
			err := f.ask(cmd.Context(), func(c *control.Client) error { return p.stream(cmd.Context(), c, req) })
			return p.end(cmd.Context(), err)
		},
	}
	set := c.Flags()
	set.BoolVarP(&req.Follow, "follow", "f", false, "go on with what happens")
	set.StringVar(&req.Cursor, "after", "", "only events behind this `number`; now: only those to come")
	set.StringSliceVar(&req.Kinds, "kind", nil, "only these `kinds`: "+strings.Join(ledger.EventKindNames(), ", "))
	set.StringSliceVar(&req.States, "state", nil, "only what ended so: `outcomes` of attempts, rejected, or changes such as paused")
	set.StringSliceVar(&req.CampaignIds, "campaign", nil, "only these campaigns, by their `id`")
	set.StringSliceVar(&req.Sites, "site", nil, "only these `sites`")
	set.StringSliceVar(&req.Domains, "domain", nil, "only recipients of these `domains`")
	set.BoolVar(&req.SkipMissing, "skip-missing", false, "begin with the oldest event when those behind --after are no longer kept")
	f.add(c, "config", "data", "format")
	set.Lookup("format").Usage = "output `format`: table or json (JSON lines)"
	offer(c, "kind", ledger.EventKindNames()...)
	offer(c, "state", ledger.EventWords()...)
	return c
}

// eventPrinter writes events as they come, and remembers how far it is.
type eventPrinter struct {
	w      *bufio.Writer
	errs   io.Writer
	format string
	cursor string
	any    bool // a response has come
}

// stream prints what comes, until it ends.
func (p *eventPrinter) stream(ctx context.Context, c *control.Client, req *pb.StreamEventsRequest) error {
	stream, err := c.StreamEvents(ctx, req)
	if err != nil {
		return err
	}
	defer stream.Close()
	for stream.Receive() {
		m := stream.Msg()
		p.any = true
		if m.Missing > 0 {
			fmt.Fprintf(p.errs, "penstock: %s no longer kept\n", numbered(m.Missing, "event"))
		}
		for _, e := range m.Events {
			if err := p.print(e); err != nil {
				return err
			}
		}
		// What is behind the cursor has been handed on.
		if err := p.w.Flush(); err != nil {
			return err
		}
		p.cursor = m.Cursor
	}
	return stream.Err()
}

// end says where to go on. An interruption is the usual end of --follow.
func (p *eventPrinter) end(ctx context.Context, err error) error {
	err = errors.Join(err, p.w.Flush())
	if ctx.Err() != nil {
		err = nil
	}
	if p.any && p.cursor != "" {
		fmt.Fprintf(p.errs, "go on with: --after %s\n", p.cursor)
	}
	return err
}

func (p *eventPrinter) print(e *pb.Event) error {
	if p.format == "json" {
		return writeLine(p.w, e)
	}
	who := e.CampaignId
	if who == "" {
		who = "-"
	}
	_, err := fmt.Fprintf(p.w, "%8d  %s  %s  %s  %s\n", e.Id, moment(e.Time.AsTime()),
		runewidth.FillRight(e.State, 10), runewidth.FillRight(who, 16), oneLine.Replace(strings.Join(about(e), ", ")))
	return err
}

// about is what a person wants to know of an event.
func about(e *pb.Event) (parts []string) {
	add := func(format string, value any, known bool) {
		if known {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	switch d := e.Detail.(type) {
	case *pb.Event_Attempt:
		to := e.Recipient.Address
		if to == "" {
			to = fmt.Sprintf("row %d of %s (erased)", e.Recipient.Seq, e.Recipient.Domain)
		}
		parts = append(parts, to)
		add("at %s", d.Attempt.Host, d.Attempt.Host != "")
		reply := replyLine(int(d.Attempt.Code), d.Attempt.EnhancedCode, d.Attempt.Text)
		add("%s", reply, reply != "")
		if e.Recipient.Due != nil {
			add("again at %s", moment(e.Recipient.Due.AsTime()), true)
		}
	case *pb.Event_Reject:
		parts = append(parts, fmt.Sprintf("%s:%d", d.Reject.File, d.Reject.Line), d.Reject.Reason)
		add("%s", d.Reject.Detail, d.Reject.Detail != "")
		add("%q", d.Reject.Address, d.Reject.Address != "")
	case *pb.Event_Change:
		c := d.Change
		switch e.Kind {
		case "site":
			add("site %s", e.Site, true)
		case "server":
			add("%s", "everything", true)
		}
		add("source %s", c.Source, c.Source != "")
		add("by %s", c.By, c.By != "")
		add("%s", c.Reason, c.Reason != "")
		add("%s", "others hold it still", c.StillPaused)
		add("%d connections", c.Connections, c.Connections > 0)
		add("%g/s", c.MessageRate, c.MessageRate > 0)
		add("%d rows", c.Rows, c.Rows > 0)
		add("%d rejected", c.Rejected, c.Rejected > 0)
		add("%d suppressed", c.Suppressed, c.Suppressed > 0)
		if c.Until != nil {
			add("until %s", moment(c.Until.AsTime()), true)
		}
	}
	return parts
}

// tryAgain is how long --follow waits for the next process that sends.
const tryAgain = 500 * time.Millisecond

// followEvents prints what happens, from process to process: it asks whoever
// holds the data directory, and never holds it itself.
func (f *flags) followEvents(ctx context.Context, req *pb.StreamEventsRequest, p *eventPrinter) error {
	cfg, err := f.load()
	if err != nil {
		return err
	}
	waiting := false
	for {
		var err error
		if control.Answers(ctx, cfg.Data) {
			waiting = false
			c := control.Dial(cfg.Data)
			err = p.stream(ctx, c, req)
			c.Close()
		} else if !p.any {
			return fmt.Errorf("nothing is being sent from %s: start penstock serve, or leave --follow out", cfg.Data)
		}
		if ctx.Err() != nil || !control.Lost(err) {
			return p.end(ctx, control.Cause(err))
		}
		if !waiting {
			fmt.Fprintln(p.errs, "penstock: the process that sends has ended; waiting for the next")
			waiting = true
		}
		req.Cursor = p.cursor
		select {
		case <-time.After(tryAgain):
		case <-ctx.Done():
			return p.end(ctx, nil)
		}
	}
}
