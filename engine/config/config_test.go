package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/problem"
)

var rewrite = flag.Bool("rewrite", false, "write what is got as what is wanted; commit only what you understand")

// TestExampleIsTheDefaults reads the example and finds every default in it.
func TestExampleIsTheDefaults(t *testing.T) {
	t.Parallel()
	example, problems := Parse("penstock.yaml", Example)
	if len(problems) > 0 {
		t.Fatalf("the example has problems:\n%v", problems)
	}
	plain, _ := Load("")
	differs := map[string]bool{"hostname": true, "data": true, "sources.default": true}
	want := map[string]string{}
	for _, e := range plain.Effective() {
		want[e.Key] = e.Value
	}
	for _, e := range example.Effective() {
		if !differs[e.Key] && e.Value != want[e.Key] {
			t.Errorf("%s: the example says %q, the default is %q", e.Key, e.Value, want[e.Key])
		}
	}
}

// TestExampleListsEverySetting, also after its commented lines are uncommented.
func TestExampleListsEverySetting(t *testing.T) {
	t.Parallel()
	for _, s := range settings {
		parts := strings.Split(s.key, ".")
		last := parts[len(parts)-1]
		if !regexp.MustCompile(`(?m)^[ #]*` + last + `:`).Match(Example) {
			t.Errorf("%s is not in the example", s.key)
		}
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "campaigns"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sites.txt", "never.txt", "server.pem", "server.key", "clients.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A comment that is a line of YAML: "# key: ..." or "# - {...}" at any depth.
	full := regexp.MustCompile(`(?m)^( *)# ( *(?:[a-z_."*]+:( |$)|- \{).*)$`).ReplaceAllStringFunc(string(Example), func(line string) string {
		if regexp.MustCompile(`# (gear: as|penstock\.yaml:|[a-z]+ by )`).MatchString(line) {
			return line
		}
		return strings.Replace(line, "# ", "", 1)
	})
	c, problems := Parse(filepath.Join(dir, "penstock.yaml"), []byte(full))
	if len(problems) > 0 {
		t.Fatalf("uncommented, the example has problems:\n%v\n%s", problems, full)
	}
	if len(c.Routes) != 2 || len(c.Sources) != 2 || len(c.Limits.Sites) != 1 || len(c.Limits.Domains) != 1 ||
		len(c.Suppress) != 1 || len(c.MX.Prohibited) != 3 || len(c.DNS.Servers) != 1 || c.MX.Rules == "" || c.Log.File == "" ||
		c.Serve.Listen == "" || c.Serve.TLS.Key == "" || c.Serve.TLS.ClientCA == "" || len(c.Serve.Clients) != 2 {
		t.Errorf("not everything was read: %+v", c)
	}
}

// TestProblems compares what is said of each file in testdata/*.yaml with the
// .problems beside it.
func TestProblems(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, file := range files {
		_, problems := load(document.Read(file), nil, "vm")
		golden(t, strings.TrimSuffix(file, ".yaml")+".problems", problems.Error()+"\n")
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func TestEffectiveNamesOrigins(t *testing.T) {
	t.Parallel()
	source := `hostname: mx.example.com
smtp: {gear: pipelining}
limits:
  default: {message_rate: 100/s}
  sites:
    google: {connections: 3}
routes: {"Bücher.example": "127.0.0.1"}
`
	c, problems := Parse("penstock.yaml", []byte(source), Flag{"--dns", "dns.servers", []string{"127.0.0.1:5353", "192.0.2.1"}}, Flag{"--data", "data", []string{"d"}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got := map[string]string{}
	for _, e := range c.Effective() {
		got[e.Key] = e.Value + " | " + e.Origin.String()
	}
	for key, want := range map[string]string{
		"hostname":                         "mx.example.com | penstock.yaml:1",
		"data":                             "d | --data",
		"dns.servers":                      "[127.0.0.1:5353, 192.0.2.1:53] | --dns",
		"dns.timeout":                      "5s | default",
		"smtp.gear":                        "pipelining | penstock.yaml:2",
		"limits.sites.google.connections":  "3 | penstock.yaml:6",
		"limits.sites.google.message_rate": "100/s | penstock.yaml:4",
		"limits.sites.google.gear":         "pipelining | default",
		"routes.xn--bcher-kva.example":     "127.0.0.1:25 | penstock.yaml:7",
		"sources.default":                  "any address as mx.example.com | default",
		"retry.expire":                     "3d | default",
	} {
		if got[key] != want {
			t.Errorf("%s: got %q, want %q", key, got[key], want)
		}
	}
}

func TestFlagsAreCheckedLikeTheFile(t *testing.T) {
	t.Parallel()
	_, problems := Load("", Flag{"--dns", "dns.servers", []string{"a b"}}, Flag{"--port", "smtp.port", []string{"0"}}, Flag{"--x", "nonsense", nil})
	want := []string{"--dns: dns.servers: is", "--port: smtp.port: is 0", "--x: nonsense: is not a setting"}
	for _, w := range want {
		if !strings.Contains(problems.Error(), w) {
			t.Errorf("got %v, want %q in it", problems, w)
		}
	}
	if problems.Err() == nil {
		t.Error("mistakes in flags are no error")
	}
}

func TestProhibitedNothingIsSaidExplicitly(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"hostname: a.example":     "built in",
		"mx: {prohibited: []}":    "none",
		"mx: {prohibited: }":      "problem",
		"mx: {prohibited: 1.2.3}": "problem",
	} {
		c, problems := Parse("p.yaml", []byte(source))
		got := "built in"
		switch {
		case problems.Err() != nil:
			got = "problem"
		case c.MX.Prohibited != nil && len(c.MX.Prohibited) == 0:
			got = "none"
		}
		if got != want {
			t.Errorf("%s: %s, want %s (%v)", source, got, want, problems)
		}
	}
}

func TestUnlimitedSiteStaysSoUnderALimitedDefault(t *testing.T) {
	t.Parallel()
	c, problems := Parse("p.yaml", []byte("hostname: a.example\nlimits: {default: {message_rate: 5/s}, sites: {mine: {message_rate: none}, other: {}}}"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if r := c.Limits.Sites["mine"].MessageRate.PerSecond(); r < 1e300 {
		t.Errorf("mine is held to %v a second", r)
	}
	if r := c.Limits.Sites["other"].MessageRate; r != (Rate{Count: 5, Per: time.Second}) {
		t.Errorf("other is held to %v", r)
	}
}

func TestMissingFileIsAProblemWithItsName(t *testing.T) {
	t.Parallel()
	_, problems := Load("testdata/nowhere/penstock.yaml")
	if err := problems.Err(); err == nil || !strings.Contains(err.Error(), "testdata/nowhere/penstock.yaml: no such file") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Example)
	f.Add([]byte("routes: {a: [b, {c: d}]}\nsources: [{ip: x}, 3]\nlimits: {sites: {a: {gear: 1}}}"))
	f.Add([]byte("a: &x [*x]\n<<: {b: 1}\n? [c]\n: d"))
	f.Fuzz(func(t *testing.T, source []byte) {
		c, problems := Parse("p.yaml", source)
		if c == nil || len(c.Sources) == 0 {
			t.Fatal("incomplete")
		}
		for _, e := range c.Effective() {
			_ = fmt.Sprint(e)
		}
		for _, p := range problems {
			if p.Message == "" {
				t.Fatalf("a problem without words: %+v", p)
			}
		}
		if problems.Err() != nil {
			return
		}
		check(t, c, problems)
	})
}

// check: what was accepted lies within its bounds.
func check(t *testing.T, c *Config, problems problem.List) {
	if c.MaxInDoubt < 1 || c.SMTP.Port < 1 || c.Retry.First > c.Retry.Max || c.Limits.Default.Connections < 1 {
		t.Fatalf("accepted %+v with %v", c, problems)
	}
}

// TestTheReadmeShowsTheExample: the reference that people read is the one that
// is tested.
func TestTheReadmeShowsTheExample(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), strings.TrimSpace(string(Example))) {
		t.Error("README.md does not show engine/config/penstock.yaml as it is")
	}
}
