package bench

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Options are those of the command `penstock bench`.
type Options struct {
	// Scenarios to run; see Scenarios.
	Scenarios []string
	// Repeats of each, after one shorter run that does not count.
	Repeats int
	// Scale multiplies the recipients.
	Scale float64
	// Against is a second sender, run in turns with the first: a commit, a
	// program, or a command line with templates (see Command).
	Against string
	// Program is the sender; empty: this program. Sink is the command line of
	// the receiver; empty: this program's `sink`.
	Program string
	Sink    []string
	// SinkLoops is the receiver's event loops; 0: one for each processor.
	SinkLoops int
	// Env and SinkEnv are added to the environment, such as GOMAXPROCS=1.
	Env, SinkEnv []string
	// Senders is what bench/senders/install filled; empty: $PENSTOCK_SENDERS, or
	// bin/senders.
	Senders string
	// Dir is where campaigns and data lie while it runs; empty: a temporary
	// directory. Keep leaves it there.
	Dir  string
	Keep bool
	// Out is where JSON and Markdown go; empty: bench/out if there is a bench
	// directory here, else nowhere.
	Out string
	// Profile is a directory for CPU profiles of senders, one for each scenario;
	// empty: none.
	Profile string
	// List only names the scenarios.
	List bool
	// Timeout of one run.
	Timeout time.Duration
	// Source is a directory of the repository that commits and other senders are
	// built from; empty: the current one.
	Source string
}

// Flags defines the options as flags.
func (o *Options) Flags(set *flag.FlagSet) {
	set.IntVar(&o.Repeats, "repeats", 3, "runs of each scenario")
	set.Float64Var(&o.Scale, "scale", 1, "multiply the recipients by this `factor`")
	set.StringVar(&o.Against, "against", "", "compare with a commit, a program, or a `command` line with {{.Sink}} and the like")
	set.StringVar(&o.Program, "program", "", "the sender (default: this `program`)")
	set.IntVar(&o.SinkLoops, "sink-loops", 0, "event loops of the receiver (default: one for each processor)")
	set.Var((*list)(&o.Env), "env", "add `NAME=VALUE` to the sender's environment; may be repeated")
	set.Var((*list)(&o.SinkEnv), "sink-env", "add `NAME=VALUE` to the receiver's environment; may be repeated")
	set.StringVar(&o.Senders, "senders", "", "the `directory` that bench/senders/install filled (default: $PENSTOCK_SENDERS, or bin/senders)")
	set.StringVar(&o.Dir, "dir", "", "work in this `directory` (default: a temporary one)")
	set.BoolVar(&o.Keep, "keep", false, "keep campaigns, data directories and files of every run")
	set.StringVar(&o.Out, "out", "", "write JSON and Markdown into this `directory` (default: bench/out where there is a bench)")
	set.StringVar(&o.Profile, "profile", "", "write a CPU profile of each scenario's sender into this `directory`")
	set.BoolVar(&o.List, "list", false, "list the scenarios")
	set.DurationVar(&o.Timeout, "timeout", 30*time.Minute, "the longest that one run may take")
}

// runner is one call of Run.
type runner struct {
	options  Options
	log      io.Writer
	programs []*Program
	dir      string
	// built has the path of what was built, by package.
	built map[string]string
}

// Run runs scenarios and prints a table to out, and what it is doing to log. A
// scenario that fails is in the table, and an error at the end; the others run
// all the same.
func Run(ctx context.Context, o Options, out, log io.Writer) error {
	scenarios, err := Scenarios(o.Scenarios...)
	if err != nil {
		return err
	}
	if o.List {
		return printScenarios(out, o.Scenarios)
	}
	r := &runner{options: o, log: log, built: map[string]string{}}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if o.Dir == "" && !o.Keep {
		defer os.RemoveAll(r.dir)
	}
	report := newReport(ctx, o, r.programs)
	for _, s := range scenarios {
		report.Rows = append(report.Rows, r.scenario(ctx, s.scaled(r.options.Scale)))
		if ctx.Err() != nil {
			break
		}
	}
	report.judge()
	report.table(out)
	if err := r.save(report); err != nil {
		return err
	}
	if o.Keep {
		fmt.Fprintf(log, "kept %s\n", r.dir)
	}
	return report.failed()
}

