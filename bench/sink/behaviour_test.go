package sink

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

// greeted returns a session of the script's first server after EHLO, at time 0.
func greeted(t *testing.T, text string) *session {
	t.Helper()
	d := bare(script(t, text))
	d.open(0)
	d.feed([]byte("EHLO x\r\n"), 0)
	d.out = outbox{}
	d.awaited = false
	return d
}

const group = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 3 LAST\r\nabc"

// TestLatencyIsSharedByAFlight: commands that came together are answered
// together, one latency later; those that came later wait their own.
func TestLatencyIsSharedByAFlight(t *testing.T) {
	t.Parallel()
	d := greeted(t, "servers: [{latency: 50ms}]")
	d.feed([]byte(group), 100*ms)
	d.feed([]byte(group), 120*ms)
	for _, c := range []struct {
		at      time.Duration
		replies int
	}{{149 * ms, 0}, {150 * ms, 3}, {169 * ms, 0}, {170 * ms, 3}, {time.Hour, 0}} {
		if got := strings.Count(string(d.out.take(c.at)), "\r\n"); got != c.replies {
			t.Errorf("at %v: %d replies, want %d", c.at, got, c.replies)
		}
	}
	if d.tally.flights != 1 { // the second group waited for nothing
		t.Errorf("%d flights, want 1", d.tally.flights)
	}
}

// TestThinkIsSerial: each message takes its time, one after another.
func TestThinkIsSerial(t *testing.T) {
	t.Parallel()
	d := greeted(t, "servers: [{latency: 50ms, think: 10ms}]")
	d.feed([]byte(group+group+group), 0)
	var times []time.Duration
	for at, ok := d.out.due(); ok; at, ok = d.out.due() {
		times = append(times, at)
		d.out.take(at)
	}
	if got := fmt.Sprint(times); got != "[50ms 60ms 70ms 80ms]" {
		// MAIL and RCPT of the first wait for the latency only; its end for 10 ms
		// more, and what follows with it.
		t.Errorf("replies leave at %s", got)
	}
}

func TestDelayMovesWhatFollows(t *testing.T) {
	t.Parallel()
	d := greeted(t, "rules: [{at: rcpt, delay: 30ms}]")
	d.feed([]byte(group), 0)
	if got := strings.Count(string(d.out.take(0)), "\r\n"); got != 1 {
		t.Errorf("%d replies at once, want 1", got)
	}
	if got := strings.Count(string(d.out.take(30*ms)), "\r\n"); got != 2 {
		t.Errorf("%d replies after the delay, want 2", got)
	}
}

func TestDripIsOctetByOctet(t *testing.T) {
	t.Parallel()
	d := greeted(t, "servers: [{drip: 1ms, latency: 5ms}]")
	d.feed([]byte("NOOP\r\n"), 0)
	want := d.prof.answers[ansNoop].wire
	for i := range want {
		if got := string(d.out.take(5*ms + time.Duration(i)*ms)); got != string(want[i]) {
			t.Fatalf("octet %d: %q, want %q", i, got, want[i])
		}
	}
}

// TestOutboxKeepsOrder: whatever is held for whatever time, bytes leave in
// order, none twice, none lost, and nothing before its time.
func TestOutboxKeepsOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var o outbox
		var in, out strings.Builder
		now := time.Duration(0)
		for n := range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				s := fmt.Sprintf("<%d>", n)
				in.WriteString(s)
				o.buf = append(o.buf, s...)
				o.hold(len(s), now+time.Duration(rapid.IntRange(0, 50).Draw(t, "wait")))
			case 1:
				fmt.Fprintf(&in, "<%d>", n)
				o.buf = fmt.Appendf(o.buf, "<%d>", n)
			case 2:
				s := fmt.Sprintf("<%d>", n)
				in.WriteString(s)
				o.buf = append(o.buf, s...)
				o.drip(len(s), now+3, 2)
			case 3:
				now += time.Duration(rapid.IntRange(0, 20).Draw(t, "pass"))
				out.Write(o.take(now))
				if at, ok := o.due(); ok && at <= now {
					t.Fatalf("due %v at %v was left", at, now)
				}
			}
		}
		out.Write(o.take(time.Hour))
		if in.String() != out.String() || !o.empty() {
			t.Fatalf("in  %s\nout %s", &in, &out)
		}
	})
}

