package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/problem"
)

// prepared is a configuration and a campaign that were found right.
type prepared struct {
	config   *config.Config
	campaign *campaign.Campaign
	// warnings are what is odd about them.
	warnings problem.List
}

// prepare reads the configuration and the campaign file at path, and finds all
// that can be found wrong with both before a recipient is read.
func (f *flags) prepare(path string) (*prepared, error) {
	cfg, problems := f.read()
	c, found := campaign.Read(path)
	problems = append(problems, found...)
	for _, p := range engine.Check(cfg, c) {
		// What has no place is missing altogether, which Read has said.
		if p.File != "" {
			problems = append(problems, p)
		}
	}
	problems.Sort()
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return &prepared{cfg, c, slices.Compact(problems)}, nil
}

// takes checks a command's arguments, which are named as in its usage; a name
// that ends in ... may stand for several, and one in brackets may be missing.
func takes(names ...string) cobra.PositionalArgs {
	least, most := 0, len(names)
	for _, n := range names {
		if n[0] != '[' {
			least++
		}
		if n[len(n)-1] == '.' {
			most = 1 << 30
		}
	}
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return mistake("%s: %s is missing; see: %s --help", cmd.CommandPath(), names[len(args)], cmd.CommandPath())
		case len(args) > most && most == 0:
			return mistake("%s takes no argument, and there is %q; see: %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
		case len(args) > most:
			return mistake("%s: %q is one argument too many; see: %s --help", cmd.CommandPath(), args[most], cmd.CommandPath())
		}
		return nil
	}
}

// commands is the Args of a command that only has commands: any argument is one
// that does not exist.
func commands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("there is no command %q", cmd.CommandPath()+" "+args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return mistake("%s; did you mean %q?", text, cmd.CommandPath()+" "+near[0])
	}
	return mistake("%s; see: %s --help", text, cmd.CommandPath())
}
