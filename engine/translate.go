package engine

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/mx"
	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/pool/smtp"
	"github.com/penstock-mail/penstock/throttle"
)

// What the configuration says, in the words of each room. Values were checked
// when it was read, so an unknown word here is a mistake of ours.

func gear(word string) smtp.Gear {
	return map[string]smtp.Gear{"": smtp.GearAuto, "auto": smtp.GearAuto, "lock-step": smtp.LockStep, "pipelining": smtp.Pipelining, "chunking": smtp.Chunking}[word]
}

func tlsMode(word string) smtp.TLSMode {
	return map[string]smtp.TLSMode{"none": smtp.TLSNone, "opportunistic": smtp.TLSOpportunistic, "require": smtp.TLSRequire}[word]
}

func limits(l config.Limit) throttle.Limits {
	return throttle.Limits{
		Connections:           l.Connections,
		ConnectionRate:        throttle.Rate{Count: l.ConnectionRate.Count, Per: l.ConnectionRate.Per},
		MessageRate:           throttle.Rate{Count: l.MessageRate.Count, Per: l.MessageRate.Per},
		MessagesPerConnection: l.MessagesPerConnection,
	}
}

func rules(c *config.Config) throttle.Rules {
	r := throttle.Rules{Default: limits(c.Limits.Default), Sites: make(map[string]throttle.Limits)}
	for site, l := range c.Limits.Sites {
		r.Sites[site] = limits(l)
	}
	// A domain with limits of its own is a site of its own.
	for domain, l := range c.Limits.Domains {
		r.Sites[domain] = limits(l)
	}
	return r
}

func sources(c *config.Config) []pool.Source {
	all := make([]pool.Source, len(c.Sources))
	for i, s := range c.Sources {
		all[i] = pool.Source{Name: s.Name, Addr: s.IP, Hello: s.EHLO}
	}
	return all
}

// NewResolver makes the resolver that the configuration asks for. Close must
// follow.
func NewResolver(c *config.Config) (*mx.Resolver, error) {
	siteRules, err := readSites(c.MX.Rules)
	if err != nil {
		return nil, err
	}
	r, err := mx.NewResolver(mx.Options{
		Servers:     c.DNS.Servers,
		Timeout:     c.DNS.Timeout,
		Concurrency: c.DNS.Concurrency,
		Prohibited:  c.MX.Prohibited,
		Routes:      c.Routes,
		Port:        uint16(c.SMTP.Port),
		Sites:       siteRules,
		Own:         slices.Collect(maps.Keys(c.Limits.Domains)),
	})
	if err != nil {
		return nil, fmt.Errorf("set up the resolver: %w", err)
	}
	return r, nil
}

// newPool makes the pool that the configuration asks for; o holds what it does
// not say.
func newPool(c *config.Config, o pool.Options) (*pool.Pool, error) {
	t := c.SMTP.Timeouts
	o.Sources = sources(c)
	o.Timeouts = smtp.Timeouts{Greeting: t.Greeting, Hello: t.Hello, Mail: t.Mail, Rcpt: t.Rcpt, Data: t.Data, Block: t.Block, End: t.End, Quit: t.Quit}
	o.ConnectTimeout, o.HandshakeTimeout, o.IdleTimeout = t.Connect, t.TLS, t.Idle
	o.TLS, o.TopGear = tlsMode(c.SMTP.TLS), gear(c.SMTP.Gear)
	p, err := pool.New(o)
	if err != nil {
		return nil, fmt.Errorf("set up the pool: %w", err)
	}
	return p, nil
}

// readSites reads the site rules that go before the built-in ones.
func readSites(path string) ([]mx.SiteRule, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read site rules: %w", err)
	}
	rules, err := mx.ParseSites(string(text))
	if err != nil {
		return nil, fmt.Errorf("read site rules %s: %w", path, err)
	}
	return rules, nil
}
