package bounce

import (
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
	"github.com/penstock-mail/penstock/throttle"
)

var rewrite = flag.Bool("rewrite", false, "write what Judge says into testdata/replies.txt")

var commands = map[string]smtp.Command{
	"connect": smtp.Connect, "ehlo": smtp.Ehlo, "starttls": smtp.StartTLS, "mail": smtp.Mail,
	"rcpt": smtp.Rcpt, "data": smtp.Data, "end": smtp.End,
}

var replyForm = regexp.MustCompile(`^(\d{3}) (?:(\d)\.(\d+)\.(\d+) )?(.*)$`)

func parseReply(t testing.TB, s string) smtp.Reply {
	t.Helper()
	m := replyForm.FindStringSubmatch(s)
	if m == nil {
		t.Fatalf("not a reply: %q", s)
	}
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	return smtp.Reply{
		Code:     number(m[1]),
		Enhanced: smtp.EnhancedCode{uint16(number(m[2])), uint16(number(m[3])), uint16(number(m[4]))},
		Text:     m[5],
	}
}

// show is a verdict in one line.
func show(v Verdict) string {
	s := fmt.Sprintf("%v %v %v", v.Class, v.Scope, v.Action)
	if v.RetryAfter > 0 {
		s += fmt.Sprintf(" after=%v", v.RetryAfter)
	}
	if v.Signal.Kind != throttle.KindNone {
		s += fmt.Sprintf(" signal=%v", v.Signal.Kind)
		if v.Signal.RetryAfter > 0 {
			s += fmt.Sprintf(" rest=%v", v.Signal.RetryAfter)
		}
		if v.Signal.Hold > 0 {
			s += fmt.Sprintf(" hold=%v", v.Signal.Hold)
		}
	}
	if v.BreakerKey != "" {
		s += " breaker"
	}
	return s
}

