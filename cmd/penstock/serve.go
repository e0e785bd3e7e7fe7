package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/control"
	"github.com/penstock-mail/penstock/engine/intake"
	"github.com/penstock-mail/penstock/engine/problem"
)

// answersFor is how long calls on the socket may go on when the process ends.
const answersFor = 2 * time.Second

// closesFor is what the ledger may need to close: its last commits.
const closesFor = 10 * time.Second

func newServe(f *flags) *cobra.Command {
	var monitors string
	c := &cobra.Command{
		Use:   "serve [CAMPAIGN.yaml]...",
		Short: "Send many campaigns at once until told to stop, steered through a socket",
		Long: `Send every campaign of the data directory that is not finished, and those named,
side by side, until a signal comes. It goes on by itself where another process
was stopped or killed.

Campaigns and sites are paused, resumed and cancelled while it runs; see
penstock campaign and penstock site. It listens on penstock.sock in the data
directory, which is its owner's alone. There, and at the address of --monitors,
are /metrics in the Prometheus format, /healthz and /readyz, too:

  curl --unix-socket penstock-data/penstock.sock http://localhost/metrics

SIGHUP has it reload, as penstock server reload does. SIGTERM and SIGINT end it
in order: what is on the wire finishes, for as long as
smtp.drain says; a second signal ends it at once.

Exit codes:
  0  ended by a signal; nothing is lost
  1  something failed; what was recorded is intact
  2  a campaign or the configuration is wrong`,
		Example: `  penstock serve
  penstock serve spring.yaml autumn.yaml --data /var/lib/penstock`,
		Args: takes("[CAMPAIGN.yaml]..."),
		RunE: func(cmd *cobra.Command, args []string) error { return f.serve(cmd.Context(), monitors, args) },
	}
	c.Flags().StringVar(&monitors, "monitors", "", "loopback `host:port` for /metrics, /healthz and /readyz, such as 127.0.0.1:9464")
	f.add(c, "config", "data", "dns", "quiet", "log-level")
	return c
}

func (f *flags) serve(ctx context.Context, monitors string, paths []string) (err error) {
	cfg, err := f.load()
	if err != nil {
		return err
	}
	// All files are read before anything is sent.
	var named []*campaign.Campaign
	for _, path := range paths {
		p, err := f.prepare(path)
		if err != nil {
			return err
		}
		if !f.quiet {
			printProblems(os.Stderr, p.warnings)
		}
		named = append(named, p.campaign)
	}
	level := new(slog.LevelVar)
	log, closeLog, err := newLogAt(level, cfg.Log, os.Stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	if f.quiet {
		log = slog.New(quietHandler{log.Handler()})
	}
	lock, err := control.ReadLock(cfg.Serve)
	if err != nil {
		return mistake("%w", err)
	}
	var reached net.Listener
	if cfg.Serve.Listen != "" {
		if reached, err = control.ListenTCP(cfg.Serve); err != nil {
			if control.Answers(ctx, cfg.Data) {
				return fmt.Errorf("the data directory %s is held by another process, which answers already: penstock server info", cfg.Data)
			}
			return err
		}
		defer reached.Close() // once more does nothing
	}
	var watched net.Listener
	if monitors != "" {
		if watched, err = control.ListenLoopback(monitors); err != nil {
			return mistake("--monitors: %w", err)
		}
		defer watched.Close() // once more does nothing
	}
	return serve(ctx, &serving{config: cfg, read: f.read, log: log, level: level, named: named, lock: lock, reached: reached, watched: watched})
}

// serving is what serve needs.
type serving struct {
	config *config.Config
	// read reads the configuration again.
	read  func() (*config.Config, problem.List)
	log   *slog.Logger
	level *slog.LevelVar
	named []*campaign.Campaign
	// lock is what callers over TCP are asked for.
	lock *control.Lock
	// reached, if any, is where the control plane listens beside the socket, and
	// watched where monitors ask.
	reached, watched net.Listener
}

// serve sends until ctx ends, or the ledger fails.
func serve(ctx context.Context, s *serving) (err error) {
	cfg, log := s.config, s.log
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var e *engine.Engine
	if err := whileHeld(ctx, cfg.Data, func() (err error) {
		e, err = engine.Open(cfg, log)
		return err
	}); err != nil {
		return err
	}
	d := newHost(s, e)
	drain := sync.OnceFunc(func() {
		within := d.drainTime()
		serviceStops(log, within+answersFor+closesFor)
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		err = errors.Join(err, e.Drain(ctx))
	})
	defer func() {
		drain()
		err = errors.Join(err, e.Close())
	}()
	arrivals, err := intake.Open(e, cfg, log)
	if err != nil {
		return err
	}
	defer arrivals.Close()
	listener, err := control.Listen(cfg.Data)
	if err != nil {
		return err
	}
	server := control.Start(control.Options{
		Engine: e, Intake: arrivals, Process: d, Door: d.door, Streams: cfg.Serve.Streams, StreamsEach: cfg.Serve.StreamsPerClient, Log: log,
	})
	d.server = server
	server.Answer(listener)
	switch {
	case s.reached == nil:
	case cfg.Serve.TLS.Cert != "":
		server.AnswerTLS(s.reached)
	default:
		server.Answer(s.reached)
	}
	servers := []*control.Server{server}
	if s.watched != nil {
		servers = append(servers, control.Observe(s.watched, e))
	}
	defer func() {
		// Under way are questions, and changes that wait for the disk.
		answers, cancel := context.WithTimeout(context.Background(), answersFor)
		defer cancel()
		for _, server := range servers {
			server.Close(answers)
		}
	}()
	// Who asks meanwhile is told that it drains.
	defer drain()
	log.Info("serving", "data", cfg.Data, "socket", control.SocketName, "listen", cfg.Serve.Listen)
	hangups := hearHangups()
	serviceReady(log)
	var watchdog sync.WaitGroup // and who heeds SIGHUP
	// Progress takes the locks that everything else needs.
	watchdog.Go(func() { keepWatched(ctx, log, func() { e.Progress(1) }) })
	watchdog.Go(func() { d.heedHangups(ctx, hangups) })
	defer func() { cancel(); watchdog.Wait() }()
	switch err := begin(ctx, e, s.named); {
	case ctx.Err() != nil:
		// It was stopped while it loaded: the same command loads again.
	case err != nil:
		return err
	}
	select {
	case <-ctx.Done():
		log.Info("stopping: what is on the wire finishes; a second signal ends it at once")
		return nil
	case <-d.drain:
		log.Info("draining: what is on the wire finishes; a signal ends it at once")
		return nil
	case err := <-e.Fatal():
		return err
	}
}

// begin takes up what is unfinished, and the campaigns named.
func begin(ctx context.Context, e *engine.Engine, named []*campaign.Campaign) error {
	if err := e.Continue(ctx); err != nil {
		return err
	}
	for _, c := range named {
		loaded, err := e.Load(ctx, c, os.Stdin, nil)
		if err != nil {
			return err
		}
		if !loaded.Totals().Finished.IsZero() {
			continue
		}
		if _, err := e.Start(ctx, loaded); err != nil {
			return fmt.Errorf("campaign %s: %w", c.ID, err)
		}
	}
	return nil
}
