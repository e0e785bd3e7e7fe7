package main

import (
	"fmt"
	"io"
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
		Args: takes("[CAMPAIGN.yaml]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return f.checkCampaign(cmd, args[0], effective)
			}
			cfg, problems := f.read()
			_, lists := campaign.ReadSuppression(cfg.Suppress...)
			if problems = append(problems, lists...); problems.Err() != nil {
				return problems.Err()
			}
			printProblems(os.Stderr, problems)
			switch {
			case effective:
				return printEffective(cmd, cfg)
			case cfg.File == "":
				fmt.Fprintln(cmd.OutOrStdout(), "there is no configuration file: every setting has its default (--effective shows them)")
			case !f.quiet:
				fmt.Fprintf(cmd.OutOrStdout(), "%s is right\n", cfg.File)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&effective, "effective", false, "print every setting in force, and where it comes from")
	f.add(c, "config", "data", "dns", "quiet")
	return c
}

func (f *flags) checkCampaign(cmd *cobra.Command, path string, effective bool) error {
	p, err := f.prepare(path)
	if err != nil {
		return err
	}
	if effective {
		if err := printEffective(cmd, p.config); err != nil {
			return err
		}
	}
	r, err := engine.CheckRows(cmd.Context(), p.campaign, os.Stdin)
	if err != nil {
		return err
	}
	if f.quiet {
		return nil
	}
	printProblems(os.Stderr, append(p.warnings, r.Examples...))
	return printChecked(cmd.OutOrStdout(), p.campaign.ID, r)
}

func printChecked(w io.Writer, id string, r *engine.RowReport) error {
	var rejected uint64
	for _, n := range r.Rejects {
		rejected += n
	}
	fmt.Fprintf(w, "campaign %s: %s, of which %s would be loaded\n", id, numbered(r.Rows, "row"), count(r.Rows-rejected))
	t := newTable(w).align("lrl")
	for _, reason := range slices.Sorted(maps.Keys(r.Rejects)) {
		t.row("  "+string(reason), count(r.Rejects[reason]), "not loaded")
	}
	if r.Uncomposed > 0 {
		t.row("  uncomposed", count(r.Uncomposed), "would bounce: their message cannot be made")
	}
	if err := t.flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "Duplicates are found while loading.")
	return err
}

func printEffective(cmd *cobra.Command, cfg *config.Config) error {
	t := newTable(cmd.OutOrStdout(), "SETTING", "VALUE", "FROM")
	for _, e := range cfg.Effective() {
		t.row(e.Key, e.Value, e.Origin.String())
	}
	return t.flush()
}
