// Command penstock sends campaigns: a message template and millions of
// recipients go in, every recipient's outcome comes out.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/control"
	"github.com/penstock-mail/penstock/engine/problem"
)

// Exit codes. Those of send are documented in the README.
const (
	exitDone     = 0 // every recipient has a final outcome
	exitFailed   = 1 // anything not below
	exitMistakes = 2 // the campaign, the configuration or the command line is wrong; nothing was sent
	exitStopped  = 3 // stopped with recipients left; nothing is lost
)

// exit is an error that asks for an exit code; its text, if any, is printed.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// mistake is a command line that cannot be obeyed.
func mistake(format string, args ...any) error {
	return &exit{exitMistakes, fmt.Errorf(format, args...)}
}

func main() {
	// The first signal asks commands to end in order, the second one ends the
	// process by the usual means.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var wanted *exit
	var problems problem.List
	var changed *campaign.Changed
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &wanted):
		if wanted.err != nil {
			fmt.Fprintln(os.Stderr, "penstock:", wanted.err)
		}
		return wanted.code
	case errors.As(err, &problems):
		printProblems(os.Stderr, problems)
		return exitMistakes
	case errors.As(err, &changed):
		fmt.Fprintln(os.Stderr, "penstock:", changed)
		return exitMistakes
	case control.Invalid(err): // the command line's mistake, which only the server could find
		fmt.Fprintln(os.Stderr, "penstock:", err)
		return exitMistakes
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitStopped
	default:
		fmt.Fprintln(os.Stderr, "penstock:", err)
		return exitFailed
	}
}
