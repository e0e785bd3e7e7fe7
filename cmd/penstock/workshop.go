package main

import (
	"flag"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/bench"
)

func newSink() *cobra.Command {
	var o bench.SinkOptions
	c := &cobra.Command{
		Use:   "sink",
		Short: "Run a receiving SMTP server for tests, whose behaviour is data",
		Long: `Run a receiving SMTP server that takes mail and drops it, counts and records what
arrived, and misbehaves as a script tells it to (bench/README.md has the
reference). It never forwards anything.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.RunSink(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	addFlags(c, o.Flags)
	return c
}

func newBench() *cobra.Command {
	var o bench.Options
	c := &cobra.Command{
		Use:   "bench [SCENARIO...]",
		Short: "Measure sending, with sender and receiver as separate processes",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Scenarios = args
			return bench.Run(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	addFlags(c, o.Flags)
	return c
}

// addFlags takes over flags that a package defines with the standard library.
func addFlags(c *cobra.Command, define func(*flag.FlagSet)) {
	set := flag.NewFlagSet(c.Name(), flag.ContinueOnError)
	define(set)
	c.Flags().AddGoFlagSet(set)
}
