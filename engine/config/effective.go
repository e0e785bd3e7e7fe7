package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/penstock-mail/penstock/engine/document"
)

// OriginKind is what sort of place a value came from.
type OriginKind uint8

const (
	FromDefault OriginKind = iota
	FromFile
	FromFlag
)

// Origin is where a value came from.
type Origin struct {
	Kind OriginKind
	// File is the configuration file, or the flag's name.
	File string
	Line int
}

// String is "default", "penstock.yaml:12" or "--dns".
func (o Origin) String() string {
	switch o.Kind {
	case FromFile:
		return o.File + ":" + strconv.Itoa(o.Line)
	case FromFlag:
		return o.File
	case FromDefault:
	}
	return "default"
}

// Origin is where the setting's value came from.
func (c *Config) Origin(key string) Origin { return c.origins[key] }

// LimitOrigin is where a site, or a domain that is a site of its own, has one of
// its limits from: connections, connection_rate, message_rate,
// messages_per_connection or gear. What its own rule leaves unsaid comes from
// the default limits.
func (c *Config) LimitOrigin(site, limit string) Origin {
	for _, prefix := range []string{"limits.sites", "limits.domains"} {
		if o, own := c.origins[document.Join(document.Join(prefix, site), limit)]; own {
			return o
		}
	}
	return c.Origin("limits.default." + limit)
}

// Effective is one setting as it is in force.
type Effective struct {
	Key, Value string
	Origin     Origin
}

// Effective lists every setting with its value and origin, in the order of the
// reference.
func (c *Config) Effective() []Effective {
	var all []Effective
	for _, s := range settings {
		if s.list != nil {
			all = append(all, s.list(c)...)
			continue
		}
		all = append(all, Effective{s.key, s.show(c), c.Origin(s.key)})
	}
	return all
}

func showProhibited(c *Config) string {
	if c.MX.Prohibited == nil {
		return "(built in)"
	}
	words := make([]string, len(c.MX.Prohibited))
	for i, p := range c.MX.Prohibited {
		words[i] = p.String()
	}
	return bracketed(words)
}

func listRoutes(c *Config) (all []Effective) {
	for _, domain := range slices.Sorted(maps.Keys(c.Routes)) {
		key := "routes." + domain
		all = append(all, Effective{key, c.Routes[domain], c.Origin(key)})
	}
	return all
}

func listSources(c *Config) (all []Effective) {
	for _, s := range c.Sources {
		ip := "any address"
		if s.IP.IsValid() {
			ip = s.IP.String()
		}
		key := "sources." + s.Name
		all = append(all, Effective{key, fmt.Sprintf("%s as %s", ip, s.EHLO), c.Origin(key)})
	}
	return all
}

func listDKIM(c *Config) (all []Effective) {
	for _, s := range c.DKIM {
		all = append(all, Effective{"dkim." + s.Domain, "selector " + s.Selector + ", key " + s.Key, c.Origin("dkim")})
	}
	return all
}

func listLimits(prefix string, at func(*Config) map[string]Limit) func(*Config) []Effective {
	return func(c *Config) (all []Effective) {
		for _, name := range slices.Sorted(maps.Keys(at(c))) {
			limit := at(c)[name]
			for _, v := range []struct{ key, value string }{
				{"connections", strconv.Itoa(limit.Connections)},
				{"connection_rate", showRate(limit.ConnectionRate)},
				{"message_rate", showRate(limit.MessageRate)},
				{"messages_per_connection", strconv.Itoa(limit.MessagesPerConnection)},
				{"gear", limit.Gear},
			} {
				all = append(all, Effective{document.Join(document.Join(prefix, name), v.key), v.value, c.LimitOrigin(name, v.key)})
			}
		}
		return all
	}
}
