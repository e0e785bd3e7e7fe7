package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// text is a Text as a file would give it.
func text(s string) Text { return Text{File: "t", Line: 1, Column: 1, Source: s} }

// basic is a content that compiles; tests change what they are about.
func basic() *Content {
	return &Content{
		From:           text("Acme News <news@acme.example>"),
		Subject:        text("Hello {{ first_name | default: 'friend' }}"),
		Text:           text("Dear {{ first_name | default: 'friend' }},\n\nyour number is {{ id }}.\n"),
		HTML:           text("<p>Dear {{ first_name | default: 'friend' }},</p>\n<p>your number is <b>{{ id }}</b>.</p>\n"),
		UnsubscribeURL: text("https://acme.example/u/{{ id }}"),
	}
}

var columns = []string{"id", "first_name", "city", "data"}

var options = Options{Campaign: "spring-2026", Number: 7, Columns: columns, Secret: []byte("a secret for tests")}

// row encodes text values for columns.
func row(values ...string) (fields []byte) {
	for _, v := range values {
		fields = AppendString(fields, v)
	}
	return fields
}

func recipient(values ...string) *Recipient {
	return &Recipient{Seq: 42, Local: []byte("ada"), Domain: []byte("example.org"), Fields: row(values...),
		Date: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)}
}

var eightBitCaps = Caps{EightBitMIME: true, SMTPUTF8: true}

func mustCompile(t testing.TB, c *Content) *Template {
	t.Helper()
	tpl, problems := Compile(c, options)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return tpl
}

// composed is the message as bytes.
func composed(t testing.TB, tpl *Template, r *Recipient, caps Caps) []byte {
	t.Helper()
	var m Message
	if err := tpl.NewComposer().Compose(&m, r, caps); err != nil {
		t.Fatal(err)
	}
	defer m.Reset()
	whole := joined(&m)
	if m.Size != len(whole) {
		t.Errorf("Size is %d, the parts have %d octets", m.Size, len(whole))
	}
	if m.EightBit != !isASCII(whole) {
		t.Errorf("EightBit is %v", m.EightBit)
	}
	return whole
}

// joined is the message as bytes.
func joined(m *Message) []byte { return bytes.Join(m.Parts, nil) }

func TestMessageIsTheSameAtEveryAttempt(t *testing.T) {
	t.Parallel()
	tpl := mustCompile(t, basic())
	r := recipient("1001", "Zoë")
	first := composed(t, tpl, r, eightBitCaps)
	again := mustCompile(t, basic())
	if second := composed(t, again, r, eightBitCaps); !bytes.Equal(first, second) {
		t.Errorf("differs:\n%s\n%s", first, second)
	}
	r.Seq++
	other := composed(t, tpl, r, eightBitCaps)
	if id := parse(t, first).Header.Get("Message-Id"); id == parse(t, other).Header.Get("Message-Id") {
		t.Errorf("two recipients have the Message-ID %s", id)
	}
}

func TestSharedPartsAreNotCopied(t *testing.T) {
	t.Parallel()
	c := basic()
	c.HTML.Source = strings.Repeat("<p>long enough to be shared</p>\n", 100) + "{{ id }}" + strings.Repeat("<p>and so is this</p>\n", 100)
	tpl := mustCompile(t, c)
	var a, b Message
	composer := tpl.NewComposer()
	for _, m := range []*Message{&a, &b} {
		if err := composer.Compose(m, recipient("1", "x"), eightBitCaps); err != nil {
			t.Fatal(err)
		}
	}
	shared := 0
	for i, part := range a.Body() {
		if s := a.Segment(i); s >= 0 {
			shared++
			if &part[0] != &tpl.Segment(s)[0] || &part[0] != &b.Body()[i][0] {
				t.Errorf("part %d is a copy", i)
			}
		}
	}
	if shared != 2 {
		t.Errorf("%d parts are shared, want 2", shared)
	}
}

func TestPrependPutsFieldsFirst(t *testing.T) {
	t.Parallel()
	var m Message
	if err := mustCompile(t, basic()).NewComposer().Compose(&m, recipient("1", "x"), Caps{}); err != nil {
		t.Fatal(err)
	}
	before := m.Size
	if !bytes.HasSuffix(m.Header(), []byte("\r\n")) || bytes.HasSuffix(m.Header(), []byte("\r\n\r\n")) {
		t.Error("Header does not end with its last field")
	}
	m.Prepend([]byte("X-Trace: 1\r\n"))
	var out bytes.Buffer
	if n, err := m.WriteTo(&out); err != nil || n != int64(m.Size) || m.Size != before+12 {
		t.Errorf("wrote %d octets, Size %d, before %d: %v", n, m.Size, before, err)
	}
	if !strings.HasPrefix(out.String(), "X-Trace: 1\r\nFrom: ") {
		t.Errorf("begins with %.40q", out.String())
	}
}