func TestReplies(t *testing.T) {
	const path = "testdata/replies.txt"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		given, want, _ := strings.Cut(strings.TrimRight(line, "\n"), " => ")
		parts := strings.SplitN(given, " | ", 3)
		if len(parts) != 3 || strings.HasPrefix(line, "#") {
			out.WriteString(line)
			continue
		}
		command, ok := commands[parts[1]]
		if !ok {
			t.Fatalf("%s:%d: no command %q", path, n, parts[1])
		}
		got := show(Judge(Facts{Site: parts[0], Fate: smtp.Refused, Command: command, Reply: parseReply(t, parts[2])}))
		fmt.Fprintf(&out, "%s => %s\n", given, got)
		if got != want && !*rewrite {
			t.Errorf("%s:%d: %s\n got %s\nwant %s", path, n, given, got, want)
		}
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeliveredCostsNothing(t *testing.T) {
	out := smtp.Outcome{Fate: smtp.Delivered, Command: smtp.End, Reply: smtp.Reply{Code: 250, Text: "2.0.0 Ok: queued as 12345"}}
	var v Verdict
	if n := testing.AllocsPerRun(100, func() { v = Judge(FactsOf("google", &out)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if v.Class != Accepted || v.Action != Deliver {
		t.Error(show(v))
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		facts Facts
		want  string
	}{
		{Facts{Fate: smtp.Uncertain, Command: smtp.End, Err: io.ErrUnexpectedEOF}, "lost recipient doubt"},
		{Facts{Fate: smtp.NotAttempted, Command: smtp.Mail, Err: io.EOF}, "network site requeue"},
		{Facts{Fate: smtp.NotAttempted, Command: smtp.Connect, Err: errors.New("connection refused")}, "network site requeue"},
		{Facts{Fate: smtp.NotAttempted, Command: smtp.StartTLS, Err: io.EOF}, "tls source+site requeue"},
		{Facts{Fate: smtp.NotAttempted, Command: smtp.Connect, Err: fmt.Errorf("handshake: %w", x509.UnknownAuthorityError{})}, "tls source+site requeue"},
		// Behind somebody else's 421.
		{Facts{Fate: smtp.NotAttempted, Command: smtp.Mail, Reply: smtp.Reply{Code: 421, Text: "too many connections"}}, "connection-limit source+site requeue"},
		// A server that ends every session at its first message is not done with it.
		{Facts{Fate: smtp.Refused, Fresh: true, Command: smtp.Mail, Reply: smtp.Reply{Code: 421, Text: "too many messages in this session"}}, "busy source+site requeue signal=busy"},
	} {
		if got := show(Judge(c.facts)); got != c.want {
			t.Errorf("%+v: %s, want %s", c.facts, got, c.want)
		}
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"Try again in 300 seconds":                  300 * time.Second,
		"greylisted, please retry in 5 minutes":     5 * time.Minute,
		"Please wait 1h":                            time.Hour,
		"retry after 1 hour 30 minutes":             90 * time.Minute,
		"try again in 4m50s":                        290 * time.Second,
		"come back in 00:04:30":                     270 * time.Second,
		"Greylisting in action, try again in 300s":  300 * time.Second,
		"try again in 9999 hours":                   MaxHint,
		"try again in 0 seconds":                    0,
		"try again in 99999999999999999999 seconds": 0,
		"try again later from 192.0.2.1":            0,
		"try again later":                           0,
		"wrote 300 seconds ago":                     0,
		"retry later, ref a300s-17 m":               0,
		"wait":                                      0,
		"":                                          0,
		"retry in 10 parsecs":                       0,
		"deferred, retry (code 45) in 60 seconds, 3 connected": time.Minute,
	} {
		if got := parseHint(strings.ToLower(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestSameReasonHasTheSameKey(t *testing.T) {
	t.Parallel()
	key := func(reply string) string {
		return Judge(Facts{Site: "x", Fate: smtp.Refused, Command: smtp.Rcpt, Reply: parseReply(t, reply)}).BreakerKey
	}
	a := key("554 5.7.1 <bob@x.example>: Policy refuses 192.0.2.1; see https://x.example/?id=12 ref abc123")
	b := key("554 5.7.1 <eve@x.example>: Policy refuses 192.0.2.7; see https://x.example/?id=99 ref zzz999")
	if a == "" || a != b {
		t.Errorf("%q and %q", a, b)
	}
	if c := key("554 5.7.1 <bob@x.example>: Other reason"); c == a {
		t.Errorf("two reasons, one key: %q", c)
	}
	if c := key("550 5.1.1 User unknown"); c != "" {
		t.Errorf("an unknown user counts for the breaker: %q", c)
	}
}

func TestRulesRefuseNonsense(t *testing.T) {
	t.Parallel()
	_, err := parseRules(strings.Join([]string{
		"- - 600 - busy", "- - - 4.7.1 busy", "- - - x.7.9-2 busy", "- - - - nothing", "- dot - - busy",
		"- - - - busy rest=-1s", "- - - - busy foo=1s", `- - - - busy "a||b"`, `- - - - busy "a" b`, "- -",
	}, "\n"))
	if err == nil {
		t.Fatal("accepted")
	}
	for i := range 10 {
		if !strings.Contains(err.Error(), fmt.Sprintf("line %d:", i+1)) {
			t.Errorf("line %d was accepted:\n%v", i+1, err)
		}
	}
}

func TestEveryClassHasAName(t *testing.T) {
	t.Parallel()
	for c := ClassUnset + 1; int(c) < numClasses; c++ {
		back, ok := ParseClass(c.String())
		if !ok || back != c || traits[c].scope == ScopeUnset || traits[c].permanent == ActionUnset {
			t.Errorf("class %d: %+v", c, traits[c])
		}
	}
}

// FuzzJudge holds the laws of the package, whatever the facts.
func FuzzJudge(f *testing.F) {
	f.Add("google", uint8(smtp.Refused), uint8(smtp.Rcpt), 450, uint16(4), uint16(2), uint16(1), "try again in 5 minutes", false)
	f.Add("", uint8(smtp.NotAttempted), uint8(smtp.Connect), 554, uint16(5), uint16(7), uint16(1), "blocked", true)
	f.Add("yahoo", uint8(smtp.Refused), uint8(smtp.End), 421, uint16(0), uint16(0), uint16(0), "[TSS04]", false)
	f.Fuzz(func(t *testing.T, site string, fate, command uint8, code int, e0, e1, e2 uint16, text string, fresh bool) {
		facts := Facts{
			Site: site, Fate: smtp.Fate(fate % 5), Command: smtp.Command(command % 11), Fresh: fresh,
			Reply: smtp.Reply{Code: code, Enhanced: smtp.EnhancedCode{e0, e1, e2}, Text: text},
		}
		if facts.Fate == smtp.FateUnset || code != 0 && (code < 400 || code > 599) {
			return
		}
		v := Judge(facts)
		if v.Class == ClassUnset || v.Scope == ScopeUnset || v.Action == ActionUnset {
			t.Fatalf("%+v: nothing decided: %s", facts, show(v))
		}
		if v.Action == Bounce && (code < 500 || facts.Command != smtp.Rcpt && facts.Command != smtp.End) {
			t.Fatalf("%+v bounces", facts)
		}
		if (v.Action == Deliver) != (facts.Fate == smtp.Delivered) {
			t.Fatalf("%+v: %s", facts, show(v))
		}
		if v.RetryAfter != 0 && (v.RetryAfter < MinHint || v.RetryAfter > MaxHint) {
			t.Fatalf("%+v: hint %v", facts, v.RetryAfter)
		}
		if v.BreakerKey != "" && code < 500 {
			t.Fatalf("%+v: a temporary answer counts for the breaker", facts)
		}
		if facts.Fate == smtp.Uncertain && code == 0 && v.Action != Doubt {
			t.Fatalf("%+v: %s", facts, show(v))
		}
	})
}

func BenchmarkJudgeUnknownUser(b *testing.B) {
	f := Facts{Site: "example", Fate: smtp.Refused, Command: smtp.Rcpt,
		Reply: smtp.Reply{Code: 550, Enhanced: smtp.EnhancedCode{5, 1, 1}, Text: "No such user here"}}
	for b.Loop() {
		Judge(f)
	}
}

func BenchmarkJudgeUnknownText(b *testing.B) {
	f := Facts{Site: "example", Fate: smtp.Refused, Command: smtp.End,
		Reply: smtp.Reply{Code: 554, Text: strings.Repeat("something that nobody has heard before ", 5)}}
	for b.Loop() {
		Judge(f)
	}
}
