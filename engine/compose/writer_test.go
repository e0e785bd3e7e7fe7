package compose

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	gomail "github.com/wneessen/go-mail"
)

// TestMessagesOfAnotherWriter: what wneessen/go-mail writes goes through as a
// ready-made message, with every part saying the same.
func TestMessagesOfAnotherWriter(t *testing.T) {
	t.Parallel()
	const htmlBody = "<p>Grüße an {{ first_name }}</p>\r\n<p>über 998 Zeichen: "
	for _, encoding := range []gomail.Encoding{gomail.EncodingQP, gomail.EncodingB64, gomail.NoEncoding} {
		m := gomail.NewMsg(gomail.WithEncoding(encoding))
		if err := m.FromFormat("Größe & Co.", "news@acme.example"); err != nil {
			t.Fatal(err)
		}
		m.Subject("Für {{ first_name }} – mit Umlauten")
		m.SetBodyString(gomail.TypeTextPlain, "Hallo {{ first_name }},\r\n\r\n.\r\nSchluß mit Leerzeichen \r\n")
		m.AddAlternativeString(gomail.TypeTextHTML, htmlBody+strings.Repeat("x", 700)+"</p>")
		if err := m.EmbedReader("logo.png", strings.NewReader("\x89PNG\r\n\x00picture")); err != nil {
			t.Fatal(err)
		}
		if err := m.AttachReader("data.bin", strings.NewReader("{{ not a template }}\x00")); err != nil {
			t.Fatal(err)
		}
		var source bytes.Buffer
		if _, err := m.WriteTo(&source); err != nil {
			t.Fatal(err)
		}
		tpl, problems := Compile(&Content{Message: text(source.String())}, options)
		if err := problems.Err(); err != nil {
			t.Fatalf("%v in\n%s", err, source.String())
		}
		for _, caps := range []Caps{{}, eightBitCaps} {
			raw := composed(t, tpl, recipient("1", "<Zoë>"), caps)
			parts, _ := leaves(t, raw)
			var bodies []string
			for _, p := range parts {
				bodies = append(bodies, p.body)
			}
			want := []string{
				"Hallo <Zoë>,\r\n\r\n.\r\nSchluß mit Leerzeichen \r\n",
				"<p>Grüße an &lt;Zoë&gt;</p>\r\n<p>über 998 Zeichen: " + strings.Repeat("x", 700) + "</p>",
				"\x89PNG\r\n\x00picture",
				"{{ not a template }}\x00",
			}
			for i, w := range want {
				if i >= len(bodies) || strings.TrimRight(bodies[i], "\r\n") != strings.TrimRight(w, "\r\n") {
					t.Errorf("%s: part %d\n got %q\nwant %q", encoding, i, bodies, w)
				}
			}
			if !caps.EightBitMIME && !isASCII(raw) {
				t.Errorf("%s: eight bits for a server that takes seven", encoding)
			}
		}
	}
}

// TestComposersShareATemplate is for the race detector.
func TestComposersShareATemplate(t *testing.T) {
	t.Parallel()
	content := basic()
	content.HTML.Source += strings.Repeat("{% if id == '1' %}{{ first_name | truncate: 3 }}{% endif %}<p>x</p>\n", 50)
	tpl := mustCompile(t, content)
	want := composed(t, tpl, recipient("1", "Adalbert"), eightBitCaps)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			composer := tpl.NewComposer()
			for range 20 {
				var m Message
				if err := composer.Compose(&m, recipient("1", "Adalbert"), eightBitCaps); err != nil || !bytes.Equal(joined(&m), want) {
					t.Errorf("differs, %v", err)
				}
				m.Reset()
			}
		})
	}
	workers.Wait()
}

// TestMissingFieldIsNamed: also deep within a template.
func TestMissingFieldIsNamed(t *testing.T) {
	t.Parallel()
	columns, fields := jsonRow(t, `{"name": "Ada", "city": "", "pet": {"kind": "dog"}, "none": null, "list": [], "no": false, "zero": 0}`)
	for source, want := range map[string]string{
		"{{ city }}":                                "city",
		"{{ city | upcase }}":                       "city",
		"{{ none }}":                                "none",
		"{{ list }}":                                "list",
		"{{ no }}{{ zero }}":                        "",
		"{{ city | default: '' }}":                  "",
		"{{ city | append: 'x' }}":                  "city",
		"{% if city %}{{ pet.name }}{% endif %}":    "pet.name",
		"{% if name %}{{ pet['name'] }}{% endif %}": "pet['name']",
		"{{ pet.name | default: 'none' }}":          "",
		"{% if none %}{{ none }}{% endif %}":        "",
		"{{ city | split: ',' | join: '-' }}":       "city",
		"{% assign x = city %}{{ x }}":              "",
		"{{ city == '' }}":                          "",
	} {
		_, err := renderAt(columns, fields, source, inText, MissingError)
		got := ""
		if missing, ok := err.(*MissingFieldError); ok {
			got = missing.Field
		} else if err != nil {
			t.Errorf("%s: %v", source, err)
		}
		if got != want {
			t.Errorf("%s: missing %q, want %q", source, got, want)
		}
		if _, err := renderAt(columns, fields, source, inText, MissingEmpty); err != nil {
			t.Errorf("%s with on_missing empty: %v", source, err)
		}
	}
}
