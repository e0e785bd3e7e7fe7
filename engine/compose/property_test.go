package compose

import (
	"html"
	"mime"
	"net/mail"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// nasty draws what a row may hold: anything, with a liking for what breaks mail.
func nasty() *rapid.Generator[string] {
	pieces := rapid.SampledFrom([]string{
		"\r", "\n", "\r\n", "\n.\n", "\r\n.\r\n", "\x00", ".", "..", " ", "\t", "=", "=\r\n", "=3D", "_", "=_", "--", "--=_",
		"{{", "}}", "{% if %}", "<b>", "&amp;", "\"", "'", "\\", "é", "日本", "\U0001F600", "\xff", "\xc3", "\x80", "=?utf-8?q?x?=",
		"From ", "\r\nBcc: evil@example.org", "\r\n\r\nbody", "a@b", "<>", "(c)", ";", ",", "\x1b[0m", "\x7f", "\u2028", "\ufeff",
		strings.Repeat("x", 80), strings.Repeat("y", 1200), strings.Repeat("é", 600), strings.Repeat(" ", 90), strings.Repeat(" ", 1100),
	})
	return rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		for range rapid.IntRange(0, 6).Draw(t, "pieces") {
			if rapid.Bool().Draw(t, "free") {
				b.WriteString(rapid.String().Draw(t, "text"))
			} else {
				b.WriteString(pieces.Draw(t, "piece"))
			}
		}
		return b.String()
	})
}

// inBody is what a reader should see of s in a body, written apart from the
// code under test.
func inBody(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\x00", ""), "\n", "\r\n")
	return toValid(s)
}

// toValid replaces each malformed octet.
func toValid(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

// inField is what a reader should see of s in a header field, but for spaces.
func inField(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", " "), "\x00", "")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r == 0x7f:
			return -1
		}
		return r
	}, toValid(s))
	return s
}

// TestAnyValuesMakeAProperMessage: whatever a row holds, the message keeps to
// the rules and says what the template and the values say.
func TestAnyValuesMakeAProperMessage(t *testing.T) {
	t.Parallel()
	const lead = "Line with a space at its end \r\n\r\n.\r\ntabs\t\r\n=_ and = and é"
	rapid.Check(t, func(t *rapid.T) {
		id, name, city := nasty().Draw(t, "id"), nasty().Draw(t, "name"), nasty().Draw(t, "city")
		fixed := rapid.SampledFrom([]string{"", "ascii ", lead, strings.Repeat("a line of some length\r\n", 40), strings.Repeat("z", 990)}).Draw(t, "fixed")
		island := rapid.Bool().Draw(t, "island")
		open, end := "", ""
		if island {
			open, end = "{% if true %}", "{% endif %}"
		}
		caps := Caps{EightBitMIME: rapid.Bool().Draw(t, "8bit"), SMTPUTF8: true}
		content := &Content{
			From:      text("{{ first_name }} <news@acme.example>"),
			ReplyTo:   text("\"Reply, {{ city }}\" <reply@acme.example>"),
			Subject:   text("Hi {{ first_name }}: {{ id }}"),
			Text:      text(fixed + "{{ id }}" + fixed + open + "{{ first_name }}-{{ city }}" + end + "\r\n"),
			HTML:      text(fixed + "<p>{{ id }}" + open + "{{ first_name }}" + end + fixed + "{{ city | raw }}"),
			Headers:   []Header{{"X-City", text("{{ city }}")}},
			OnMissing: MissingEmpty,
		}
		if rapid.Bool().Draw(t, "attachment") {
			content.Attachments = []Part{{Name: "grüße.bin", ContentType: "application/octet-stream", Bytes: []byte{0, 1, 2, 255}}}
		}
		tpl, problems := Compile(content, options)
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		var m Message
		if err := tpl.NewComposer().Compose(&m, recipient(id, name, city), caps); err != nil {
			t.Fatal(err)
		}
		raw := joined(&m)
		if m.Size != len(raw) || m.EightBit != !isASCII(raw) || m.EightBit && !caps.EightBitMIME {
			t.Fatalf("Size %d of %d, EightBit %v", m.Size, len(raw), m.EightBit)
		}
		parts, _ := leaves(t, raw)
		parsed := parse(t, raw)

		wantText := inBody(fixed) + inBody(id) + inBody(fixed) + inBody(name) + "-" + inBody(city) + "\r\n"
		wantHTML := inBody(fixed) + "<p>" + html.EscapeString(inBody(id)) + html.EscapeString(inBody(name)) + inBody(fixed) + inBody(city)
		if parts[0].body != wantText {
			t.Fatalf("text as %s\n got %q\nwant %q", parts[0].encoding, parts[0].body, wantText)
		}
		if parts[1].body != wantHTML {
			t.Fatalf("html as %s\n got %q\nwant %q", parts[1].encoding, parts[1].body, wantHTML)
		}
		if len(content.Attachments) > 0 && (parts[2].body != "\x00\x01\x02\xff" || parts[2].disposition != "attachment") {
			t.Fatalf("attachment %+v", parts[2])
		}
		checkField(t, parsed, "Subject", "Hi "+name+": "+id)
		checkField(t, parsed, "X-City", city)
		checkName(t, parsed, "From", name, "news@acme.example")
		checkName(t, parsed, "Reply-To", "Reply, "+city, "reply@acme.example")
		breaks := 0
		for _, s := range []string{name, id, city, name, city} {
			s = strings.ReplaceAll(s, "\r\n", "\n")
			breaks += strings.Count(s, "\n") + strings.Count(s, "\r")
		}
		if m.Replaced != breaks {
			t.Fatalf("Replaced is %d, want %d", m.Replaced, breaks)
		}
	})
}

