package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/mx"
)

func newMX(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "mx DOMAIN...",
		Short: "Show how domains resolve: hosts, preferences, addresses, site name",
		Args:  takes("DOMAIN..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := f.load()
			if err != nil {
				return err
			}
			resolver, err := engine.NewResolver(cfg)
			if err != nil {
				return err
			}
			t := newTable(cmd.OutOrStdout(), "DOMAIN", "STATUS", "SITE", "PREF", "HOST", "ADDRESSES")
			unknown := 0
			for _, domain := range args {
				a := resolver.Resolve(cmd.Context(), domain)
				if a.Status != mx.Found {
					unknown++
					t.row(domain, a.Status.String(), "", "", "", a.Reason)
					continue
				}
				for i, h := range a.Route.Hosts {
					addrs := make([]string, len(h.Addrs))
					for j, addr := range h.Addrs {
						addrs[j] = addr.String()
					}
					cells := []string{"", "", "", strconv.Itoa(int(h.Preference)), h.Name, strings.Join(addrs, " ")}
					if i == 0 {
						cells[0], cells[1], cells[2] = domain, a.Status.String(), a.Route.Site
					}
					t.row(cells...)
				}
			}
			if err := t.flush(); err != nil {
				return err
			}
			if unknown > 0 {
				return &exit{exitFailed, fmt.Errorf("%d of %d domains have no usable host", unknown, len(args))}
			}
			return nil
		},
	}
	f.add(c, "config", "dns")
	return c
}
