package engine

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// What docs/monitoring says about /metrics, held against what is exported.

var (
	exportedName = regexp.MustCompile(`(?m)^([a-z_][a-z0-9_]*)[ {]`)
	queriedName  = regexp.MustCompile(`\b(?:penstock|process|go)_[a-z0-9_]+\b`)
	labelMatch   = regexp.MustCompile(`(state|result|step)=~?"([^"$]+)"`)
	documented   = regexp.MustCompile(`(?m)^\| (penstock_[a-z_]+) \| ([a-z, ]*) ?\|`)
)

// exported is the names on a page after something was sent.
func exported(t *testing.T) (names map[string]bool, page string) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	w.open()
	w.finish(w.start(w.campaign("c", "", "u1@a.test")))
	page = w.metrics()
	names = make(map[string]bool)
	for _, m := range exportedName.FindAllStringSubmatch(page, -1) {
		names[m[1]] = true
	}
	return names, page
}

func docs(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("../docs/monitoring/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestMonitoringKnowsTheMetrics(t *testing.T) {
	names, page := exported(t)
	queries := make(map[string]string) // by where they stand

	var dashboard struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(docs(t, "dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, q := range p.Targets {
			queries["dashboard: "+p.Title+": "+q.Expr] = q.Expr
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
	}
	var alerts struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For string
				Labels           struct{ Severity string }
				Annotations      struct{ Summary, Description string }
			}
		}
	}
	if err := yaml.UnmarshalWithOptions(docs(t, "alerts.yaml"), &alerts, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	for _, g := range alerts.Groups {
		for _, r := range g.Rules {
			queries["alert "+r.Alert] = r.Expr
			if r.Expr == "" || r.Annotations.Summary == "" || r.Annotations.Description == "" || !slices.Contains([]string{"critical", "warning", "info"}, r.Labels.Severity) {
				t.Errorf("alert %q says too little", r.Alert)
			}
		}
	}
	if len(queries) < 30 {
		t.Fatalf("%d queries: they are read wrongly", len(queries))
	}
	for where, q := range queries {
		used := queriedName.FindAllString(q, -1)
		if len(used) == 0 && !strings.HasPrefix(q, "up{") {
			t.Errorf("%s: asks for nothing of Penstock's", where)
		}
		for _, name := range used {
			if !names[name] {
				t.Errorf("%s: %s is not exported", where, name)
			}
		}
		for _, m := range labelMatch.FindAllStringSubmatch(q, -1) {
			for value := range strings.SplitSeq(m[2], "|") {
				if !strings.Contains(page, m[1]+`="`+value+`"`) {
					t.Errorf("%s: no line has %s %q", where, m[1], value)
				}
			}
		}
		if strings.Count(q, "(") != strings.Count(q, ")") || strings.Count(q, "{")*2 != strings.Count(q, "{")+strings.Count(q, "}") {
			t.Errorf("%s: brackets do not match: %s", where, q)
		}
	}
}

func TestEveryMetricIsDocumented(t *testing.T) {
	names, page := exported(t)
	listed := make(map[string]string)
	for _, m := range documented.FindAllStringSubmatch(string(docs(t, "metrics.md")), -1) {
		if _, twice := listed[m[1]]; twice {
			t.Errorf("%s is listed twice", m[1])
		}
		listed[m[1]] = strings.TrimSpace(m[2])
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		family := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			family = strings.TrimSuffix(family, suffix)
		}
		if _, ok := listed[family]; !ok && strings.HasPrefix(name, "penstock_") {
			t.Errorf("%s is not in metrics.md", family)
		}
	}
	for name, labels := range listed {
		if !names[name] && !names[name+"_bucket"] {
			t.Errorf("metrics.md lists %s, which is not exported", name)
		}
		for label := range strings.SplitSeq(labels, ", ") {
			if label != "" && !regexp.MustCompile(name+`(_bucket)?\{[^}]*`+label+`="`).MatchString(page) {
				t.Errorf("%s has no label %s", name, label)
			}
		}
	}
}
