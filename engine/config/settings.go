package config

import (
	"strconv"
	"strings"
	"time"

	"github.com/penstock-mail/penstock/engine/document"
)

// setting is one key: how its value is read into a Config and shown again. All
// that must know every key (reading, Effective, the test of the example) walks
// the one table below.
type setting struct {
	key  string
	read func(l *loader, n *document.Node)
	// show is the effective value as it would be written; list is for keys
	// that hold several named values.
	show func(c *Config) string
	list func(c *Config) []Effective
}

var settings = []setting{
	{key: "hostname", read: readHostname, show: func(c *Config) string { return c.Hostname }},
	path("data", false, func(c *Config) *string { return &c.Data }),
	{key: "dns.servers", read: readServers, show: func(c *Config) string {
		if len(c.DNS.Servers) == 0 {
			return "(the system's)"
		}
		return bracketed(c.DNS.Servers)
	}},
	span("dns.timeout", 50*time.Millisecond, 5*time.Minute, func(c *Config) *time.Duration { return &c.DNS.Timeout }),
	count("dns.concurrency", 1, 100_000, func(c *Config) *int { return &c.DNS.Concurrency }),
	{key: "mx.prohibited", read: readProhibited, show: showProhibited},
	path("mx.rules", true, func(c *Config) *string { return &c.MX.Rules }),
	count("smtp.port", 1, 65535, func(c *Config) *int { return &c.SMTP.Port }),
	choice("smtp.gear", gears, func(c *Config) *string { return &c.SMTP.Gear }),
	choice("smtp.tls", []string{"none", "opportunistic", "require"}, func(c *Config) *string { return &c.SMTP.TLS }),
	timeout("connect", func(t *Timeouts) *time.Duration { return &t.Connect }),
	timeout("greeting", func(t *Timeouts) *time.Duration { return &t.Greeting }),
	timeout("tls", func(t *Timeouts) *time.Duration { return &t.TLS }),
	timeout("hello", func(t *Timeouts) *time.Duration { return &t.Hello }),
	timeout("mail", func(t *Timeouts) *time.Duration { return &t.Mail }),
	timeout("rcpt", func(t *Timeouts) *time.Duration { return &t.Rcpt }),
	timeout("data", func(t *Timeouts) *time.Duration { return &t.Data }),
	timeout("block", func(t *Timeouts) *time.Duration { return &t.Block }),
	timeout("end", func(t *Timeouts) *time.Duration { return &t.End }),
	timeout("quit", func(t *Timeouts) *time.Duration { return &t.Quit }),
	timeout("idle", func(t *Timeouts) *time.Duration { return &t.Idle }),
	span("smtp.drain", 0, 24*time.Hour, func(c *Config) *time.Duration { return &c.SMTP.Drain }),
	{key: "routes", read: readRoutes, list: listRoutes},
	{key: "sources", read: readSources, list: listSources},
	count("limits.default.connections", 1, 100_000, func(c *Config) *int { return &c.Limits.Default.Connections }),
	rate("limits.default.connection_rate", func(c *Config) *Rate { return &c.Limits.Default.ConnectionRate }),
	rate("limits.default.message_rate", func(c *Config) *Rate { return &c.Limits.Default.MessageRate }),
	count("limits.default.messages_per_connection", 1, 1e9, func(c *Config) *int { return &c.Limits.Default.MessagesPerConnection }),
	choice("limits.default.gear", gears, func(c *Config) *string { return &c.Limits.Default.Gear }),
	{key: "limits.sites", read: readLimits(func(c *Config) map[string]Limit { return c.Limits.Sites }, siteName),
		list: listLimits("limits.sites", func(c *Config) map[string]Limit { return c.Limits.Sites })},
	{key: "limits.domains", read: readLimits(func(c *Config) map[string]Limit { return c.Limits.Domains }, domainName),
		list: listLimits("limits.domains", func(c *Config) map[string]Limit { return c.Limits.Domains })},
	span("retry.first", time.Second, 30*24*time.Hour, func(c *Config) *time.Duration { return &c.Retry.First }),
	{key: "retry.factor", read: func(l *loader, n *document.Node) {
		l.took(n, n.Number(&l.config.Retry.Factor, 1, 100))
	}, show: func(c *Config) string { return strconv.FormatFloat(c.Retry.Factor, 'f', -1, 64) }},
	span("retry.max", time.Second, 30*24*time.Hour, func(c *Config) *time.Duration { return &c.Retry.Max }),
	span("retry.expire", time.Minute, 365*24*time.Hour, func(c *Config) *time.Duration { return &c.Retry.Expire }),
	count("breaker.threshold", 0, 1e9, func(c *Config) *int { return &c.Breaker }),
	span("ledger.sync_every", 0, time.Second, func(c *Config) *time.Duration { return &c.Ledger.SyncEvery }),
	size("ledger.min_free", 0, 1<<50, func(c *Config) *int64 { return &c.Ledger.MinFree }),
	size("ledger.cache", 1e6, 1<<40, func(c *Config) *int64 { return &c.Ledger.Cache }),
	span("events.keep", 0, 10*365*24*time.Hour, func(c *Config) *time.Duration { return &c.Events.Keep }),
	size("events.max_size", 0, 1<<50, func(c *Config) *int64 { return &c.Events.MaxSize }),
	{key: "suppress", read: readSuppress, show: func(c *Config) string { return bracketed(c.Suppress) }},
	{key: "dkim", read: readDKIM, list: listDKIM},
	{key: "intake.folder", read: readIntakeFolder, show: func(c *Config) string { return c.Intake.Folder }},
	{key: "serve.listen", read: readListen, show: func(c *Config) string {
		if c.Serve.Listen == "" {
			return "(the socket only)"
		}
		return c.Serve.Listen
	}},
	path("serve.tls.cert", true, func(c *Config) *string { return &c.Serve.TLS.Cert }),
	path("serve.tls.key", true, func(c *Config) *string { return &c.Serve.TLS.Key }),
	path("serve.tls.client_ca", true, func(c *Config) *string { return &c.Serve.TLS.ClientCA }),
	{key: "serve.clients", read: readClients, list: listClients},
	count("serve.streams", 1, 100_000, func(c *Config) *int { return &c.Serve.Streams }),
	count("serve.streams_per_client", 1, 100_000, func(c *Config) *int { return &c.Serve.StreamsPerClient }),
	choice("log.level", []string{"debug", "info", "warn", "error"}, func(c *Config) *string { return &c.Log.Level }),
	choice("log.format", []string{"text", "json"}, func(c *Config) *string { return &c.Log.Format }),
	path("log.file", false, func(c *Config) *string { return &c.Log.File }),
	count("max_in_doubt", 1, 128, func(c *Config) *int { return &c.MaxInDoubt }),
}