func printScenarios(out io.Writer, names []string) error {
	if len(names) == 0 {
		names = []string{"*"}
	}
	all, err := Scenarios(names...)
	if err != nil {
		return err
	}
	for _, s := range all {
		note := ""
		if s.OnRequest {
			note = " (on request)"
		}
		fmt.Fprintf(out, "%-24s %s%s\n", s.Name, s.About, note)
	}
	return nil
}

func (r *runner) prepare(ctx context.Context) (err error) {
	o := &r.options
	if o.Repeats < 1 {
		o.Repeats = 1
	}
	if o.Scale <= 0 {
		o.Scale = 1
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Minute
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if o.Program == "" {
		o.Program = self
	}
	if len(o.Sink) == 0 {
		o.Sink = []string{self, "sink"}
	}
	if r.dir = o.Dir; r.dir == "" {
		if r.dir, err = os.MkdirTemp("", "penstock-bench-"); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	} else if r.dir, err = filepath.Abs(r.dir); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if o.Profile != "" {
		if o.Profile, err = filepath.Abs(o.Profile); err == nil {
			err = os.MkdirAll(o.Profile, 0o755)
		}
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	if o.Senders == "" {
		o.Senders = cmp.Or(os.Getenv("PENSTOCK_SENDERS"), filepath.Join(o.Source, "bin", "senders"))
	}
	if o.Senders, err = filepath.Abs(o.Senders); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	for _, name := range []string{o.Program, o.Against} {
		if name == "" {
			continue
		}
		p, err := r.resolveProgram(ctx, name)
		if err != nil {
			return err
		}
		r.programs = append(r.programs, p)
	}
	if len(r.programs) == 2 && r.programs[0].Name == r.programs[1].Name {
		r.programs[1].Name += " (B)"
	}
	return nil
}

// scenario runs one scenario: once shorter to warm files and caches up, then
// the programs in turns, so that a change of the machine's mood hits both.
func (r *runner) scenario(ctx context.Context, s *Scenario) *Row {
	row := &Row{Scenario: s}
	repeats := r.options.Repeats
	if s.Repeats > 0 {
		repeats = s.Repeats
	}
	if s.Signatures {
		r.signatures(ctx, row, repeats)
		return row
	}
	programs := r.programs
	if s.Command != nil {
		p, missing, err := r.peer(ctx, s)
		switch {
		case missing != "":
			row.Skipped = missing
			return row
		case err != nil:
			row.Failure = err.Error()
			return row
		}
		programs = []*Program{p}
	}
	for _, p := range programs {
		row.Results = append(row.Results, &Result{Program: p.Name})
	}
	small := s.scaled(0.1)
	small.Name += "-warm"
	if w, err := prepare(r.dir, small); err != nil {
		row.Failure = err.Error()
		return row
	} else if s.Recipients >= 10_000 {
		for _, p := range programs {
			if _, err := r.timed(ctx, small, w, p); err != nil {
				row.Failure = fmt.Sprintf("%s: %v", p.Name, err)
				return row
			}
		}
	}
	w, err := prepare(r.dir, s)
	if err != nil {
		row.Failure = err.Error()
		return row
	}
	if !r.options.Keep {
		defer os.RemoveAll(w.dir)
	}
	for n := range repeats {
		for i, p := range programs {
			row.Calibration = append(row.Calibration, calibrate())
			sample, err := r.timed(ctx, s, w, p)
			if err != nil {
				row.Failure = fmt.Sprintf("%s: %v", p.Name, err)
				return row
			}
			row.Results[i].Samples = append(row.Results[i].Samples, sample)
			if t := sample.Sender; s.Command != nil && t != nil {
				row.Results[i].Program = strings.TrimSpace(t.Program + " " + t.Revision)
			}
			fmt.Fprintf(r.log, "%s %s %d/%d: %.0f/s, %.1f us\n", s.Name, p.Name, n+1, repeats, sample.PerSecond, sample.CPU)
		}
	}
	return row
}

func (r *runner) timed(ctx context.Context, s *Scenario, w *workplace, p *Program) (*Sample, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.options.Timeout, errors.New("took too long"))
	defer cancel()
	sample, err := r.run(ctx, s, w, p)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return sample, err
}

// calibrate times a fixed piece of work, in seconds: how it varies between runs
// is what the machine does on its own.
func calibrate() float64 {
	best := time.Duration(1 << 62)
	var sum [32]byte
	block := make([]byte, 1<<20)
	for range 5 {
		began := time.Now()
		for range 4 {
			sum = sha256.Sum256(block)
			block[0] = sum[0]
		}
		best = min(best, time.Since(began))
	}
	return best.Seconds()
}
