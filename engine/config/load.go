package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/problem"
)

// Flag is a command-line flag that stands for a setting, over the file.
type Flag struct {
	// Name as the person wrote it, such as "--dns".
	Name string
	// Key is the setting's, such as "dns.servers".
	Key    string
	Values []string
}

// Load reads the configuration at path, "" for none, and puts the flags over
// it. The Config is complete and usable only if the problems hold no mistake;
// it is never nil.
func Load(path string, flags ...Flag) (*Config, problem.List) {
	doc := document.Parse("", nil)
	if path != "" {
		doc = document.Read(path)
	}
	return load(doc, flags, machineName())
}

// Parse is Load for a configuration that is already in memory; file names it in
// problems, and relative paths are relative to it.
func Parse(file string, source []byte, flags ...Flag) (*Config, problem.List) {
	return load(document.Parse(file, source), flags, machineName())
}

// machineName is the default hostname: whatever this machine calls itself, if
// EHLO can carry it.
func machineName() string {
	name, err := os.Hostname()
	if err != nil || !helloName(name) {
		return "localhost"
	}
	return name
}

type loader struct {
	config *Config
	doc    *document.Document
	// flag is the one being read; empty: the file is.
	flag string
}

func load(doc *document.Document, flags []Flag, hostname string) (*Config, problem.List) {
	l := &loader{config: defaults(hostname), doc: doc}
	l.config.File = doc.File
	l.section(doc.Root(), "")
	for _, f := range flags {
		l.flag = f.Name
		i := slices.IndexFunc(settings, func(s setting) bool { return s.key == f.Key })
		if i < 0 {
			doc.Problems.Add(f.Name, 0, 0, f.Key, "is not a setting")
			continue
		}
		settings[i].read(l, doc.Scalar(f.Name, f.Key, f.Values...))
	}
	l.complete()
	doc.Problems.Sort()
	return l.config, doc.Problems
}

// section reads a mapping whose keys are settings, or sections of settings,
// that begin with prefix.
func (l *loader) section(n *document.Node, prefix string) {
	m, ok := n.Mapping()
	if !ok {
		return
	}
	for _, e := range m.Entries() {
		key := document.Join(prefix, e.Key)
		i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
		switch {
		case i >= 0:
			settings[i].read(l, e.Value)
		case slices.ContainsFunc(settings, func(s setting) bool { return strings.HasPrefix(s.key, key+".") }):
			l.section(e.Value, key)
		default:
			document.Unknown(e.Place, e.Key, keysBelow(prefix))
		}
	}
}

// keysBelow lists the keys that a section may have.
func keysBelow(prefix string) (keys []string) {
	for _, s := range settings {
		rest, ok := s.key, true
		if prefix != "" {
			rest, ok = strings.CutPrefix(s.key, prefix+".")
		}
		key, _, _ := strings.Cut(rest, ".")
		if ok && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// took notes where a value came from.
func (l *loader) took(n *document.Node, ok bool) {
	if !ok {
		return
	}
	o := Origin{Kind: FromFile, File: l.doc.File, Line: n.Line}
	if l.flag != "" {
		o = Origin{Kind: FromFlag, File: l.flag}
	}
	l.config.origins[n.Field] = o
}

// resolve is a path as the process can open it.
func (l *loader) resolve(path string) string {
	if l.flag != "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(l.doc.File), path)
}

func (l *loader) mustBeFile(n *document.Node, path string) {
	info, err := os.Stat(l.resolve(path))
	switch {
	case err != nil:
		n.Problem("%s: %s", path, document.Reason(err))
	case info.IsDir():
		n.Problem("%s: is a directory", path)
	}
}

// complete fills what depends on other settings.
func (l *loader) complete() {
	c := l.config
	for i := range c.Sources {
		if c.Sources[i].EHLO == "" {
			c.Sources[i].EHLO = c.Hostname
		}
	}
	if len(c.Sources) == 0 {
		c.Sources = []Source{{Name: DefaultSource, EHLO: c.Hostname}}
	}
	for domain, target := range c.Routes {
		c.Routes[domain] = withPort(target, c.SMTP.Port)
	}
	c.Limits.Default = c.Limits.Default.over(Limit{Gear: c.SMTP.Gear})
	for _, named := range []map[string]Limit{c.Limits.Sites, c.Limits.Domains} {
		for name, limit := range named {
			named[name] = limit.over(c.Limits.Default)
		}
	}
	l.agree()
}

// agree checks settings against one another.
func (l *loader) agree() {
	c := l.config
	misread := slices.ContainsFunc(l.doc.Problems, func(p problem.Problem) bool { return p.Field == "hostname" })
	if !strings.Contains(c.Hostname, ".") && !misread {
		o := c.Origin("hostname")
		l.doc.Problems.Warn(o.File, o.Line, 0, "hostname", "is %q, which is no fully qualified name: many servers refuse it in EHLO", c.Hostname)
	}
	for _, longer := range []struct {
		key  string
		span time.Duration
	}{{"retry.max", c.Retry.Max}, {"retry.expire", c.Retry.Expire}} {
		if longer.span >= c.Retry.First {
			continue
		}
		// The place is whichever of the two the person wrote.
		o := c.Origin(longer.key)
		if o.Kind == FromDefault {
			o = c.Origin("retry.first")
		}
		l.doc.Problems.Add(o.File, o.Line, 0, longer.key, "is %s, shorter than retry.first (%s)",
			document.FormatDuration(longer.span), document.FormatDuration(c.Retry.First))
	}
	l.agreeServe()
}