var gears = []string{"auto", "lock-step", "pipelining", "chunking"}

func span(key string, least, most time.Duration, at func(*Config) *time.Duration) setting {
	return setting{key: key,
		read: func(l *loader, n *document.Node) { l.took(n, n.Duration(at(l.config), least, most)) },
		show: func(c *Config) string { return document.FormatDuration(*at(c)) },
	}
}

func timeout(name string, at func(*Timeouts) *time.Duration) setting {
	return span("smtp.timeouts."+name, 10*time.Millisecond, time.Hour, func(c *Config) *time.Duration { return at(&c.SMTP.Timeouts) })
}

func count(key string, least, most int, at func(*Config) *int) setting {
	return setting{key: key,
		read: func(l *loader, n *document.Node) { l.took(n, n.Int(at(l.config), least, most)) },
		show: func(c *Config) string { return strconv.Itoa(*at(c)) },
	}
}

func size(key string, least, most int64, at func(*Config) *int64) setting {
	return setting{key: key,
		read: func(l *loader, n *document.Node) { l.took(n, n.Size(at(l.config), least, most)) },
		show: func(c *Config) string { return document.FormatSize(*at(c)) },
	}
}

func rate(key string, at func(*Config) *Rate) setting {
	return setting{key: key,
		read: func(l *loader, n *document.Node) { l.took(n, n.Rate(at(l.config))) },
		show: func(c *Config) string { return showRate(*at(c)) },
	}
}

func showRate(r Rate) string {
	if r.Per == 0 {
		return "none"
	}
	return r.String()
}

func choice(key string, words []string, at func(*Config) *string) setting {
	return setting{key: key,
		read: func(l *loader, n *document.Node) { l.took(n, n.Choice(at(l.config), words...)) },
		show: func(c *Config) string { return *at(c) },
	}
}

// path is a file or directory, relative to the configuration file, or to the
// working directory when it comes from a flag.
func path(key string, mustExist bool, at func(*Config) *string) setting {
	return setting{key: key,
		read: func(l *loader, n *document.Node) {
			var s string
			ok := n.Word(&s)
			if ok {
				*at(l.config) = l.resolve(s)
				if mustExist {
					l.mustBeFile(n, s)
				}
			}
			l.took(n, ok)
		},
		show: func(c *Config) string { return *at(c) },
	}
}

func bracketed(words []string) string { return "[" + strings.Join(words, ", ") + "]" }
