package sink

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// bare returns a session of a sink that has no sockets.
func bare(script *Script) *session {
	s := &Sink{profiles: compile(script), hosts: map[netip.AddrPort]*host{}}
	d := s.newSession(netip.MustParseAddrPort("127.0.0.1:25"))
	return d
}

// talk feeds input cut at the given places and returns all replies.
func talk(d *session, input string, cuts []int) string {
	var out bytes.Buffer
	d.open(0)
	out.Write(d.out.take(0))
	for _, n := range append(cuts, len(input)) {
		n = min(max(n, 1), len(input))
		d.feed([]byte(input[:n]), time.Second)
		out.Write(d.out.take(time.Second))
		if input = input[n:]; input == "" {
			break
		}
	}
	return out.String()
}

// TestCutsChangeNothing is the promise that replies depend on the bytes alone,
// wherever the network cut them.
func TestCutsChangeNothing(t *testing.T) {
	t.Parallel()
	pieces := []string{
		"EHLO x\r\n", "HELO x\r\n", "MAIL FROM:<a@b.test> SIZE=10\r\n", "RCPT TO:<c@d.test>\r\n", "RCPT TO:<x@no.test>\r\n",
		"DATA\r\nhello\r\n.\r\n", "DATA\r\n.\r\n", "DATA\r\n\r\n.\r\r\n.\n.\r\n..\r\n.\r\n", "BDAT 5\r\nhello", "BDAT 7 LAST\r\nhello\r\n",
		"BDAT 0 LAST\r\n", "RSET\r\n", "NOOP\r\n", "BDAT\r\n", "nonsense\r\n", "\r\n", "QUIT\r\n", strings.Repeat("x", 5000) + "\r\n",
		"MAIL FROM:<\"q>\\\"\"@b.test>\r\n", "BDAT 99999999999999999999\r\n", "RCPT TO:<\xff@d.test>\r\n",
	}
	sc := &Script{Rules: []Rule{{At: "rcpt", To: Words{"*@no.test"}, Reply: "550 no"}}}
	rapid.Check(t, func(t *rapid.T) {
		input := "EHLO x\r\n" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 12).Draw(t, "pieces"), "")
		cuts := rapid.SliceOf(rapid.IntRange(1, 20)).Draw(t, "cuts")
		whole, cut := talk(bare(sc), input, nil), talk(bare(sc), input, cuts)
		if whole != cut {
			t.Fatalf("input %q\nwhole %q\ncut   %q", input, whole, cut)
		}
	})
}

func TestDotFinderAtEveryCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in  string
		end int // octets up to and with the end mark; -1: no end
	}{
		{".\r\n", 3}, {"a\r\n.\r\nb", 6}, {"a\n.\nb", -1}, {"a\r\n.\nb\r\n.\r\n", 11}, {"\r\n\r\n.\r\n", 7},
		{"a\r\r\n.\r\n", 7}, {"a\r\n.\r.\r\n", -1}, {"a\r\n.\r\r\n.\r\n", 10}, {".", -1}, {"..\r\n.\r\n", 7},
	} {
		for cut := 0; cut <= len(c.in); cut++ {
			var d dotFinder
			d.reset()
			n, end := d.find([]byte(c.in[:cut]))
			if !end {
				var m int
				m, end = d.find([]byte(c.in[cut:]))
				n += m
			}
			if !end {
				n = -1
			}
			if n != c.end {
				t.Errorf("%q cut at %d: end at %d, want %d", c.in, cut, n, c.end)
			}
		}
	}
}

func TestUnstuff(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "a\r\n": "a\r\n", "..a\r\n": ".a\r\n", "a\r\n..\r\n..b\r\nc\r\n": "a\r\n.\r\n.b\r\nc\r\n", "a\r\n..": "a\r\n.",
	} {
		if got := string(unstuff([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzSession: no input makes a session panic, answer without a code, or depend
// on where it was cut.
func FuzzSession(f *testing.F) {
	f.Add("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n", 7)
	f.Add("EHLO x\r\nMAIL FROM:<a@b> BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<@r:c@d>\r\nBDAT 3 LAST\r\nabcRSET\r\n", 50)
	f.Add("BDAT 5\r\nSTARTTLS\r\n", 3)
	f.Add("MAIL FROM:<\"\\", 1)
	f.Fuzz(func(t *testing.T, in string, cut int) {
		if in == "" {
			return
		}
		whole, halves := talk(bare(&Script{}), in, nil), talk(bare(&Script{}), in, []int{cut})
		if whole != halves {
			t.Fatalf("cut at %d\nwhole  %q\nhalves %q", cut, whole, halves)
		}
		for _, l := range strings.SplitAfter(whole, "\r\n") {
			if l != "" && (len(l) < 6 || l[0] < '2' || l[0] > '5') {
				t.Fatalf("reply line %q", l)
			}
		}
	})
}

// FuzzPath: a path that is taken has no line end or bracket left in it.
func FuzzPath(f *testing.F) {
	f.Add([]byte("FROM:<a@b> SIZE=1"))
	f.Add([]byte("FROM:<@a,@b:c@d>"))
	f.Add([]byte("FROM: <\"a>b\"@c>  X=Y Z"))
	f.Fuzz(func(t *testing.T, in []byte) {
		path, params, ok := splitPath(in, "FROM")
		if !ok {
			return
		}
		if bytes.ContainsAny(path, "\r\n\x00") {
			t.Fatalf("path %q", path)
		}
		for key, _, rest := nextParam(params); key != nil; key, _, rest = nextParam(rest) {
			if len(rest) >= len(params) {
				t.Fatal("parameters do not get shorter")
			}
			params = rest
		}
	})
}

func TestNothingIsAllocatedForAMessage(t *testing.T) {
	d, flight := steady(2048, 16)
	if n := testing.AllocsPerRun(100, func() { d.feed(flight, 1); d.out.take(1) }); n > 0 {
		t.Errorf("%v allocations for a flight of 16", n)
	}
}

// steady returns a session after EHLO and a flight of n chunked messages.
func steady(size, n int) (*session, []byte) {
	d := bare(&Script{})
	d.open(0)
	d.feed([]byte("EHLO x\r\n"), 0)
	d.out.take(0)
	line := strings.Repeat("x", 74) + "\r\n"
	content := strings.Repeat(line, size/len(line)+1)[:size-2] + "\r\n"
	one := fmt.Sprintf("RSET\r\nMAIL FROM:<bounces+abcdef@example.test> SIZE=%d\r\nRCPT TO:<somebody@example.test>\r\nBDAT %d LAST\r\n%s", size, size, content)
	return d, []byte(strings.Repeat(one, n))
}

func BenchmarkChunking2KB(b *testing.B)  { benchmarkFeed(b, 2048) }
func BenchmarkChunking30KB(b *testing.B) { benchmarkFeed(b, 30<<10) }

func benchmarkFeed(b *testing.B, size int) {
	d, flight := steady(size, 16)
	b.ReportAllocs()
	for b.Loop() {
		d.feed(flight, 1)
		d.out.take(1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/16, "ns/message")
}

func BenchmarkData2KB(b *testing.B) {
	d, _ := steady(2048, 1)
	line := strings.Repeat("x", 74) + "\r\n"
	content := strings.Repeat(line, 2048/len(line))
	group := []byte("MAIL FROM:<bounces@example.test>\r\nRCPT TO:<somebody@example.test>\r\nDATA\r\n")
	end := []byte(content + ".\r\n")
	b.ReportAllocs()
	for b.Loop() {
		d.feed(group, 1)
		d.out.take(1)
		d.feed(end, 1)
		d.out.take(1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/message")
}
