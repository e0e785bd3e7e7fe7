package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// sending is the send command with its flags.
type sending struct {
	*flags
	last      time.Duration
	untilIdle bool
	test      string
	row       uint64
	stream    bool
	usage     usage
}

func newSend(f *flags) *cobra.Command {
	s := &sending{flags: f}
	c := &cobra.Command{
		Use:   "send CAMPAIGN.yaml",
		Short: "Load and send a campaign, show progress, print the report; run it again to continue",
		Long: `Load a campaign and send it. Sending is bounded by what each destination bears.

It can be stopped at any time, by a signal or by pulling the plug: run it again,
and it goes on where it was. While it runs, report, recipient, export, rejects,
verify and backup work on the same data directory. On one that penstock serve
holds, the campaign is handed to that, and watched: a signal ends the watching and
not the campaign.

With --stream the first messages leave while the file is still being read. A
mistake further down, such as a damaged file, is then found when many have been
sent; and a load that was cut short goes on where it was, with the flag or
without.

Exit codes:
  0  every recipient has a final outcome
  1  something failed; what was recorded is intact
  2  the campaign or the configuration is wrong; nothing was sent
  3  stopped with recipients pending or deferred; nothing is lost`,
		Example: `  penstock send campaign.yaml
  penstock send campaign.yaml --for 2h
  penstock send campaign.yaml --test me@example.com --row 7`,
		Args: takes("CAMPAIGN.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args[0]) },
	}
	f.add(c, "config", "data", "dns", "format", "quiet", "log-level")
	durationVar(c.Flags(), &s.last, "for", "stop in order after this `duration`, such as 90m")
	c.Flags().BoolVar(&s.untilIdle, "until-idle", false, "return when nothing is due or in flight")
	c.Flags().BoolVar(&s.stream, "stream", false, "send the first rows while the others are being loaded; CSV files only")
	c.Flags().StringVar(&s.test, "test", "", "send one message to this `address` only; nothing is recorded")
	c.Flags().Uint64Var(&s.row, "row", 1, "the row that --test is rendered from")
	c.Flags().StringVar(&s.usage.path, "stats", "", "write what this process used to a `file`, as JSON, for benchmarks")
	return c
}

func (s *sending) run(cmd *cobra.Command, path string) (err error) {
	ctx := cmd.Context()
	if err := s.formatIs("table", "json"); err != nil {
		return err
	}
	p, err := s.prepare(path)
	if err != nil {
		return err
	}
	cfg, c := p.config, p.campaign
	if !s.quiet {
		printProblems(os.Stderr, p.warnings)
	}
	log, closeLog, err := newLog(cfg.Log, os.Stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	if s.quiet {
		log = slog.New(quietHandler{log.Handler()})
	}
	if s.test != "" {
		return s.sendTest(cmd, cfg, c, log)
	}
	return s.send(ctx, cmd, cfg, c, log)
}

// send is the main job.
func (s *sending) send(ctx context.Context, cmd *cobra.Command, cfg *config.Config, c *campaign.Campaign, log *slog.Logger) (err error) {
	var e *engine.Engine
	if err := whileHeld(ctx, cfg.Data, func() (err error) {
		e, err = engine.Open(cfg, log)
		return err
	}); err != nil {
		if isHeldByAnother(ctx, cfg, err) {
			return s.handOver(ctx, cmd, cfg, c.Path, err)
		}
		return err
	}
	ended := false
	drain := func() error {
		ended = true
		ctx, cancel := context.WithTimeout(context.Background(), cfg.SMTP.Drain)
		defer cancel()
		return e.Drain(ctx)
	}
	defer func() {
		if !ended {
			_ = drain() // the error that led here says more
		}
		err = errors.Join(err, e.Close())
	}()
	listener, err := control.Listen(cfg.Data)
	if err != nil {
		return err
	}
	server := control.Steer(listener, e)
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		server.Close(ctx)
	}()

	s.usage.begin()
	loading, done := s.loading()
	loaded, stream, err := s.load(ctx, e, c, loading)
	done()
	if err != nil {
		if ctx.Err() != nil {
			if !s.quiet {
				fmt.Fprintln(os.Stderr, "stopped before anything was sent; the same command loads again or goes on")
			}
			return &exit{code: exitStopped}
		}
		return err
	}
	if stream != nil {
		defer func() { err = errors.Join(err, stream.Close()) }()
	}
	s.usage.loaded()
	run, err := e.Start(ctx, loaded)
	if err != nil {
		return err
	}
	shown := newDisplay(os.Stderr, e, s.quiet)
	finished, waitErr := s.wait(ctx, e, run, stream)
	s.usage.sent()
	shown.stop()
	if !finished && !s.quiet {
		fmt.Fprintln(os.Stderr, "stopping: what is on the wire finishes; a signal ends it at once")
	}
	if err := errors.Join(waitErr, drain()); err != nil {
		return err
	}
	if run.Done() {
		finished = true
	}
	if err := s.usage.write(e, loaded.Totals().Loaded); err != nil {
		return err
	}
	if !s.quiet {
		if err := s.printFinal(cmd, e, loaded.Name()); err != nil {
			return err
		}
	}
	if stream != nil && stream.Err() != nil {
		return stream.Err()
	}
	if !finished {
		return s.stopped(loaded)
	}
	return nil
}

// load brings the campaign into the ledger; with a stream only its first rows,
// also where an earlier one was cut short.
func (s *sending) load(ctx context.Context, e *engine.Engine, c *campaign.Campaign, shown engine.LoadProgress) (*ledger.Campaign, *engine.Stream, error) {
	if !s.stream {
		loaded, err := e.Load(ctx, c, os.Stdin, shown)
		if !errors.Is(err, engine.ErrPartly) {
			return loaded, nil, err
		}
	}
	return e.Stream(ctx, c, nil)
}

// stopped says how to go on.
func (s *sending) stopped(c *ledger.Campaign) error {
	if counts, err := c.Counts(); err == nil && !s.quiet {
		fmt.Fprintf(os.Stderr, "stopped: %s recipients are left, nothing is lost; the same command continues\n",
			count(counts[ledger.Pending]+counts[ledger.Deferred]))
	}
	return &exit{code: exitStopped}
}

// wait returns when the campaign is finished, or sending is to stop.
func (s *sending) wait(ctx context.Context, e *engine.Engine, run *engine.Run, stream *engine.Stream) (finished bool, err error) {
	if s.last > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.last)
		defer cancel()
	}
	var idle <-chan struct{}
	if s.untilIdle {
		idle = run.Idle()
	}
	var read <-chan struct{}
	if stream != nil {
		read = stream.Done()
	}
	for {
		select {
		case <-run.Finished():
			return true, nil
		case <-idle:
			return false, nil
		case <-ctx.Done():
			return false, nil
		case err := <-e.Fatal():
			return false, err
		case <-read:
			read = nil
			if stream.Err() != nil {
				// The campaign cannot end: what was loaded is sent, though.
				s.warn(stream.Err())
				idle = run.Idle()
			}
		}
	}
}

