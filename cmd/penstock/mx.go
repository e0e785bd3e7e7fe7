package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/mx"
)

// resolved is how a domain resolves, as JSON has it.
type resolved struct {
	Domain string         `json:"domain"`
	Status string         `json:"status"`
	Reason string         `json:"reason"`
	Site   string         `json:"site"`
	Hosts  []resolvedHost `json:"hosts"`
}

type resolvedHost struct {
	Name       string           `json:"name"`
	Preference uint16           `json:"preference"`
	Addresses  []netip.AddrPort `json:"addresses"`
}

func newMX(f *flags) *cobra.Command {
	c := &cobra.Command{
		Use:   "mx DOMAIN...",
		Short: "Show how domains resolve: hosts, preferences, addresses, site name",
		Args:  takes("DOMAIN..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.formatIs("table", "json"); err != nil {
				return err
			}
			cfg, err := f.load()
			if err != nil {
				return err
			}
			resolver, err := engine.NewResolver(cfg)
			if err != nil {
				return err
			}
			defer resolver.Close()
			list, unknown := make([]resolved, 0, len(args)), 0
			for _, domain := range args {
				r := resolve(cmd, resolver, domain)
				if len(r.Hosts) == 0 {
					unknown++
				}
				list = append(list, r)
			}
			if err := printResolved(cmd.OutOrStdout(), list, f.format); err != nil {
				return err
			}
			if unknown > 0 {
				return &exit{exitFailed, fmt.Errorf("%d of %d domains have no usable host", unknown, len(args))}
			}
			return nil
		},
	}
	f.add(c, "config", "dns", "format")
	c.Flags().Lookup("format").Usage = "output `format`: table or json (JSON lines)"
	return c
}

func resolve(cmd *cobra.Command, resolver *mx.Resolver, domain string) resolved {
	a := resolver.Resolve(cmd.Context(), domain)
	r := resolved{Domain: domain, Status: a.Status.String(), Reason: a.Reason, Hosts: []resolvedHost{}}
	if a.Status != mx.Found {
		return r
	}
	r.Site = a.Route.Site
	for _, h := range a.Route.Hosts {
		r.Hosts = append(r.Hosts, resolvedHost{h.Name, uint16(h.Preference), h.Addrs})
	}
	return r
}

func printResolved(w io.Writer, list []resolved, format string) error {
	if format == "json" {
		lines := json.NewEncoder(w)
		for _, r := range list {
			if err := lines.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(w, "DOMAIN", "STATUS", "SITE", ">PREF", "HOST", "ADDRESSES")
	for _, r := range list {
		if len(r.Hosts) == 0 {
			t.row(r.Domain, r.Status, "", "", "", r.Reason)
		}
		for i, h := range r.Hosts {
			addrs := make([]string, len(h.Addresses))
			for j, a := range h.Addresses {
				addrs[j] = a.String()
			}
			cells := []string{"", "", "", strconv.Itoa(int(h.Preference)), h.Name, strings.Join(addrs, " ")}
			if i == 0 {
				cells[0], cells[1], cells[2] = r.Domain, r.Status, r.Site
			}
			t.row(cells...)
		}
	}
	return t.flush()
}