// TestTimersReallyRing: over a socket, a reply comes no earlier than its
// latency, and it does come, also after STARTTLS.
func TestTimersReallyRing(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Script: script(t, "servers: [{latency: 20ms}]")})
	c := dial(t, s.Addrs()[0])
	c.hello()
	check := func(c *client) {
		t.Helper()
		began := time.Now()
		c.send("NOOP\r\nNOOP\r\n")
		c.expect("250", "250")
		if took := time.Since(began); took < 20*ms {
			t.Errorf("answered after %v", took)
		}
	}
	check(c)
	c.send("STARTTLS\r\n")
	c.expect("220")
	check(overTLS(t, c))
}

func overTLS(t *testing.T, c *client) *client {
	t.Helper()
	tc := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return newClient(t, tc)
}

func TestSharesAreDeterministic(t *testing.T) {
	t.Parallel()
	refused := func(seed int) string {
		p := compile(script(t, fmt.Sprintf("seed: %d\nrules: [{at: rcpt, share: 0.25, reply: '550 no'}]", seed)))[0]
		r := p.rules[atRcpt][0]
		var b strings.Builder
		for i := range 4000 {
			if to := fmt.Appendf(nil, "u%d@d.test", i); r.applies(nil, to, to) {
				fmt.Fprintf(&b, "%d ", i)
			}
		}
		return b.String()
	}
	one, again, two := refused(1), refused(1), refused(2)
	if one != again || one == two {
		t.Error("equal seeds must decide alike, others not")
	}
	if n := strings.Count(one, " "); n < 850 || n > 1150 {
		t.Errorf("%d of 4000 for a share of a quarter", n)
	}
	for share, want := range map[string]bool{"0": false, "1": true} {
		r := compile(script(t, "rules: [{at: rcpt, reply: '550 no', share: "+share+"}]"))[0].rules[atRcpt][0]
		for i := range 100 {
			if got := r.applies(nil, nil, fmt.Appendf(nil, "%d", i)); got != want {
				t.Fatalf("share %s: %v", share, got)
			}
		}
	}
}

func TestEveryFirstTimes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rule, want string }{
		{"every: 3", "..x..x..x"},
		{"first: 2", "xx......."},
		{"every: 2, first: 1", ".x......."},
		{"times: 1", "xxx......"}, // three recipients, once each
		{"times: 2", "xxxxxx..."},
	} {
		r := compile(script(t, "rules: [{at: rcpt, reply: '450 x', "+c.rule+"}]"))[0].rules[atRcpt][0]
		got := ""
		for i := range 9 {
			to := fmt.Appendf(nil, "u%d", i%3)
			if r.applies(nil, to, to) {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.rule, got, c.want)
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a@b", "a@b", true}, {"a@b", "a@bc", false}, {"*", "", true}, {"*@D.test", "x@d.test", true}, {"*@d.test", "x@e.d.test", false},
		{"a*b*c", "abc", true}, {"a*b*c", "a-b-b-c", true}, {"a*b*c", "ac", false}, {"ab*ba", "aba", false}, {"?@*", "x@y", true}, {"?@*", "xx@y", false},
		{"", "", true}, {"", "x", false}, {"**", "x", true},
	} {
		if got := compilePattern(c.pattern).match([]byte(c.text)); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.text, got)
		}
	}
}

