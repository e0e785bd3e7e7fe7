package document

import (
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// ask parses "key: value" and asks for the value.
func ask(t *testing.T, value string, what func(n *Node) bool) (ok bool, problem string) {
	t.Helper()
	d := Parse("f.yaml", []byte("key: "+value+"\n"))
	m, isMap := d.Root().Mapping()
	if !isMap {
		t.Fatalf("%s: %v", value, d.Problems)
	}
	ok = what(m.Take("key"))
	m.Close()
	return ok, d.Problems.Error()
}

func TestValues(t *testing.T) {
	t.Parallel()
	var (
		text, word, choice string
		number             int
		float              float64
		span               time.Duration
		size               int64
		rate               Rate
		moment             time.Time
		addr               netip.Addr
		prefix             netip.Prefix
	)
	for _, c := range []struct {
		value string
		what  func(n *Node) bool
		got   func() any
		want  any    // nil: refused
		says  string // what the problem says
	}{
		{"hello", func(n *Node) bool { return n.Text(&text) }, func() any { return text }, "hello", ""},
		{`"a\tb"`, func(n *Node) bool { return n.Text(&text) }, func() any { return text }, "a\tb", ""},
		{"|\n  a\n  b", func(n *Node) bool { return n.Text(&text) }, func() any { return text }, "a\nb\n", ""},
		{"007", func(n *Node) bool { return n.Text(&text) }, func() any { return text }, "007", ""},
		{"1e3", func(n *Node) bool { return n.Text(&text) }, func() any { return text }, "1e3", ""},
		{"true", func(n *Node) bool { return n.Text(&text) }, func() any { return text }, "true", ""},
		{`"a\u0007"`, func(n *Node) bool { return n.Text(&text) }, nil, nil, "f.yaml:1:6: key: holds a control character (U+0007)"},
		{"[a]", func(n *Node) bool { return n.Text(&text) }, nil, nil, "must be text, not a list"},
		{"", func(n *Node) bool { return n.Text(&text) }, nil, nil, "f.yaml:1:1: key: has no value: give text"},
		{"~", func(n *Node) bool { return n.Text(&text) }, nil, nil, "has no value"},
		{`"  a b "`, func(n *Node) bool { return n.Word(&word) }, func() any { return word }, "a b", ""},
		{`"  "`, func(n *Node) bool { return n.Word(&word) }, nil, nil, "is empty"},
		{`"a\nb"`, func(n *Node) bool { return n.Word(&word) }, nil, nil, "must be one line"},
		{"b", func(n *Node) bool { return n.Choice(&choice, "a", "b") }, func() any { return choice }, "b", ""},
		{"c", func(n *Node) bool { return n.Choice(&choice, "a", "b") }, nil, nil, `is "c", but must be one of a, b`},
		{"1_000", func(n *Node) bool { return n.Int(&number, 1, 1000) }, func() any { return number }, 1000, ""},
		{"1001", func(n *Node) bool { return n.Int(&number, 1, 1000) }, nil, nil, "is 1001, but must be from 1 to 1000"},
		{"1.5", func(n *Node) bool { return n.Int(&number, 1, 1000) }, nil, nil, "must be a whole number"},
		{"1.5", func(n *Node) bool { return n.Number(&float, 1, 2) }, func() any { return float }, 1.5, ""},
		{".nan", func(n *Node) bool { return n.Number(&float, 1, 2) }, nil, nil, "must be a number"},
		{"5m", func(n *Node) bool { return n.Duration(&span, 0, time.Hour) }, func() any { return span }, 5 * time.Minute, ""},
		{"2h", func(n *Node) bool { return n.Duration(&span, 0, time.Hour) }, nil, nil, "is 2h, but must be from 0s to 1h"},
		{"64MB", func(n *Node) bool { return n.Size(&size, 0, 1e9) }, func() any { return size }, int64(64e6), ""},
		{"2GB", func(n *Node) bool { return n.Size(&size, 0, 1e9) }, nil, nil, "is 2GB, but must be from 0 to 1GB"},
		{"100/s", func(n *Node) bool { return n.Rate(&rate) }, func() any { return rate }, Rate{100, time.Second}, ""},
		{"100", func(n *Node) bool { return n.Rate(&rate) }, nil, nil, "must be a rate"},
		{"2026-03-01T09:00:00+01:00", func(n *Node) bool { return n.Time(&moment) }, func() any { return moment.Unix() }, int64(1772352000), ""},
		{"2026-03-01 09:00", func(n *Node) bool { return n.Time(&moment) }, nil, nil, "must be a time with its zone"},
		{"192.0.2.1", func(n *Node) bool { return n.Addr(&addr) }, func() any { return addr.String() }, "192.0.2.1", ""},
		{"fe80::1%eth0", func(n *Node) bool { return n.Addr(&addr) }, nil, nil, "must be an IP address"},
		{"10.0.0.0/8", func(n *Node) bool { return n.Prefix(&prefix) }, func() any { return prefix.String() }, "10.0.0.0/8", ""},
		{"10.0.0.7", func(n *Node) bool { return n.Prefix(&prefix) }, func() any { return prefix.String() }, "10.0.0.7/32", ""},
		{"10.0.0.1/8", func(n *Node) bool { return n.Prefix(&prefix) }, nil, nil, "did you mean 10.0.0.0/8?"},
	} {
		ok, says := ask(t, c.value, c.what)
		switch {
		case ok != (c.want != nil), !strings.Contains(says, c.says), ok && says != "":
			t.Errorf("%s: %v, %q; want %q", c.value, ok, says, c.says)
		case ok && c.got() != c.want:
			t.Errorf("%s: got %v, want %v", c.value, c.got(), c.want)
		}
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	d := Parse("f.yaml", []byte("# c\na:\n  b: [x,\n    'y']\n  c: |\n    text\n  d: {e: 1}\n'f': >\n\n  g\n"))
	root, _ := d.Root().Mapping()
	a, _ := root.Take("a").Mapping()
	list, _ := a.Take("b").List()
	d2, _ := a.Take("d").Mapping()
	for _, c := range []struct {
		n            *Node
		line, column int
		field        string
	}{
		{root.Node(), 2, 1, ""},
		{a.Node(), 3, 3, "a"},
		{list[0], 3, 7, "a.b"},
		{list[1], 4, 5, "a.b"},
		{a.Take("c"), 6, 1, "a.c"},
		{d2.Take("e"), 7, 10, "a.d.e"},
		{root.Take("f"), 9, 1, "f"},
	} {
		if c.n.Line != c.line || c.n.Column != c.column || c.n.Field != c.field || c.n.File != "f.yaml" {
			t.Errorf("%s at %s:%d:%d, want %s at %d:%d", c.n.Field, c.n.File, c.n.Line, c.n.Column, c.field, c.line, c.column)
		}
	}
}

// TestFlagsAreNodes: a value that stands in no file names its flag instead.
func TestFlagsAreNodes(t *testing.T) {
	t.Parallel()
	d := Parse("", nil)
	var number int
	if !d.Scalar("--port", "smtp.port", "25").Int(&number, 1, 100) || number != 25 {
		t.Errorf("got %d, %v", number, d.Problems)
	}
	d.Scalar("--port", "smtp.port", "many").Int(&number, 1, 100)
	entries, ok := d.Scalar("--dns", "dns.servers", "a", "b c").OneOrMany()
	if !ok || len(entries) != 2 {
		t.Fatalf("%d entries", len(entries))
	}
	entries[1].Problem("is odd")
	if none, ok := d.Scalar("--dns", "dns.servers").List(); !ok || len(none) != 0 {
		t.Errorf("no values gave %d entries", len(none))
	}
	if got, want := d.Problems.Error(), "--port: smtp.port: is \"many\", but must be a whole number\n--dns: dns.servers: is odd"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"flow":     strings.Repeat("[", 100_000),
		"mappings": strings.Repeat("{a: ", 100_000),
		"dashes":   strings.Repeat("- ", 100_000),
		"keys":     strings.Repeat("? ", 100_000),
	} {
		d := Parse(name, []byte(source))
		if got := d.Problems.Error(); !strings.Contains(got, "nested too deeply") {
			t.Errorf("%s: got %.200q", name, got)
		}
	}
	path := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(path, make([]byte, MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Read(path).Problems.Error(); !strings.Contains(got, "is larger than") {
		t.Errorf("got %q", got)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"subject", "recipients", "html", "id", "start_at"}
	for word, want := range map[string]string{
		"subjct": "subject", "Recipients": "recipients", "recipeints": "recipients", "htlm": "html", "di": "id", "xy": "", "banana": "", "startat": "start_at",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{
		"0": 0, "300ms": 300 * time.Millisecond, "1h30m": 90 * time.Minute, "3d": 72 * time.Hour, "1.5d": 36 * time.Hour, "1d12h": 36 * time.Hour,
		"": -1, "5": -1, "-5m": -1, "+5m": -1, "d": -1, "1d-1h": -1, "1d2d": -1, "1e9d": -1, "NaNd": -1, "36500d2540000h": -1,
	} {
		if got, ok := ParseDuration(s); ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v %v, want %v", s, got, ok, want)
		}
	}
	for s, want := range map[string]int64{
		"0": 0, "10": 10, "10B": 10, "1kB": 1000, "1 KB": 1000, "1KiB": 1024, "1.5GiB": 3 << 29, "64mb": 64e6, "1T": 1e12, "1Ti": 1 << 40,
		"": -1, "MB": -1, "1XB": -1, "-1": -1, "1e3": -1, "99999999999GB": -1, "1.2.3": -1,
	} {
		if got, ok := ParseSize(s); ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v %v, want %v", s, got, ok, want)
		}
	}
	for s, want := range map[string]string{
		"100/s": "100/s", "0.5/s": "0.5/s", "600/min": "600/m", "5000/hour": "5000/h", "1_000/d": "1000/d", "10/30s": "10/30s", "none": "none", "1/1m": "1/m",
		"100": "!", "/s": "!", "0/s": "!", "-1/s": "!", "1/": "!", "1/0s": "!", "inf/s": "!", "1/x": "!", "1e10/s": "!", "": "!",
	} {
		r, ok := ParseRate(s)
		if ok != (want != "!") || ok && r.String() != want {
			t.Errorf("%q: %v %v, want %v", s, r, ok, want)
		}
	}
	if none, _ := ParseRate("none"); !math.IsInf(none.PerSecond(), 1) || (Rate{}).PerSecond() != 0 || (Rate{}).String() != "" {
		t.Error("none and not given are not what they should be")
	}
}

// TestWhatIsFormattedIsParsed back to the same.
func TestWhatIsFormattedIsParsed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(1000*day)).Draw(t, "d"))
		if rapid.Bool().Draw(t, "round") {
			d = d.Round(time.Hour)
		}
		if got, ok := ParseDuration(FormatDuration(d)); !ok || got != d {
			t.Fatalf("%v became %q, which is %v", d, FormatDuration(d), got)
		}
		n := rapid.Int64Range(0, 1<<50).Draw(t, "n") << rapid.IntRange(0, 9).Draw(t, "shift")
		if got, ok := ParseSize(FormatSize(n)); !ok || got != n && n < 1<<53 {
			t.Fatalf("%v became %q, which is %v", n, FormatSize(n), got)
		}
		r := Rate{float64(rapid.IntRange(1, 1e6).Draw(t, "count")), time.Duration(rapid.IntRange(1, 1e6).Draw(t, "per")) * time.Millisecond}
		if got, ok := ParseRate(r.String()); !ok || got != r {
			t.Fatalf("%v became %v", r, got)
		}
	})
}

