package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// What the shell offers when somebody presses the tab key: campaigns and sites
// that there are, states, and files of the right kind. `penstock completion`
// prints the scripts.

// completionPatience is how long somebody waits who pressed the key.
const completionPatience = time.Second

// completion is what an argument of a command can be.
type completion func(ctx context.Context, f *flags, begun string) ([]string, cobra.ShellCompDirective)

// completions go by the argument's name in the command's Use.
var completions = map[string]completion{
	"ID":              campaignIDs,
	"[ID]":            campaignIDs,
	"SITE":            siteNames,
	"CAMPAIGN.yaml":   campaignFiles,
	"[CAMPAIGN.yaml]": campaignFiles,
	"DIR": func(context.Context, *flags, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	},
	"FILE": func(context.Context, *flags, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	},
}

// complete gives every command below c its completions.
func (f *flags) complete(c *cobra.Command) {
	for _, sub := range c.Commands() {
		f.complete(sub)
	}
	if flag := c.Flags().Lookup("state"); flag != nil && c.Name() == "list" {
		states := control.CampaignStates()
		if c.Parent().Name() == "site" {
			states = control.SiteStates()
		}
		offer(c, "state", states...)
	}
	if c.Flags().Lookup("log-level") != nil {
		offer(c, "log-level", "debug", "info", "warn", "error")
	}
	if c.Flags().Lookup("config") != nil {
		_ = c.MarkFlagFilename("config", "yaml", "yml") // the flag is there
	}
	if c.Flags().Lookup("data") != nil {
		_ = c.MarkFlagDirname("data") // as above
	}
	if c.HasSubCommands() || c.ValidArgsFunction != nil {
		return
	}
	names := strings.Fields(c.Use)[1:]
	c.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		at := len(args)
		if n := len(names) - 1; at > n && n >= 0 && strings.HasSuffix(names[n], "...") {
			at = n // repeated
		}
		if at < len(names) {
			if all, ok := completions[strings.TrimSuffix(names[at], "...")]; ok {
				ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
				defer cancel()
				return all(ctx, f, begun)
			}
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// offer completes a flag from a closed set.
func offer(c *cobra.Command, flag string, values ...string) {
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // once a command
}

func campaignIDs(ctx context.Context, f *flags, begun string) (ids []string, _ cobra.ShellCompDirective) {
	err := f.ask(ctx, func(c *control.Client) error {
		all, err := allCampaigns(ctx, c, nil)
		for _, campaign := range all {
			if strings.HasPrefix(campaign.CampaignId, begun) {
				ids = append(ids, campaign.CampaignId+"\t"+campaign.State)
			}
		}
		return err
	})
	return ids, noFiles(err)
}

func siteNames(ctx context.Context, f *flags, begun string) (names []string, _ cobra.ShellCompDirective) {
	err := f.ask(ctx, func(c *control.Client) error {
		res, err := c.ListSites(ctx, &pb.ListSitesRequest{})
		if err != nil {
			return err
		}
		for _, s := range res.Sites {
			if strings.HasPrefix(s.Site, begun) {
				names = append(names, s.Site)
			}
		}
		return nil
	})
	return names, noFiles(err)
}

func noFiles(err error) cobra.ShellCompDirective {
	if err != nil {
		return cobra.ShellCompDirectiveError
	}
	return cobra.ShellCompDirectiveNoFileComp
}

func campaignFiles(context.Context, *flags, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}
