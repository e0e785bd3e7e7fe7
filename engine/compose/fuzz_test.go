package compose

import (
	"os"
	"strings"
	"testing"
)

// FuzzCompile: any content either has a problem or makes proper messages, for
// any row, and never panics.
func FuzzCompile(f *testing.F) {
	f.Add("a@acme.example", "{{ id }}", "x", "<p>{{ id | upcase }}", "https://x.example/{{ id }}", "v")
	f.Add("{{ id }} <a@acme.example>", "s", "{% if id %}x{% endif %}", "{{- id -}}", "{{ id }}", "https://y")
	f.Add("\"a\" <a@acme.example>", "{% raw %}{{{% endraw %}", "{% for i in (1..3) %}{{ i }}{% endfor %}", "", "", "\r\n")
	f.Add("a@acme.example", "{% comment %}", "{% capture x %}{{ id }}{% endcapture %}{{ x }}", "cid:x", "https://", "\x00")
	f.Fuzz(func(t *testing.T, from, subject, plain, html, url, value string) {
		content := &Content{From: text(from), Subject: text(subject), Text: text(plain), HTML: text(html),
			Headers: []Header{{"X-Other", text(subject)}}, OnMissing: MissingEmpty}
		if url != "" {
			content.UnsubscribeURL = text(url)
		}
		composeFuzzed(t, content, value)
	})
}

// FuzzReadyMade: the same for ready-made messages.
func FuzzReadyMade(f *testing.F) {
	golden, err := os.ReadFile("testdata/goldens/ready")
	if err != nil {
		f.Fatal(err)
	}
	for _, block := range strings.Split(string(golden), "set message\n")[1:] {
		message, _, _ := strings.Cut(block, "\n----")
		f.Add(message, "value")
	}
	f.Fuzz(func(t *testing.T, message, value string) {
		composeFuzzed(t, &Content{Message: text(message), OnMissing: MissingEmpty}, value)
	})
}

func composeFuzzed(t *testing.T, content *Content, value string) {
	tpl, problems := Compile(content, options)
	if (problems.Err() == nil) != (tpl != nil) {
		t.Fatalf("template %v, problems %v", tpl, problems)
	}
	if tpl == nil {
		return
	}
	composer := tpl.NewComposer()
	for _, caps := range []Caps{{}, eightBitCaps} {
		var m Message
		if err := composer.Compose(&m, recipient(value, value, value), caps); err != nil {
			continue
		}
		raw := joined(&m)
		if err := strict(raw); err != nil {
			t.Fatalf("%v in\n%q", err, raw)
		}
		if m.EightBit && !caps.EightBitMIME && !tpl.eightBit && !m.UTF8 {
			t.Fatalf("eight bits for a server that takes seven:\n%q", raw)
		}
	}
}

// FuzzFields: decoding takes anything.
func FuzzFields(f *testing.F) {
	f.Add(row("a", "b"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var fields Fields
		if fields.Decode(raw) != nil {
			return
		}
		for i := range fields.Len() + 1 {
			fields.Value(i)
		}
	})
}

// FuzzParseVERP: nothing that we did not make is taken.
func FuzzParseVERP(f *testing.F) {
	f.Add(verpOf(42))
	f.Add("1" + strings.Repeat("a", 29))
	f.Fuzz(func(t *testing.T, token string) {
		campaign, seq, err := ParseVERP(token, options.Secret)
		if err != nil {
			return
		}
		if want := string(appendVERP(nil, campaign, seq, newKeyed(options.Secret).recipient(campaign, seq))); strings.ToLower(token) != want {
			t.Fatalf("%q was taken for %q", token, want)
		}
	})
}