// walk asks every node for everything.
func walk(n *Node, depth int) {
	var (
		s string
		d time.Duration
		r Rate
	)
	n.Text(&s)
	n.Duration(&d, 0, time.Hour)
	n.Rate(&r)
	if m, ok := n.Mapping(); ok {
		for i, e := range m.Entries() {
			if i%2 == 0 {
				m.Take(e.Key)
			}
			walk(e.Value, depth+1)
		}
		m.Close()
	}
	if l, ok := n.OneOrMany(); ok {
		for _, e := range l {
			if e != n {
				walk(e, depth+1)
			}
		}
	}
}

// FuzzParse: whatever the file is, it is answered with places that lie in it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a: 1\nb: [x, {y: z}]\n", "a: |\n  t\n", "&a x: *a\n<<: *a\n", "!t {a: b}", "? a\n: b\n", "- - a\n  - b\n", "a: 'x\n  y'\n", "\t", "%YAML 1.2\n---\na\n...\n", "a: ---"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		d := Parse("f", source)
		walk(d.Root(), 0)
		lines := 2 + strings.Count(string(source), "\n") + strings.Count(string(source), "\r")
		for _, p := range d.Problems {
			if p.Message == "" || p.Line < 0 || p.Line > lines {
				t.Fatalf("%q: %s (line %s of %d)", source, p, strconv.Itoa(p.Line), lines)
			}
		}
	})
}