// checkField holds a decoded field against what was meant.
func checkField(t *rapid.T, m *mail.Message, name, want string) {
	got, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get(name))
	if want = strings.Trim(inField(want), " "); err != nil || got != want {
		t.Fatalf("%s: %v\n got %q\nwant %q\n raw %q", name, err, got, want, m.Header.Get(name))
	}
}

// checkName holds a mailbox against what was meant.
func checkName(t *rapid.T, m *mail.Message, field, name, address string) {
	list, err := m.Header.AddressList(field)
	if err != nil || len(list) != 1 || list[0].Address != address {
		t.Fatalf("%s: %q gives %v, %v", field, m.Header.Get(field), list, err)
	}
	if want := strings.Trim(inField(name), " "); list[0].Name != want {
		t.Fatalf("%s\n got %q\nwant %q\n raw %q", field, list[0].Name, want, m.Header.Get(field))
	}
}

// TestPlainPathAndInterpreterAgree: a template means the same whether it needs
// the interpreter or not.
func TestPlainPathAndInterpreterAgree(t *testing.T) {
	t.Parallel()
	filters := []string{"default: 'x <y>'", "raw", "escape", "upcase", "downcase", "capitalize", "strip", "append: '<&'", "prepend: \"e\"", "url_encode"}
	rapid.Check(t, func(t *rapid.T) {
		source := "{{ " + rapid.SampledFrom([]string{"v", "n", "'lit <é>'"}).Draw(t, "head")
		for range rapid.IntRange(0, 4).Draw(t, "filters") {
			source += " | " + rapid.SampledFrom(filters).Draw(t, "filter")
		}
		source += " }}"
		fields := AppendString(nil, nasty().Draw(t, "value"))
		fields = AppendJSON(fields, []byte(rapid.SampledFrom([]string{"1", "1.50", "-2e3", "true", "false", "null", "[1,\"a\",[2]]", "{\"a\":1.0}", "\"s\"", "12345678901234567890"}).Draw(t, "json")))
		for _, place := range []usePlace{inText, inHTML, inHeader} {
			plain, err := renderAt([]string{"v", "n"}, fields, source, place, MissingEmpty)
			interpreted, err2 := renderAt([]string{"v", "n"}, fields, "{% if true %}"+source+"{% endif %}", place, MissingEmpty)
			if err != nil || err2 != nil || plain != interpreted {
				t.Fatalf("%s at %d: plain %q, interpreted %q, %v %v", source, place, plain, interpreted, err, err2)
			}
		}
	})
}

// TestQuotedPrintableAtAnySeam: pieces encoded apart and joined decode to the
// whole, in lines of 76 at most.
func TestQuotedPrintableAtAnySeam(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := inBody(nasty().Draw(t, "text"))
		column := rapid.IntRange(0, 75).Draw(t, "column")
		out, end := appendQP([]byte(strings.Repeat("a", column)), s, column)
		lines := strings.Split(string(out), "\r\n")
		if last := lines[len(lines)-1]; len(last) != end {
			t.Fatalf("ends in column %d, says %d", len(last), end)
		}
		for _, l := range lines {
			if len(l) > 76 || strings.HasSuffix(l, " ") || strings.HasSuffix(l, "\t") {
				t.Fatalf("line %q", l)
			}
		}
		decoded, ok := decodeBody(string(out), "quoted-printable")
		if !ok || decoded[column:] != s {
			t.Fatalf("decodes to %q, want %q", decoded, s)
		}
	})
}

// TestHeaderTextIsRepaired: what reaches the header is valid and printable.
func TestHeaderTextIsRepaired(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		out, _ := appendEscaped([]byte("x"), nasty().Draw(t, "value"), inHeader)
		if !utf8.Valid(out) || strings.ContainsFunc(string(out), func(r rune) bool { return r < 0x80 && unicode.IsControl(r) }) {
			t.Fatalf("%q", out)
		}
	})
}

func TestVERPRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		campaign, seq := rapid.Uint32().Draw(t, "campaign"), rapid.Uint32().Draw(t, "seq")
		secret := rapid.SliceOf(rapid.Byte()).Draw(t, "secret")
		token := string(appendVERP(nil, campaign, seq, newKeyed(secret).recipient(campaign, seq)))
		if len(token) > 40 || strings.ToLower(token) != token || !isASCII(token) {
			t.Fatalf("token %q", token)
		}
		for _, form := range []string{token, strings.ToUpper(token)} {
			if c, s, err := ParseVERP(form, secret); err != nil || c != campaign || s != seq {
				t.Fatalf("%s gives %d, %d, %v", form, c, s, err)
			}
		}
		other := []byte(token)
		i := rapid.IntRange(0, len(other)-1).Draw(t, "at")
		other[i] = "abcdefghijklmnopqrstuvwxyz234567"[rapid.IntRange(0, 31).Draw(t, "letter")]
		if _, _, err := ParseVERP(string(other), secret); err == nil && string(other) != token {
			t.Fatalf("%s was taken for %s", other, token)
		}
		if _, _, err := ParseVERP(token, append(secret, 1)); err == nil {
			t.Fatal("another secret's token was taken")
		}
	})
}