func (s *sending) warn(err error) {
	if !s.quiet {
		fmt.Fprintf(os.Stderr, "%v; what was loaded before is sent\n", err)
	}
}

// loading shows how a load goes, now and then; on a terminal in one line, which
// done clears away.
func (s *sending) loading() (shown engine.LoadProgress, done func()) {
	if s.quiet {
		return nil, func() {}
	}
	last, written := time.Now(), false
	format, every, done := "loading: %s rows, %s rejected\n", linesEvery, func() {}
	if isTerminal(os.Stderr) {
		format, every = "\rloading: %s rows, %s rejected\x1b[K", liveEvery
		done = func() {
			if written {
				fmt.Fprint(os.Stderr, "\r\x1b[K")
			}
		}
	}
	return func(rows, rejected uint64) {
		if time.Since(last) >= every {
			last, written = time.Now(), true
			fmt.Fprintf(os.Stderr, format, count(rows), count(rejected))
		}
	}, done
}

func (s *sending) printFinal(cmd *cobra.Command, e *engine.Engine, id string) error {
	client := control.Local(e.Ledger())
	defer client.Close()
	// The user's context may have ended: that is why the report is printed now.
	res, err := client.GetReport(context.WithoutCancel(cmd.Context()), &pb.GetReportRequest{CampaignId: id})
	if err != nil {
		return err
	}
	return printReport(cmd.OutOrStdout(), res.ReportJson, s.format)
}

// quietHandler lets errors through alone.
type quietHandler struct{ slog.Handler }

func (h quietHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.Handler.Enabled(ctx, level)
}
