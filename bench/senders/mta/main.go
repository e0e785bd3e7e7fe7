//go:build linux

// Command mta measures a mail server as a sender: it configures one of its own
// below a directory, fills its queue with a scenario's letters, waits until all
// have been relayed to the sink, and counts the CPU of every process of it.
//
// All processes of the server are descendants of this one, which adopts those
// whose parents end (PR_SET_CHILD_SUBREAPER) and waits for each: the system then
// adds up their whole CPU, short-lived ones included. What this process itself
// spends on filling the queue is told apart (stats.Sender.Aside).
//
// With --hold the queue is filled while nothing is delivered, and the server is
// started again to empty it: two phases, each with its CPU. Otherwise messages
// are relayed as they come.
//
// The server's own files, its log among them, are below --dir. Nothing outlives
// the run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/penstock-mail/penstock/bench/senders/letters"
	"github.com/penstock-mail/penstock/bench/stats"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "mta: %v\n", err)
		os.Exit(1)
	}
}

// job is what the command line asks for.
type job struct {
	letters.Job
	// dir is where everything of this run lies; senders is what bench/senders/install
	// fetched.
	dir, senders string
	// host and port are the sink's; listen is the port where the server takes
	// letters.
	host, port string
	listen     int
	hold       bool
}

// agent is a mail server. Its functions say what is special about it.
type agent struct {
	name string
	// configure writes its files.
	configure func(*job) error
	// holds says that it can take letters without delivering any.
	holds bool
	// daemons are the processes to start, in order.
	daemons func(j *job, holding bool) ([]*daemon, error)
	// queue are directories without files when everything is delivered.
	queue func(*job) []string
	// version is what it says of itself.
	version func(*job) string
}

var agents = map[string]*agent{"postfix": postfix, "exim": exim, "opensmtpd": opensmtpd, "haraka": haraka}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || agents[args[0]] == nil {
		return errors.New("the first word names the server: postfix, exim, opensmtpd or haraka")
	}
	a, j := agents[args[0]], new(job)
	set := flag.NewFlagSet(args[0], flag.ContinueOnError)
	read := j.Flags(set)
	set.StringVar(&j.dir, "dir", "", "work in this `directory`")
	set.StringVar(&j.senders, "senders", "", "the `directory` that bench/senders/install filled")
	set.BoolVar(&j.hold, "hold", false, "fill the queue first, then empty it")
	if err := set.Parse(args[1:]); err != nil {
		return err
	}
	if err := read(); err != nil {
		return err
	}
	if j.hold && !a.holds {
		return fmt.Errorf("%s: --hold is not for this one", a.name)
	}
	if err := j.place(); err != nil {
		return err
	}
	if err := adoptOrphans(); err != nil {
		return err
	}
	figures, err := measure(ctx, a, j)
	if err != nil {
		return fmt.Errorf("%s: %w%s", a.name, err, j.lastWords())
	}
	return figures.Write(j.Stats)
}

// place finds the run's directory and ports. Servers have users of their own,
// who must reach what is theirs.
func (j *job) place() (err error) {
	if j.dir, err = filepath.Abs(j.dir); err != nil {
		return err
	}
	for d := j.dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if st, err := os.Stat(d); err == nil && st.Mode().Perm()&0o005 != 0o005 {
			if err := os.Chmod(d, st.Mode().Perm()|0o055); err != nil {
				return err
			}
		}
	}
	if j.host, j.port, err = splitAddress(j.Sink); err != nil {
		return err
	}
	j.listen, err = freePort()
	return err
}

// measure runs the phases.
func measure(ctx context.Context, a *agent, j *job) (*stats.Sender, error) {
	s := stats.New(a.name, a.version(j))
	s.Go, s.GOMAXPROCS = "", 0
	s.Recipients = int64(len(j.Letters.People))
	if err := a.configure(j); err != nil {
		return nil, err
	}
	began := beginPhase()
	running, err := start(a, j, j.hold)
	if err == nil {
		err = j.fill(ctx)
	}
	if err == nil && j.hold {
		if err = stop(running); err != nil {
			return nil, err
		}
		s.Load = began.end()
		began = beginPhase()
		running, err = start(a, j, false)
	}
	if err == nil {
		err = emptied(ctx, a.queue(j))
	}
	if err := errors.Join(err, stop(running)); err != nil {
		return nil, err
	}
	s.Send, s.Sent = began.end(), s.Recipients
	s.Aside, s.PeakBytes = own(), largest()
	return s, nil
}

// start starts the daemons of a server, each when the one before it is ready.
func start(a *agent, j *job, holding bool) (running []*daemon, err error) {
	daemons, err := a.daemons(j, holding)
	if err != nil {
		return nil, err
	}
	for _, d := range daemons {
		if err := d.start(j); err != nil {
			return running, err
		}
		running = append(running, d)
	}
	return running, nil
}

// stop ends daemons, the last one first, and everything that they started.
func stop(running []*daemon) error {
	var errs []error
	for i := len(running) - 1; i >= 0; i-- {
		errs = append(errs, running[i].stop())
	}
	return errors.Join(append(errs, reapOrphans())...)
}
