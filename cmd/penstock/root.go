package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/problem"
)

// flags are those that commands share.
type flags struct {
	config   string
	data     string
	dns      []string
	format   string
	quiet    bool
	logLevel string
	remote   remote
}

func newRoot() *cobra.Command {
	f := &flags{}
	root := &cobra.Command{
		Use:   "penstock",
		Short: "Send campaigns by SMTP, as fast as each destination allows, and know what became of every recipient",
		Long: `Penstock takes a campaign (a message and millions of recipients) and delivers it
by SMTP, as fast as each destination allows and no faster. It knows afterwards
what became of every single recipient.

  penstock check campaign.yaml    find everything that is wrong, before sending
  penstock send campaign.yaml     load, send, report; run it again to continue
  penstock report ID              the report, at any time`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		// A bare "penstock" shows the help; an unknown command is a mistake.
		Args: commands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return mistake("%w; see: %s --help", plainly(err), cmd.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: "sending", Title: "Sending:"},
		&cobra.Group{ID: "steering", Title: "Steering what is sent:"},
		&cobra.Group{ID: "asking", Title: "What became of it:"},
		&cobra.Group{ID: "keeping", Title: "The data directory:"},
		&cobra.Group{ID: "ruling", Title: "The process that serves, and who may ask it:"},
		&cobra.Group{ID: "trying", Title: "Trying and measuring:"},
	)
	group := func(id string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	group("sending", newSend(f), newServe(f), newCheck(f), newRender(f))
	group("steering", newCampaign(f), newSite(f), newSource(f), newTrace(f))
	group("asking", newTop(f), newReport(f), newRecipient(f), newExport(f), newRejects(f), newEvents(f))
	group("keeping", newVerify(f), newBackup(f), newErase(f))
	group("ruling", newServer(f), newToken(f), newAudit(f))
	group("trying", newMX(f), newDKIM(f), newSink(), newBench(), newDemo())
	f.reach(root)
	f.complete(root)
	return root
}

// plainly says of a number that is none what is wrong with it, in words for who
// typed it.
func plainly(err error) error {
	given, ok := errors.AsType[*pflag.InvalidValueError](err)
	number, isNumber := errors.AsType[*strconv.NumError](err)
	switch {
	case !ok || !isNumber:
		return err
	case errors.Is(number, strconv.ErrRange):
		return fmt.Errorf("--%s %s: out of range", given.GetFlag().Name, given.GetValue())
	default:
		return fmt.Errorf("--%s %s: want a number", given.GetFlag().Name, given.GetValue())
	}
}

// version is the module's, as the Go command recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

// add puts the named shared flags on a command.
func (f *flags) add(c *cobra.Command, names ...string) {
	set := c.Flags()
	for _, name := range names {
		switch name {
		case "config":
			set.StringVar(&f.config, name, "", "configuration `file` (default: penstock.yaml here, if there is one)")
		case "data":
			set.StringVar(&f.data, name, "", "data `directory` (default ./penstock-data)")
		case "dns":
			set.StringArrayVar(&f.dns, name, nil, "DNS resolver, `address:port`; may be repeated (default: the system's)")
		case "format":
			set.StringVar(&f.format, name, "table", "output `format`: table or json")
		case "quiet":
			set.BoolVar(&f.quiet, name, false, "print nothing but errors")
		case "log-level":
			set.StringVar(&f.logLevel, name, "", "debug, info, warn or error (default info)")
		}
	}
}

// load reads the configuration and puts the flags over it; mistakes are the
// error.
func (f *flags) load() (*config.Config, error) {
	c, problems := f.read()
	return c, problems.Err()
}

func (f *flags) read() (*config.Config, problem.List) {
	path := f.config
	if path == "" {
		if _, err := os.Stat("penstock.yaml"); err == nil {
			path = "penstock.yaml"
		}
	}
	return config.Load(path, f.overrides()...)
}

func (f *flags) overrides() []config.Flag {
	var over []config.Flag
	if f.data != "" {
		over = append(over, config.Flag{Name: "--data", Key: "data", Values: []string{f.data}})
	}
	if len(f.dns) > 0 {
		over = append(over, config.Flag{Name: "--dns", Key: "dns.servers", Values: f.dns})
	}
	if f.logLevel != "" {
		over = append(over, config.Flag{Name: "--log-level", Key: "log.level", Values: []string{f.logLevel}})
	}
	return over
}

// formatIs checks --format against what the command can write.
func (f *flags) formatIs(allowed ...string) error {
	if !slices.Contains(allowed, f.format) {
		return mistake("--format %s: this command writes %s", f.format, strings.Join(allowed, ", "))
	}
	return nil
}

// newLog is the log that the configuration asks for. close must be called.
func newLog(c config.Log, stderr io.Writer) (log *slog.Logger, close func() error, err error) {
	return newLogAt(new(slog.LevelVar), c, stderr)
}

// newLogAt is newLog with a level that can be changed while it is in use.
func newLogAt(level *slog.LevelVar, c config.Log, stderr io.Writer) (log *slog.Logger, close func() error, err error) {
	close = func() error { return nil }
	out := stderr
	if c.File != "" {
		file, err := os.OpenFile(c.File, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("open log: %w", err)
		}
		out, close = file, file.Close
	}
	var first slog.Level
	if err := first.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, nil, fmt.Errorf("log level: %w", err)
	}
	level.Set(first)
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, options)), close, nil
	}
	return slog.New(slog.NewTextHandler(out, options)), close, nil
}

// printProblems writes a problem a line, and a count when there are mistakes.
func printProblems(w io.Writer, problems problem.List) {
	problems.Sort()
	mistakes := 0
	for _, p := range problems {
		fmt.Fprintln(w, p.Error())
		if !p.Warning {
			mistakes++
		}
	}
	switch {
	case mistakes == 1:
		fmt.Fprintln(w, "penstock: 1 mistake; nothing was done")
	case mistakes > 1:
		fmt.Fprintf(w, "penstock: %d mistakes; nothing was done\n", mistakes)
	}
}
