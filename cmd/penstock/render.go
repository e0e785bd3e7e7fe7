package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine"
)

func newRender(f *flags) *cobra.Command {
	var row uint64
	var output string
	c := &cobra.Command{
		Use:   "render CAMPAIGN.yaml",
		Short: "Show the message as it would go out to one row's recipient",
		Long: `Compose and sign one recipient's message and write it as an .eml file. Its VERP
token and Message-ID are made with a throw-away key; those of the campaign are
made with the data directory's.`,
		Args: takes("CAMPAIGN.yaml"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			p, err := f.prepare(args[0])
			if err != nil {
				return err
			}
			printProblems(os.Stderr, p.warnings)
			m, err := engine.Render(cmd.Context(), p.config, p.campaign, os.Stdin, row, "")
			if err != nil {
				return &exit{exitMistakes, err}
			}
			var out io.Writer = cmd.OutOrStdout()
			if output != "" {
				file, err := os.Create(output)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, file.Close()) }()
				out = file
			}
			if _, err := m.WriteTo(out); err != nil {
				return fmt.Errorf("write message: %w", err)
			}
			return nil
		},
	}
	c.Flags().Uint64Var(&row, "row", 1, "the `number` of the row, from 1, over all recipient files")
	c.Flags().StringVarP(&output, "output", "o", "", "write to this `file` instead of standard output")
	f.add(c, "config")
	return c
}
