package compose

import (
	"errors"
	"strings"
	"testing"
)

// TestRunawayTemplatesEnd: no template takes long or much memory, whatever it
// says. Each of these would without bounds.
func TestRunawayTemplatesEnd(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	for name, c := range map[string]struct {
		source string
		want   string // in the error; empty: it may succeed
	}{
		"long range":         {"{% for i in (1..1000000000) %}{% endfor %}", "rounds"},
		"range as list":      {"{% for i in (1..1000000000) reversed %}{% break %}{% endfor %}", ""},
		"range filtered":     {"{% assign a = (1..1000000000) | reverse %}", "rounds"},
		"range joined":       {"{{ (1..99999) | join: 'xxxxxxxxxxxxxxxxx' | size }}", ""},
		"nested loops":       {"{% for i in (1..10000) %}{% for j in (1..10000) %}{% endfor %}{% endfor %}", "rounds"},
		"long output":        {"{% for i in (1..90000) %}" + strings.Repeat("x", 200) + "{% endfor %}", "octets"},
		"doubling assign":    {"{% assign s = 'x' %}{% for i in (1..60) %}{% assign s = s | append: s %}{% endfor %}", "octets"},
		"doubling capture":   {"{% assign s = 'xx' %}{% for i in (1..60) %}{% capture s %}{{ s }}{{ s }}{% endcapture %}{% endfor %}", "octets"},
		"capture in a loop":  {"{% for i in (1..90000) %}{% capture s %}" + strings.Repeat("x", 300) + "{% endcapture %}{% endfor %}", "octets"},
		"replace squared":    {"{% assign s = 'xxxxxxxxxx' %}{% for i in (1..9) %}{% assign s = s | replace: 'x', s %}{% endfor %}", "octets"},
		"replace nothing":    {"{% assign s = 'xx' %}{% for i in (1..60) %}{% assign s = s | replace: '', s %}{% endfor %}", "octets"},
		"doubling list":      {"{% assign l = 'a,b' | split: ',' %}{% for i in (1..60) %}{% assign l = l | concat: l %}{% endfor %}", "octets"},
		"uniq of lists":      {"{% assign l = 'a,b' | split: ',' %}{% for i in (1..15) %}{% assign l = l | concat: l %}{% endfor %}{{ l | uniq | size }}", "octets"},
		"regular expression": {"{{ 'abc' | truncate: 100000 }}{{ 'abc' | truncatewords: 100000 }}", ""},
		"huge slice":         {"{{ 'abc' | slice: -9223372036854775807, 9223372036854775807 }}{{ 'abc' | slice: 2, 9223372036854775807 }}", ""},
		"division by zero":   {"{{ 1 | divided_by: 0 }}", "zero"},
		"modulo of text":     {"{{ 'x' | modulo: 'y' }}", "convert"},
		"spoofed loop":       {"{% for i in (1..2) %}{% assign forloop = 'x' %}{% cycle 'a' %}{% endfor %}", "interface conversion"},
		"index of text":      {"{{ 'x'[0] }}{{ v[0][1].x }}{{ 1.2.y }}", ""},
		"odd date":           {"{{ 'nonsense' | date: '%Y' }}", "convert"},
		"percent":            {"{{ '%zz' | url_decode }}", "escape"},
		"deep value":         {"{% for x in v %}{% endfor %}", ""},
		"too many args":      {"{{ 'a' | upcase: 1, 2, 3 }}", "argument"},
		"map of text":        {"{{ 'abc' | map: 'x' }}{{ 5 | sort }}", "convert"},
		"sort of mixed":      {"{{ v | sort: 'x' }}{% assign m = '1,b' | split: ',' %}{{ m | sort | join }}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := renderAt([]string{"v"}, AppendJSON(nil, []byte(deep)), c.source, inText, MissingEmpty)
			var failed *RenderError
			switch {
			case c.want == "" && err == nil:
			case err == nil || c.want == "" || !strings.Contains(err.Error(), c.want):
				t.Errorf("got %v, want %q", err, c.want)
			case !errors.As(err, &failed):
				t.Errorf("%T is not the recipient's", err)
			}
		})
	}
}

// TestComposerGoesOnAfterAFailure: a recipient whose values fail leaves nothing
// behind for the next one.
func TestComposerGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	content := basic()
	content.Text.Source = "{% assign kept = id %}{% if city == 'boom' %}{{ id | divided_by: 0 }}{% endif %}{{ kept }}{{ later }}{% assign later = 'x' %}"
	content.OnMissing = MissingEmpty
	composer := mustCompile(t, content).NewComposer()
	var m Message
	if err := composer.Compose(&m, recipient("1", "", "boom"), Caps{}); err == nil {
		t.Fatal("dividing by zero went well")
	}
	for range 2 {
		if err := composer.Compose(&m, recipient("2", "", ""), Caps{}); err != nil {
			t.Fatal(err)
		}
		parts, _ := leaves(t, joined(&m))
		if parts[0].body != "2" {
			t.Errorf("got %q", parts[0].body)
		}
	}
}