func TestGreylistWaits(t *testing.T) {
	t.Parallel()
	g := &greylist{after: time.Minute, seen: map[string]time.Duration{}}
	for _, c := range []struct {
		to   string
		at   time.Duration
		want bool
	}{{"x", 0, false}, {"x", 59 * time.Second, false}, {"y", 59 * time.Second, false}, {"x", 60 * time.Second, true}, {"y", 60 * time.Second, false}, {"y", 2 * time.Minute, true}} {
		if got := g.passes([]byte("from"), []byte(c.to), c.at); got != c.want {
			t.Errorf("%s at %v: %v", c.to, c.at, got)
		}
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	var b bucket
	r := Rate{60, time.Minute} // one a second
	for _, c := range []struct {
		at   time.Duration
		want bool
	}{{0, true}, {10 * ms, false}, {999 * ms, false}, {1000 * ms, true}, {1001 * ms, false}, {9 * time.Second, true}, {9 * time.Second, false}} {
		if got := b.take(c.at, r); got != c.want {
			t.Errorf("at %v: %v", c.at, got)
		}
	}
}

func TestMessageRateIs421(t *testing.T) {
	t.Parallel()
	d := greeted(t, "servers: [{message_rate: 2/s}]")
	d.feed([]byte(group+group+group), time.Second)
	out := string(d.out.take(time.Second))
	if !strings.HasSuffix(out, string(d.prof.answers[ansRate].wire)) || d.tally.accepted != 2 || d.ending != endClose {
		t.Errorf("accepted %d, %q", d.tally.accepted, out)
	}
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Script: script(t, "servers: [{connections: 2}]")})
	one, two := dial(t, s.Addrs()[0]), dial(t, s.Addrs()[0])
	one.expect("220")
	two.expect("220")
	for range 3 {
		c := dial(t, s.Addrs()[0])
		c.expect("421 4.7.0 Too many connections", "<eof>")
	}
	one.send("QUIT\r\n")
	one.expect("221", "<eof>")
	// The place is free once the server has closed, which the client cannot
	// see: ask until it is.
	for {
		c := dial(t, s.Addrs()[0])
		if strings.HasPrefix(c.line(), "220") {
			break
		}
	}
}

func TestConnectionRate(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Script: script(t, "servers: [{connection_rate: 1/h}]")})
	dial(t, s.Addrs()[0]).expect("220")
	dial(t, s.Addrs()[0]).expect("421", "<eof>")
}

// TestServersByAddress: one listener on every address, and the address decides.
func TestServersByAddress(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Listen: []string{"0.0.0.0:0"}, LocalOnly: true, Script: script(t, `
servers:
  - {listen: 127.0.0.2, name: two.test}
  - {listen: [127.3.0.0/16, 127.0.0.9], name: three.test}
  - {listen: "*:1", name: never.test}
`)})
	_, port, err := net.SplitHostPort(s.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	for ip, name := range map[string]string{"127.0.0.2": "two.test", "127.3.4.5": "three.test", "127.0.0.9": "three.test", "127.0.0.1": "sink.test"} {
		dial(t, net.JoinHostPort(ip, port)).expect("220 " + name)
		if s.Stats().Listeners[net.JoinHostPort(ip, port)].Connections != 1 {
			t.Errorf("%s is not counted by itself", ip)
		}
	}
}

func TestStartTLSGoesWrong(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"refuse", "fail", "close", "stall"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := start(t, Options{Script: script(t, "servers: [{tls: "+mode+"}]")})
			c := dial(t, s.Addrs()[0])
			c.hello()
			c.send("STARTTLS\r\n")
			if mode == "refuse" {
				c.expect("454")
				c.send("NOOP\r\n")
				c.expect("250")
				return
			}
			c.expect("220")
			if mode == "stall" {
				return // Close must not hang
			}
			if err := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
				t.Error("the handshake worked")
			}
		})
	}
}

// TestInjectedCommandsAreForgotten: what came in the clear behind STARTTLS is
// no part of the dialogue inside (RFC 3207 6).
func TestInjectedCommandsAreForgotten(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	c := dial(t, s.Addrs()[0])
	c.hello()
	c.send("STARTTLS\r\nEHLO evil\r\nMAIL FROM:<a@b.test>\r\n")
	c.expect("220")
	c = overTLS(t, c)
	c.send("MAIL FROM:<a@b.test>\r\n")
	c.expect("503 5.5.1 Send EHLO")
	c.send("QUIT\r\n")
	c.expect("221")
	if n := s.Stats().Improper; n != 1 {
		t.Errorf("%d improper, want 1", n)
	}
}