func TestMissingFieldConcernsTheRecipient(t *testing.T) {
	t.Parallel()
	c := basic()
	composer := mustCompile(t, c).NewComposer()
	var m Message
	for _, r := range []*Recipient{recipient(""), recipient()} {
		var missing *MissingFieldError
		if err := composer.Compose(&m, r, eightBitCaps); !errors.As(err, &missing) || missing.Field != "id" {
			t.Errorf("got %v", err)
		}
		if m.Parts != nil {
			t.Error("a message remains")
		}
	}
	c.OnMissing = MissingEmpty
	if err := mustCompile(t, c).NewComposer().Compose(&m, recipient(), eightBitCaps); err != nil {
		t.Error(err)
	}
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, envelope, want string }{
		{"Acme <news@ACME.example>", "", "news@acme.example"},
		{"news@acme.example", "<>", ""},
		{"news@acme.example", "bounces+{{ penstock.verp }}@b.example", "bounces+" + verpOf(42) + "@b.example"},
		{"news@acme.example", "{{ penstock.campaign }}.{{ penstock.seq }}@b.example", "spring-2026.42@b.example"},
		{"{{ first_name }} <{{ city }}@acme.example>", "", "rome@acme.example"},
	} {
		content := basic()
		content.From = text(c.from)
		if c.envelope != "" {
			content.EnvelopeFrom = text(c.envelope)
		}
		var m Message
		if err := mustCompile(t, content).NewComposer().Compose(&m, recipient("1", "Ada", "rome"), Caps{}); err != nil {
			t.Errorf("%v: %v", c, err)
			continue
		}
		if m.From != c.want || m.To != "ada@example.org" {
			t.Errorf("%v: from %q to %q", c, m.From, m.To)
		}
	}
}

func verpOf(seq uint32) string {
	return string(appendVERP(nil, options.Number, seq, newKeyed(options.Secret).recipient(options.Number, seq)))
}

func TestValuesCannotMakeAddressesBad(t *testing.T) {
	t.Parallel()
	content := basic()
	content.From = text("{{ first_name }} <{{ city }}@acme.example>")
	composer := mustCompile(t, content).NewComposer()
	for _, city := range []string{"a b", "a@b", "x>", "<x", "a\r\nTo: b", ".", "é<"} {
		var m Message
		var bad *AddressError
		if err := composer.Compose(&m, recipient("1", "A", city), eightBitCaps); !errors.As(err, &bad) {
			t.Errorf("%q: %v, message %q", city, err, m.Parts)
		}
	}
}

func TestUTF8Address(t *testing.T) {
	t.Parallel()
	composer := mustCompile(t, basic()).NewComposer()
	r := recipient("1", "x")
	r.Local = []byte("zoë")
	var m Message
	if err := composer.Compose(&m, r, eightBitCaps); err != nil || !m.UTF8 || m.To != "zoë@example.org" {
		t.Errorf("%v, UTF8 %v, to %s", err, m.UTF8, m.To)
	}
	if err := composer.Compose(&m, r, Caps{EightBitMIME: true}); !errors.Is(err, ErrNeedsSMTPUTF8) {
		t.Errorf("got %v", err)
	}
}

func TestOwnAddressField(t *testing.T) {
	t.Parallel()
	content := basic()
	content.Text.Source = "{{ id }} {% if id contains '@' %}at{% endif %}"
	content.HTML = Text{}
	r := recipient()
	r.Fields = AppendOwnAddress(nil)
	m := composed(t, mustCompile(t, content), r, Caps{})
	if !bytes.HasSuffix(m, []byte("\r\n\r\nada@example.org at\r\n")) {
		t.Errorf("got %q", m)
	}
}

// raceDetector: pools drop what they are given, so allocations say nothing.
var raceDetector bool

