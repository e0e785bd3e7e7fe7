package sink

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRecordAndMaildir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := Options{Record: filepath.Join(dir, "log"), Maildir: filepath.Join(dir, "mail"), IDHeader: "x-id", Script: script(t, "rules: [{at: end, to: 'gone@*', reply: '554 no'}]")}
	s := start(t, o)
	c := dial(t, s.Addrs()[0])
	c.hello()
	send := func(to, body string) {
		c.send(fmt.Sprintf("MAIL FROM:<a@b.test>\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n%s", to, len(body), body))
		c.expect("250", "250", "2") // the record is complete before the answer is here
	}
	first := "Subject: x\r\nX-ID:\r\n folded-1\r\nTo: \"A, B\" <One@d.test>\r\n\r\nbody\r\n"
	send("one@d.test", first)
	read := func() *Summary {
		t.Helper()
		f, err := os.Open(o.Record)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		sum, err := Summarise(f)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	if sum := read(); sum.Arrivals != 1 || len(sum.Misdirected) != 0 {
		t.Fatalf("%+v", sum)
	}
	send("one@d.test", first)
	send("two@d.test", "X-Id: 2\r\nTo: other@d.test\r\n\r\nbare\nlf, bare\rcr, \xff\r\n"+strings.Repeat("x", 999)+"\r\nno end")
	send("three@d.test", "X-Id: 3\r\n\r\n"+strings.Repeat("x", 998)+"\r\n")
	send("one@d.test", strings.Replace(first, "folded-1", "changed", 1))
	c.send("MAIL FROM:<>\r\nRCPT TO:<gone@d.test>\r\nBDAT 2 LAST\r\n\r\n")
	c.expect("250", "250", "554")
	c.send("MAIL FROM:<>\r\nRCPT TO:<x@d.test>\r\nRCPT TO:<y@d.test>\r\nDATA\r\n")
	c.expect("250", "250", "250", "354")
	c.send("X-Id: 4\r\n\r\n..stuffed\r\n.\r\n")
	c.expect("250")
	sum := read()
	want := &Summary{
		Arrivals: 7, Recipients: 5, Repeated: map[string]int{"one@d.test": 3}, Changed: []string{"one@d.test"}, Misdirected: []string{"two@d.test"},
		Notes: map[string]int{"bare-lf": 1, "bare-cr": 1, "undeclared-8bit": 1, "long-line": 1, "no-final-crlf": 1},
	}
	if !reflect.DeepEqual(sum, want) {
		t.Errorf("%+v\nwant %+v", sum, want)
	}
	files, err := filepath.Glob(filepath.Join(o.Maildir, "new", "*"))
	if err != nil || len(files) != 6 {
		t.Fatal(files, err)
	}
	for a, err := range ReadArrivals(open(t, o.Record)) {
		if err != nil {
			t.Fatal(err)
		}
		body, err := os.ReadFile(filepath.Join(o.Maildir, "new", a.File))
		if err != nil || len(body) != a.Size {
			t.Fatal(a, err)
		}
		if a.ID == "folded-1" && string(body) != first || a.ID == "4" && string(body) != "X-Id: 4\r\n\r\n.stuffed\r\n" {
			t.Errorf("content %q", body)
		}
	}
}

func open(t *testing.T, path string) *bytes.Reader {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(text)
}

// TestRecordIsAddedTo: a second sink goes on where the first ended.
func TestRecordIsAddedTo(t *testing.T) {
	t.Parallel()
	o := Options{Record: filepath.Join(t.TempDir(), "log")}
	for range 2 {
		s := start(t, o)
		c := dial(t, s.Addrs()[0])
		c.hello()
		c.send(group)
		c.expect("250", "250", "250")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err := Summarise(open(t, o.Record)); err != nil || sum.Arrivals != 2 {
		t.Fatal(sum, err)
	}
}

// TestRecordOfManyConnections: lines of different loops never mix.
func TestRecordOfManyConnections(t *testing.T) {
	t.Parallel()
	o := Options{Record: filepath.Join(t.TempDir(), "log"), Loops: 4}
	s := start(t, o)
	var all sync.WaitGroup
	for n := range 8 {
		c := dial(t, s.Addrs()[0])
		c.hello()
		all.Go(func() {
			for i := range 20 {
				c.conn.Write(fmt.Appendf(nil, "MAIL FROM:<a@b.test>\r\nRCPT TO:<u%d-%d@d.test>\r\nBDAT 3 LAST\r\nabc", n, i))
			}
			for range 60 {
				c.r.ReadString('\n')
			}
		})
	}
	all.Wait()
	if sum, err := Summarise(open(t, o.Record)); err != nil || sum.Arrivals != 160 || sum.Recipients != 160 {
		t.Fatal(sum, err)
	}
	if st := s.Stats(); st.Accepted != 160 || st.MaxConnections != 8 || st.First == 0 || st.Last < st.First {
		t.Errorf("%+v", st)
	}
}

func TestArrivalRoundTrip(t *testing.T) {
	t.Parallel()
	a := Arrival{Time: time.Unix(1, 2), Listener: "127.0.0.1:25", Connection: 3, Secured: true, From: "", To: "x\ty@z", ID: "<1@x>", HeaderTo: "x", Size: 9, Hash: 1 << 63, Notes: []string{"a", "b"}, File: "f"}
	got, err := parseArrival(strings.TrimSuffix(string(appendArrival(nil, &a)), "\n"))
	a.To = "x?y@z"
	if err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v %v\nwant %+v", got, err, a)
	}
}

func FuzzArrival(f *testing.F) {
	f.Add("1\tl\t1\ttrue\tf\tt\ti\th\t1\tff\t\t")
	f.Add("1\tl\t1\ttrue\tf\tt\ti\th\t1\tff\ta,b\tx\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		for a, err := range ReadArrivals(strings.NewReader(text)) {
			if err == nil {
				line := strings.TrimSuffix(string(appendArrival(nil, &a)), "\n")
				if b, err := parseArrival(line); err != nil || a.ID != b.ID && !strings.ContainsAny(a.ID, "\x00\r\x7f") && !hasControl(a.ID) {
					t.Fatal(a, b, err)
				}
			}
		}
	})
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func TestHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, name, want string }{
		{"A: 1\r\nB: 2\r\n\r\nC: 3", "b", "2"}, {"A: 1\r\n\r\nB: 2\r\n", "B", ""}, {"B:\r\n\tx\r\n y\r\n\r\n", "B", "x y"},
		{"", "B", ""}, {"B: 1", "B", "1"}, {"B : 1\r\n", "B", ""}, {"BB: 1\r\nB:2\n", "B", "2"},
	} {
		if got := header([]byte(c.body), c.name); got != c.want {
			t.Errorf("%q %s: %q, want %q", c.body, c.name, got, c.want)
		}
	}
}
