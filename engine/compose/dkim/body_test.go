package dkim

import (
	"bytes"
	"crypto/sha256"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRelaxedBody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, want string }{
		{"RFC 6376 3.4.5", " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"},
		{"empty", "", ""},
		{"only a line break", "\r\n", ""},
		{"only line breaks", "\r\n\r\n\r\n", ""},
		{"only white space", " \t ", ""},
		{"white space and line breaks", " \r\n\t\r\n  ", ""},
		{"no last line break", "a", "a\r\n"},
		{"no last line break, white space", "a \t", "a\r\n"},
		{"empty line in front", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
		{"lone tab between", "a\tb\r\n", "a b\r\n"},
		{"line of white space between", "a\r\n \t \r\nb\r\n", "a\r\n\r\nb\r\n"},
		{"bare CR is text", "a\rb \r c\r\n", "a\rb \r c\r\n"},
		{"bare CR at the end", "a\r", "a\r\r\n"},
		{"CR CR LF", "a\r\r\nb", "a\r\r\nb\r\n"},
		{"bare LF is text", "a\n\nb \n", "a\n\nb \n\r\n"},
		{"8 bit", "\xc3\xa4  \xff\r\n", "\xc3\xa4 \xff\r\n"},
		{"NUL", "a\x00 \x00", "a\x00 \x00\r\n"},
	} {
		if got := string(AppendBody(nil, []byte(c.body))); got != c.want {
			t.Errorf("%s: %q became %q, want %q", c.name, c.body, got, c.want)
		}
	}
}

// plainRelaxedBody is the same rule written for reading: line by line.
func plainRelaxedBody(body string) string {
	lines := strings.Split(body, "\r\n")
	runs := regexp.MustCompile(`[ \t]+`)
	for i, l := range lines {
		lines[i] = strings.TrimSuffix(runs.ReplaceAllString(l, " "), " ")
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

var bodyText = rapid.Custom(func(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
		" ", "\t", "  ", "\r\n", "\r\n\r\n", "\r", "\n", "a", "bc", "\xe4", ".", "word word", strings.Repeat("long ", 300), strings.Repeat("\r\n", 40),
	}), 0, 12).Draw(t, "pieces"), "")
})

func TestPiecesGiveTheHashOfTheWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(bodyText, 0, 6).Draw(t, "body")
		fixed := rapid.SliceOfN(rapid.Bool(), len(pieces), len(pieces)).Draw(t, "fixed")
		keep := rapid.IntRange(0, len(pieces)).Draw(t, "snapshot")
		whole := strings.Join(pieces, "")
		canonical := plainRelaxedBody(whole)
		if got := string(AppendBody(nil, []byte(whole))); got != canonical {
			t.Fatalf("%q became %q, want %q", whole, got, canonical)
		}
		want := sha256.Sum256([]byte(canonical))

		if got := string(AppendBody(nil, []byte(whole+"\r\n"))); got != canonical {
			t.Fatalf("%q is not the same with a line break at its end", whole)
		}
		b := NewBodyHash()
		feed := func(from, to int) {
			for i := from; i < to; i++ {
				if fixed[i] {
					b.WriteFixed(Prepare([]byte(pieces[i])))
				} else {
					b.Write([]byte(pieces[i]))
				}
			}
		}
		feed(0, keep)
		snapshot := b.Snapshot()
		feed(keep, len(pieces))
		if got := b.Sum(); got != want {
			t.Fatalf("in pieces %q: wrong hash", pieces)
		}
		b.Reset()
		b.Write([]byte("another message"))
		b.Restore(snapshot)
		feed(keep, len(pieces))
		if got := b.Sum(); got != want {
			t.Fatalf("from the snapshot at %d of %q: wrong hash", keep, pieces)
		}
	})
}

func FuzzBodyCutAnywhere(f *testing.F) {
	f.Add([]byte(" a \r\n\t\r\n b\r\r\n"), 3)
	f.Add([]byte("\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, body []byte, cut int) {
		if cut < 0 || cut > len(body) {
			return
		}
		want := plainRelaxedBody(string(body))
		var c canon
		got := c.append(nil, body[:cut])
		got = c.append(got, body[cut:])
		if got = c.end(got); string(got) != want {
			t.Errorf("%q cut at %d became %q, want %q", body, cut, got, want)
		}
		b := NewBodyHash()
		b.WriteFixed(Prepare(body[:cut]))
		b.WriteFixed(Prepare(body[cut:]))
		if b.Sum() != sha256.Sum256([]byte(want)) {
			t.Errorf("%q prepared in two at %d: wrong hash", body, cut)
		}
	})
}

func TestBodyHashAllocatesNothing(t *testing.T) {
	b := NewBodyHash()
	head, tail := Prepare(bytes.Repeat([]byte("Dear  reader, \r\n"), 200)), Prepare([]byte(" yours\r\n\r\n"))
	b.WriteFixed(head)
	snapshot := b.Snapshot()
	field := []byte("Ann  Example")
	if n := testing.AllocsPerRun(100, func() {
		b.Restore(snapshot)
		b.Write(field)
		b.WriteFixed(tail)
		b.Sum()
	}); n != 0 {
		t.Errorf("%v allocations a body", n)
	}
}

func BenchmarkBody(b *testing.B) {
	text := bytes.Repeat([]byte("<p>Some text of a newsletter, with  two spaces and a line break.</p>\r\n"), 430)
	b.Run("30 kB written", func(b *testing.B) {
		h := NewBodyHash()
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			h.Reset()
			h.Write(text)
			h.Sum()
		}
	})
	b.Run("30 kB fixed", func(b *testing.B) {
		h, f := NewBodyHash(), Prepare(text)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			h.Reset()
			h.WriteFixed(f)
			h.Sum()
		}
	})
	b.Run("30 kB before the first field", func(b *testing.B) {
		h, f, tail := NewBodyHash(), Prepare(text), Prepare([]byte(", bye\r\n"))
		h.WriteFixed(f)
		s := h.Snapshot()
		for b.Loop() {
			h.Restore(s)
			h.Write([]byte("Ann"))
			h.WriteFixed(tail)
			h.Sum()
		}
	})
}
