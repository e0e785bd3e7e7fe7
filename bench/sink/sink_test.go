package sink

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// client is a person at a terminal: it sends what it is told to and reads lines.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func start(t *testing.T, o Options) *Sink {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func script(t *testing.T, text string) *Script {
	t.Helper()
	s, err := ParseScript("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	// A dialogue that hangs must fail and not hang the tests.
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return newClient(t, c)
}

func newClient(t *testing.T, c net.Conn) *client { return &client{t, c, bufio.NewReader(c)} }

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(text)); err != nil {
		c.t.Fatalf("send %q: %v", text, err)
	}
}

// line reads one line without its CRLF; "<eof>" at the connection's end.
func (c *client) line() string {
	c.t.Helper()
	l, err := c.r.ReadString('\n')
	if err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			c.t.Fatal("no answer")
		}
		return "<eof>"
	}
	return strings.TrimSuffix(l, "\r\n")
}

func (c *client) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.line(); !strings.HasPrefix(got, w) {
			c.t.Fatalf("got %q, want %q", got, w)
		}
	}
}

// hello takes greeting and EHLO.
func (c *client) hello() {
	c.t.Helper()
	c.expect("220 ")
	c.send("EHLO client.test\r\n")
	for {
		l := c.line()
		if !strings.HasPrefix(l, "250") {
			c.t.Fatalf("EHLO: %q", l)
		}
		if l[3] == ' ' {
			return
		}
	}
}

// TestDialogues plays testdata/*.txt: "C:" lines are sent, "S:" lines are
// expected (a prefix is enough), "close" expects the end of the connection, a
// block "script:" up to a line "---" comes first, "#" is a comment. Lines
// between two "S:" go out in one write. \x.. and \n escapes as in Go.
func TestDialogues(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogues", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			t.Parallel()
			play(t, f)
		})
	}
}

func play(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Loops: 1}
	body := string(text)
	if y, rest, ok := strings.Cut(body, "\n---\n"); ok {
		o.Script, body = script(t, y), rest
	}
	s := start(t, o)
	c := dial(t, s.Addrs()[0])
	var out strings.Builder
	flush := func() {
		if out.Len() > 0 {
			c.send(out.String())
			out.Reset()
		}
	}
	for n, l := range strings.Split(body, "\n") {
		kind, rest, _ := strings.Cut(l, " ")
		switch kind {
		case "C:": // a command line
			fmt.Fprintf(&out, "%s\r\n", unescape(t, rest))
		case "c:": // octets without a line end
			out.WriteString(unescape(t, rest))
		case "S:":
			flush()
			if got := c.line(); !strings.HasPrefix(got, unescape(t, rest)) {
				t.Fatalf("line %d: got %q, want %q", n+1, got, rest)
			}
		case "close":
			flush()
			if got := c.line(); got != "<eof>" {
				t.Fatalf("line %d: got %q, want the end", n+1, got)
			}
		case "again": // a new connection
			flush()
			c.conn.Close()
			c = dial(t, s.Addrs()[0])
		case "", "#":
		default:
			t.Fatalf("%s:%d: what is %q?", file, n+1, l)
		}
	}
}

func unescape(t *testing.T, s string) string {
	r := strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\0`, "\x00", `\\`, `\`, `\xff`, "\xff")
	return r.Replace(s)
}

func TestSecuredDialoguePipelines(t *testing.T) {
	t.Parallel()
	var contents []string
	got := make(chan string, 4)
	s := start(t, Options{Accept: func(m *Message) {
		if !m.Secured {
			t.Error("not marked as secured")
		}
		got <- string(m.Content)
	}})
	c := dial(t, s.Addrs()[0])
	c.hello()
	c.send("STARTTLS\r\n")
	c.expect("220 2.0.0")
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.Certificate()) {
		t.Fatal("no certificate")
	}
	tc := tls.Client(c.conn, &tls.Config{ServerName: "sink.test", RootCAs: roots})
	c = newClient(t, tc)
	c.send("EHLO client.test\r\n")
	for {
		l := c.line()
		if strings.Contains(l, "STARTTLS") {
			t.Fatal("STARTTLS offered within TLS")
		}
		if strings.HasPrefix(l, "250 ") {
			break
		}
	}
	c.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 7 LAST\r\nhello\r\n" +
		"RSET\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n")
	c.expect("250 2.1.0", "250 2.1.5", "250 2.0.0", "250 2.0.0", "250 2.1.0", "250 2.1.5", "354")
	c.send("world\r\n.\r\nQUIT\r\n")
	c.expect("250 2.0.0", "221", "<eof>")
	contents = append(contents, <-got, <-got)
	if contents[0] != "hello\r\n" || contents[1] != "world\r\n" {
		t.Fatalf("contents %q", contents)
	}
	if st := s.Stats(); st.Accepted != 2 || st.Secured != 1 || st.Improper != 0 {
		t.Fatalf("stats %+v", st.Totals)
	}
}

func TestManyAddresses(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Listen: []string{"127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0"}})
	seen := map[string]bool{}
	for _, a := range s.Addrs() {
		if seen[a] {
			t.Fatalf("%s given twice", a)
		}
		seen[a] = true
		c := dial(t, a)
		c.hello()
		c.send("QUIT\r\n")
		c.expect("221", "<eof>")
	}
	for a := range seen {
		if got := s.Stats().Listeners[a].Connections; got != 1 {
			t.Errorf("%s: %d connections", a, got)
		}
	}
}

// TestCloseLeavesNothingOpen runs alone (not parallel): it counts the process's
// descriptors. Connections are open, mid-message, waiting for a late reply and
// inside TLS when the sink closes.
func TestCloseLeavesNothingOpen(t *testing.T) {
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc")
		}
		return len(fds)
	}
	run := func() {
		s, err := Start(Options{Script: script(t, "servers: [{latency: 1ms}]\nrules: [{at: rset, delay: 1h}]")})
		if err != nil {
			t.Fatal(err)
		}
		var conns []*client
		for n := range 8 {
			c := dial(t, s.Addrs()[0])
			conns = append(conns, c)
			c.hello()
			switch n % 4 {
			case 0:
				c.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 100\r\nhalf")
			case 1:
				c.send("RSET\r\n")
			case 2:
				c.send("STARTTLS\r\n")
				c.expect("220")
				conns = append(conns, overTLS(t, c))
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
		for _, c := range conns {
			c.conn.Close()
		}
	}
	run() // what the runtime keeps for itself is open after this
	before := count()
	for range 3 {
		run()
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
