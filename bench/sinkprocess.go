package bench

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/penstock-mail/penstock/bench/sink"
)

// SinkOptions are those of the command `penstock sink`.
type SinkOptions struct {
	// Listen are addresses; see sink.Options.
	Listen []string
	// Script, Record and Maildir are paths; empty: none.
	Script, Record, Maildir string
	IDHeader                string
	// Stats is a file that gets the counts as JSON at the end; empty: standard
	// output gets them.
	Stats     string
	Loops     int
	LocalOnly bool
	// UntilEOF ends the sink when standard input does: with the process that
	// holds its other end, however that one dies.
	UntilEOF bool
	// Plain prints for people; otherwise the first line of output is JSON.
	Plain bool
}

// Flags defines the options as flags. The harness passes these to the processes
// it starts, so any program that is to be one must have them.
func (o *SinkOptions) Flags(set *flag.FlagSet) {
	set.Var((*list)(&o.Listen), "listen", "`address` to listen on, host:port; may be repeated (default 127.0.0.1:2525)")
	set.StringVar(&o.Script, "script", "", "behaviour, a YAML `file`")
	set.StringVar(&o.Record, "record", "", "append a line for each accepted recipient to this `file`")
	set.StringVar(&o.Maildir, "maildir", "", "keep every accepted message in this `directory`")
	set.StringVar(&o.IDHeader, "id-header", "Message-ID", "the `header` that identifies a message in the record")
	set.StringVar(&o.Stats, "stats", "", "write counts to this `file` at the end (default: standard output)")
	set.IntVar(&o.Loops, "loops", 0, "event loops (default: one for each processor)")
	set.BoolVar(&o.LocalOnly, "local-only", false, "close connections from other machines at once")
	set.BoolVar(&o.UntilEOF, "until-eof", false, "end when standard input does")
	set.BoolVar(&o.Plain, "plain", true, "print addresses for people; false: one line of JSON")
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }
func (l *list) Type() string       { return "strings" } // for pflag's help

// listening is the first line that a sink process prints.
type listening struct {
	Listening []string `json:"listening"`
}

// RunSink runs a sink until ctx is over. It prints the addresses, and the counts
// at the end.
func RunSink(ctx context.Context, o SinkOptions, out io.Writer) error {
	so := sink.Options{
		Listen: o.Listen, Record: o.Record, Maildir: o.Maildir, IDHeader: o.IDHeader, Loops: o.Loops, LocalOnly: o.LocalOnly,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if len(so.Listen) == 0 {
		so.Listen = []string{"127.0.0.1:2525"}
	}
	if o.Script != "" {
		var err error
		if so.Script, err = sink.LoadScript(o.Script); err != nil {
			return err
		}
	}
	s, err := sink.Start(so)
	if err != nil {
		return err
	}
	if o.Plain {
		fmt.Fprintf(out, "listening on %s\n", strings.Join(s.Addrs(), ", "))
	} else {
		json.NewEncoder(out).Encode(listening{s.Addrs()})
	}
	if o.UntilEOF {
		var ended context.CancelFunc
		ctx, ended = context.WithCancel(ctx)
		defer ended()
		go func() {
			io.Copy(io.Discard, os.Stdin)
			ended()
		}()
	}
	<-ctx.Done()
	err = s.Close()
	text, jsonErr := json.MarshalIndent(s.Stats(), "", "  ")
	if jsonErr != nil {
		return jsonErr
	}
	text = append(text, '\n')
	if o.Stats == "" {
		_, werr := out.Write(text)
		return firstError(err, werr)
	}
	return firstError(err, os.WriteFile(o.Stats, text, 0o644))
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
