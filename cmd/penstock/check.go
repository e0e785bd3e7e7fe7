package main

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/config"
)

func newCheck(f *flags) *cobra.Command {
	var effective bool
	c := &cobra.Command{
		Use:   "check [CAMPAIGN.yaml]",
		Short: "Find everything that is wrong with a campaign or a configuration, before sending",
		Long: `Check a campaign file, its templates, and every row of its recipients: each
message is composed, none is sent. Mistakes are named by file and line, all at
once. Without a campaign file only the configuration is checked.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := f.loadToSend()
			if err != nil {
				return err
			}
			if effective {
				if err := printEffective(cmd, cfg); err != nil {
					return err
				}
			}
			if len(args) == 0 {
				if !effective && !f.quiet {
					fmt.Fprintln(cmd.OutOrStdout(), "the configuration is right")
				}
				return nil
			}
			return f.checkCampaign(cmd, cfg, args[0])
		},
	}
	c.Flags().BoolVar(&effective, "effective", false, "print every setting in force, and where it comes from")
	f.add(c, "config", "data", "dns", "quiet")
	return c
}

func (f *flags) checkCampaign(cmd *cobra.Command, cfg *config.Config, path string) error {
	c, problems := campaign.Read(path)
	if problems.Err() == nil {
		problems = append(problems, engine.CheckTemplate(c)...)
		_, lists := campaign.ReadSuppression(slices.Concat(cfg.Suppress, c.Settings.Suppress)...)
		problems = append(problems, lists...)
	}
	if err := problems.Err(); err != nil {
		return err
	}
	printProblems(os.Stderr, problems)
	r, err := engine.CheckRows(cmd.Context(), c, os.Stdin)
	if err != nil {
		return err
	}
	for _, p := range r.Examples {
		fmt.Fprintln(os.Stderr, p.Error())
	}
	if f.quiet {
		return nil
	}
	out := cmd.OutOrStdout()
	var rejected uint64
	for _, n := range r.Rejects {
		rejected += n
	}
	fmt.Fprintf(out, "campaign %s: %s rows, %s would be loaded, %s rejected; duplicates are found while loading\n",
		c.ID, count(r.Rows), count(r.Rows-rejected), count(rejected))
	for _, reason := range slices.Sorted(maps.Keys(r.Rejects)) {
		fmt.Fprintf(out, "  %s: %s\n", reason, count(r.Rejects[reason]))
	}
	if r.Uncomposed > 0 {
		fmt.Fprintf(out, "  %s recipients would bounce since their message cannot be composed\n", count(r.Uncomposed))
	}
	return nil
}

func printEffective(cmd *cobra.Command, cfg *config.Config) error {
	t := newTable(cmd.OutOrStdout(), "SETTING", "VALUE", "FROM")
	for _, e := range cfg.Effective() {
		t.row(e.Key, e.Value, e.Origin.String())
	}
	return t.flush()
}