func TestStallFloodReset(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Script: script(t, `
rules:
  - {at: mail, from: "stall@*", do: stall}
  - {at: mail, from: "flood@*", do: flood}
  - {at: mail, from: "reset@*", reply: "250 ok", do: reset}
`)})
	c := dial(t, s.Addrs()[0])
	c.hello()
	c.send("NOOP\r\nMAIL FROM:<stall@x>\r\nQUIT\r\n")
	c.expect("250")
	c.conn.SetReadDeadline(time.Now().Add(50 * ms))
	if n, err := c.conn.Read(make([]byte, 1)); n > 0 || !isTimeout(err) {
		t.Errorf("a stalled server sent %d octets, %v", n, err)
	}
	c = dial(t, s.Addrs()[0])
	c.hello()
	c.send("MAIL FROM:<flood@x>\r\n")
	if n, err := io.CopyN(io.Discard, c.r, 8<<20); err != nil {
		t.Errorf("a flood of %d octets, %v", n, err)
	}
	c = dial(t, s.Addrs()[0])
	c.hello()
	c.send("MAIL FROM:<reset@x>\r\n")
	if _, err := io.ReadAll(c.r); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// TestScriptMistakes: every one is told, with its line.
func TestScriptMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want []string
	}{
		{"speed: 1", []string{"unknown field"}},
		{"servers:\n  - listen: nowhere\n    tls: maybe\n    multiline: 99\n    size: -1\n    latency: -1s\n", []string{"s.yaml:2: servers[0].listen", "s.yaml:3: servers[0].tls", "s.yaml:4: servers[0].multiline", "s.yaml:5: servers[0].size", "s.yaml:6: servers[0].latency"}},
		{"servers:\n  - extensions: [PIPELINING, TURBO]\n    without: SPEED\n", []string{"s.yaml:2", "TURBO", "s.yaml:3", "SPEED"}},
		{"rules:\n  - at: rcpt\n    reply: nope\n    share: 2\n    do: dance\n", []string{"s.yaml:3: rules[0].reply", "s.yaml:4: rules[0].share", "s.yaml:5: rules[0].do"}},
		{"rules:\n  - {at: lunch, reply: 250 ok}\n  - {at: mail, to: x, reply: 250 ok}\n  - {at: ehlo, from: x, reply: 250 ok}\n", []string{"s.yaml:2", "lunch", "s.yaml:3", "recipient", "s.yaml:4", "sender"}},
		{"rules:\n  - {at: rcpt}\n  - {at: content, delay: 1s}\n  - {at: mail, take: true}\n  - {at: mail, after: 5, do: close}\n", []string{"does nothing", "content needs", "take", "octets"}},
		{"rules:\n  - {at: rcpt, every: -1, first: -1, times: -1, delay: -1s}\n", []string{"every", "first", "times", "delay"}},
		{"servers:\n  - message_rate: fast\n", []string{"no rate"}},
		{"servers:\n  - greylist: {after: -1s, reply: x}\n", []string{"greylist.after", "greylist.reply"}},
		{"servers:\n  - rules: [{at: rcpt, reply: \"200 a\\rb\"}]\n", []string{"carriage return"}},
	} {
		_, err := ParseScript("s.yaml", []byte(c.text))
		for _, w := range c.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s\n%v\nwant %q", c.text, err, w)
			}
		}
	}
}

func FuzzScript(f *testing.F) {
	f.Add("servers: [{latency: 1ms, greylist: {after: 1s}}]\nrules: [{at: rcpt, to: '*@x', share: 0.5, reply: '550 no'}]")
	f.Add("rules:\n- {at: content, after: 1, do: close}\n- {at: end, take: true}")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseScript("f", []byte(text))
		if err != nil {
			return
		}
		talk(bare(s), "EHLO x\r\n"+group+"QUIT\r\n", []int{5, 9})
	})
}

func TestStartFailures(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for name, o := range map[string]Options{
		"address in use": {Listen: []string{busy.Addr().String()}},
		"no address":     {Listen: []string{"127.0.0.1"}},
		"bad script":     {Script: &Script{Rules: []Rule{{At: "never"}}}},
		"bad record":     {Record: t.TempDir()},
		"bad maildir":    {Maildir: "/dev/null/x"},
	} {
		if s, err := Start(o); err == nil {
			t.Errorf("%s: started", name)
			s.Close()
		}
	}
}