func TestSteadyStateHardlyAllocates(t *testing.T) {
	if raceDetector {
		t.Skip("allocations differ under the race detector")
	}
	tpl := mustCompile(t, benchmarkContent())
	composer := tpl.NewComposer()
	var m Message
	r := recipient("1001", "Ada", "London")
	allocs := testing.AllocsPerRun(1000, func() {
		if err := composer.Compose(&m, r, eightBitCaps); err != nil {
			t.Fatal(err)
		}
		m.Reset()
	})
	if allocs > 2 {
		t.Errorf("%v allocations a message, want 2 at most", allocs)
	}
}

// benchmarkContent is 30 KB of HTML with six substitutions.
func benchmarkContent() *Content {
	c := basic()
	c.Text = Text{}
	var b strings.Builder
	for _, f := range []string{"first_name", "city", "id", "first_name", "city", "id"} {
		b.WriteString(strings.Repeat("<tr><td style=\"padding:0\">Grüße, a cell = of text</td></tr>\r\n", 81))
		b.WriteString("<p>{{ " + f + " }}</p>\r\n")
	}
	c.HTML = text(b.String())
	c.EnvelopeFrom = text("b+{{ penstock.verp }}@b.acme.example")
	return c
}

func BenchmarkCompose(b *testing.B) {
	small := basic()
	small.HTML = Text{}
	small.Text.Source = strings.Repeat("A line of text, as long as many are.\r\n", 50) + small.Text.Source
	liquid := benchmarkContent()
	liquid.HTML.Source += "{% if city == 'London' %}{{ city | upcase }}{% endif %}"
	for _, bench := range []struct {
		name    string
		content *Content
		caps    Caps
	}{
		{"2KB", small, eightBitCaps},
		{"30KB", benchmarkContent(), eightBitCaps},
		{"30KB/quoted-printable", benchmarkContent(), Caps{}},
		{"30KB/liquid", liquid, eightBitCaps},
	} {
		b.Run(bench.name, func(b *testing.B) {
			composer := mustCompile(b, bench.content).NewComposer()
			r := recipient("1001", "Ada", "London")
			var m Message
			b.ReportAllocs()
			for b.Loop() {
				if err := composer.Compose(&m, r, bench.caps); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(m.Size))
				m.Reset()
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	c := benchmarkContent()
	for b.Loop() {
		mustCompile(b, c)
	}
}

func TestFieldsRoundTrip(t *testing.T) {
	t.Parallel()
	raw := AppendString(nil, "a")
	raw = AppendAbsent(raw)
	raw = AppendJSON(raw, []byte("12.5"))
	raw = AppendOwnAddress(raw)
	raw = AppendString(raw, strings.Repeat("x", 300))
	var f Fields
	if err := f.Decode(raw); err != nil || f.Len() != 5 {
		t.Fatal(err, f.Len())
	}
	want := []Kind{String, Absent, JSON, OwnAddress, String, Absent}
	var got []Kind
	for i := range 6 {
		got = append(got, f.Value(i).Kind)
	}
	if !slices.Equal(got, want) || string(f.Value(2).Bytes) != "12.5" || len(f.Value(4).Bytes) != 300 {
		t.Errorf("got %v", got)
	}
	for _, bad := range []string{"\x09", "\x80", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x04", "\x07x"} {
		if err := f.Decode([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestTextsMustBeUTF8(t *testing.T) {
	t.Parallel()
	latin := basic()
	latin.Text.Source = "Gr\xfc\xdfe"
	ready := &Content{Message: text("From: a@acme.example\n\nGr\xfc\xdfe\n")}
	for want, content := range map[string]*Content{"t:1:3: text: is not UTF-8": latin, "t:3:3: message: is not UTF-8": ready} {
		if _, problems := Compile(content, options); problems.Err() == nil || !strings.Contains(problems.Error(), want) {
			t.Errorf("got %v, want %s", problems, want)
		}
	}
}

func TestByteOrderMarkGoes(t *testing.T) {
	t.Parallel()
	content := basic()
	content.Text.Source, content.HTML = "\ufeffHello", Text{}
	ready := &Content{Message: text("\ufeffFrom: a@acme.example\nX: {{ id }}\n\nHello")}
	for _, c := range []*Content{content, ready} {
		if m := composed(t, mustCompile(t, c), recipient("1", "2"), Caps{}); bytes.Contains(m, []byte("\ufeff")) || !bytes.HasSuffix(m, []byte("\r\n\r\nHello\r\n")) {
			t.Errorf("got %q", m)
		}
	}
}

// TestUnsubscribeFields: RFC 2369 3.2, RFC 8058 3.1.
func TestUnsubscribeFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, mailto, value, list, post, fails string }{
		{url: "https://x.example/{{ id }}", value: "a b>", list: "<https://x.example/a%20b%3E>", post: "List-Unsubscribe=One-Click"},
		{url: "{{ id }}", value: "https://x.example/?a=1&b=2", list: "<https://x.example/?a=1&b=2>", post: "List-Unsubscribe=One-Click"},
		{url: "http://x.example/", list: "<http://x.example/>"},
		{mailto: "u@x.example", list: "<mailto:u@x.example>"},
		{mailto: "mailto:u+{{ id }}@x.example", value: "ü", list: "<mailto:u+%C3%BC@x.example>"},
		{url: "HTTPS://x.example/", mailto: "u@x.example", list: "<HTTPS://x.example/>, <mailto:u@x.example>", post: "List-Unsubscribe=One-Click"},
		{url: "{{ id }}", value: "javascript:x", fails: "neither"},
		{url: "{{ id }}", value: "https://x.example/<b>", fails: "cannot be in a URL"},
		{url: "https://x.example/{{ id }}", value: strings.Repeat("x", 2000), fails: "too long"},
		{mailto: "{{ id }}", value: "nobody", fails: "mailto"},
	} {
		content := basic()
		content.HTML, content.Text = Text{}, text("x")
		content.UnsubscribeURL, content.UnsubscribeMailto = Text{}, Text{}
		if c.url != "" {
			content.UnsubscribeURL = text(c.url)
		}
		if c.mailto != "" {
			content.UnsubscribeMailto = text(c.mailto)
		}
		var m Message
		err := mustCompile(t, content).NewComposer().Compose(&m, recipient(c.value, ""), Caps{})
		if c.fails != "" || err != nil {
			var bad *AddressError
			if c.fails == "" || !errors.As(err, &bad) || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		header := parse(t, joined(&m)).Header
		if header.Get("List-Unsubscribe") != c.list || header.Get("List-Unsubscribe-Post") != c.post {
			t.Errorf("%+v: %q, %q", c, header.Get("List-Unsubscribe"), header.Get("List-Unsubscribe-Post"))
		}
	}
}

// TestBoundaryInTheTemplate: the fixed text holds what would be the boundary.
func TestBoundaryInTheTemplate(t *testing.T) {
	t.Parallel()
	first := string(composed(t, mustCompile(t, basic()), recipient("1", "x"), Caps{}))
	_, rest, _ := strings.Cut(first, "boundary=\"")
	boundary, _, _ := strings.Cut(rest, "\"")
	for _, source := range []string{
		"a\n--" + boundary + "\nb",
		"a\n--" + boundary[:10] + "{{ id }}",
		"a\n--={{ id }}" + boundary[1:],
		"a\n--{{ id }}" + boundary,
	} {
		content := basic()
		content.Text.Source = source
		for _, id := range []string{boundary[10:], "", "_", "=", boundary} {
			content.OnMissing = MissingEmpty
			parts, _ := leaves(t, composed(t, mustCompile(t, content), recipient(id, "x"), eightBitCaps))
			want := strings.ReplaceAll(strings.ReplaceAll(source, "\n", "\r\n"), "{{ id }}", id)
			if len(parts) != 2 || parts[0].body != want {
				t.Errorf("%q with %q gives %d parts: %q", source, id, len(parts), parts[0].body)
			}
		}
	}
}

func TestContentSurvivesJSON(t *testing.T) {
	t.Parallel()
	content := basic()
	content.Attachments = []Part{{Name: "a", File: "b", Bytes: []byte{0, 255}}}
	content.Headers = []Header{{"X-A", text("é")}}
	content.OnMissing = MissingEmpty
	raw, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	var back Content
	if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(content, &back) {
		t.Errorf("%v: %s", err, raw)
	}
	if back.ReplyTo.Given() || !back.From.Given() {
		t.Error("what was given is not told from what was not")
	}
}

// brokenWriter takes so many octets and then fails.
type brokenWriter int

func (w *brokenWriter) Write(p []byte) (int, error) {
	n := min(len(p), int(*w))
	*w -= brokenWriter(n)
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

func TestWriteToTellsHowFarItCame(t *testing.T) {
	t.Parallel()
	var m Message
	if err := mustCompile(t, basic()).NewComposer().Compose(&m, recipient("1", "x"), Caps{}); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 10, m.Size - 1} {
		w := brokenWriter(room)
		if n, err := m.WriteTo(&w); n != int64(room) || !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("room for %d: wrote %d, %v", room, n, err)
		}
	}
}
