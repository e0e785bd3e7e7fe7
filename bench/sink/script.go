package sink

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Script is behaviour as data. The zero value is a plain, fast server.
type Script struct {
	// Seed makes shares fall differently; equal seeds, equal decisions.
	Seed uint64 `yaml:"seed"`
	// Servers are tried in order for each connection: the first whose Listen
	// matches the connection's local address serves it.
	Servers []Server `yaml:"servers"`
	// Rules apply to every server, after its own.
	Rules []Rule `yaml:"rules"`
}

// Server is how one host, or several, behave.
type Server struct {
	// Listen are addresses ("127.0.0.2", "127.0.0.2:2525"), networks
	// ("127.1.0.0/16") or "*". None matches everything.
	Listen Words `yaml:"listen"`
	// Name stands in the greeting and the EHLO reply; default sink.test.
	Name string `yaml:"name"`
	// Extensions replaces what EHLO offers (none: nothing); Without takes some
	// away.
	Extensions Words `yaml:"extensions"`
	Without    Words `yaml:"without"`
	// Size is the largest message, in octets (RFC 1870); default 64 MiB.
	Size int64 `yaml:"size"`
	// Latency is a round-trip time: each reply leaves that long after its
	// command arrived.
	Latency time.Duration `yaml:"latency"`
	// Think is spent on each message, one after another.
	Think time.Duration `yaml:"think"`
	// Drip lets replies leave an octet at a time, that far apart.
	Drip time.Duration `yaml:"drip"`
	// Multiline gives every reply that many lines, 1 to 50.
	Multiline int `yaml:"multiline"`
	// TLS is what happens at STARTTLS: ok, refuse (454), fail (nonsense
	// instead of a handshake), stall, close.
	TLS string `yaml:"tls"`
	// Strict ends the connection with 554 when commands arrive that the
	// client had to wait with (RFC 2920 3.1).
	Strict bool `yaml:"strict"`

	// Connections is the most open at once to one address; more get 421.
	Connections int `yaml:"connections"`
	// ConnectionRate bounds new connections to one address; more get 421.
	ConnectionRate Rate `yaml:"connection_rate"`
	// MessageRate bounds MAIL commands at one address; more get 421.
	MessageRate Rate `yaml:"message_rate"`
	// MessagesPerConnection bounds MAIL commands of a connection; then 421.
	MessagesPerConnection int `yaml:"messages_per_connection"`
	// RecipientsPerMessage bounds RCPT commands of a message; then 452.
	RecipientsPerMessage int `yaml:"recipients_per_message"`
	// Greylist answers 451 until a pair of sender and recipient has waited.
	Greylist *Greylist `yaml:"greylist"`
	// AcceptAfterRefusal takes the message even if no recipient was accepted.
	AcceptAfterRefusal bool `yaml:"accept_after_refusal"`

	Rules []Rule `yaml:"rules"`
}

// Greylist settings. After 0 accepts the second try whenever it comes.
type Greylist struct {
	After time.Duration `yaml:"after"`
	Reply Text          `yaml:"reply"`
}

// Rule changes what happens at one phase. The first rule that matches wins.
type Rule struct {
	// At is the phase: connect, ehlo, helo, starttls, mail, rcpt, data, bdat,
	// content, end, rset, quit.
	At string `yaml:"at"`
	// To and From are patterns on the envelope: "*" and "?" stand for any
	// text and any one octet; case is ignored. To is known from rcpt on, From from mail on.
	To   Words `yaml:"to"`
	From Words `yaml:"from"`
	// Share is the part of the matches that the rule takes, 0 to 1. It falls by
	// recipient where there is one, else by connection and message number.
	Share *float64 `yaml:"share"`
	// Every takes each Nth match only; First only the first N; Times at most N
	// for one recipient (or, before RCPT, for one address of the server).
	Every int `yaml:"every"`
	First int `yaml:"first"`
	Times int `yaml:"times"`

	// Reply is the answer: a code and text, one line or several.
	Reply Text `yaml:"reply"`
	// Do is what happens instead of the reply, or after it: close, reset (close
	// with a TCP RST), stall; or instead of it only: garbage (nonsense), flood (a
	// reply without an end).
	Do string `yaml:"do"`
	// After is how many octets of content pass before it happens (content only).
	After int64 `yaml:"after"`
	// Delay is added to the time of this reply and all that follow it.
	Delay time.Duration `yaml:"delay"`
	// Take counts and records the message whatever the reply says (end only).
	Take bool `yaml:"take"`
}

// Words is one word or a list of them.
type Words []string

// UnmarshalYAML reads a scalar or a sequence.
func (w *Words) UnmarshalYAML(decode func(any) error) error {
	var one string
	if decode(&one) == nil {
		*w = Words{one}
		return nil
	}
	var many []string
	if err := decode(&many); err != nil {
		return err
	}
	*w = many
	return nil
}

// Text is a reply as it is written in a script: lines, the first with a code.
type Text string

// Rate is so many per time, written "100/s", "6000/m" or "5/h".
type Rate struct {
	Count float64
	Per   time.Duration
}

// UnmarshalYAML reads "count/unit".
func (r *Rate) UnmarshalYAML(decode func(any) error) error {
	var s string
	if err := decode(&s); err != nil {
		return err
	}
	count, unit, ok := strings.Cut(s, "/")
	n, err := strconv.ParseFloat(strings.TrimSpace(count), 64)
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[strings.TrimSpace(unit)]
	if !ok || err != nil || n <= 0 || per == 0 {
		return fmt.Errorf("%q is no rate: write 100/s, 6000/m or 5/h", s)
	}
	*r = Rate{n, per}
	return nil
}

// LoadScript reads a script file.
func LoadScript(path string) (*Script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sink script: %w", err)
	}
	return ParseScript(path, text)
}

// ParseScript reads a script; name stands in errors. Unknown keys and values
// that make no sense are errors with their line, all of them at once.
func ParseScript(name string, text []byte) (*Script, error) {
	s := new(Script)
	if len(strings.TrimSpace(string(text))) == 0 {
		return s, nil
	}
	if err := decode(text, s); err != nil {
		return nil, fmt.Errorf("sink script %s: %w", name, err)
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("sink script %s: %w", name, err)
	}
	var errs []error
	for _, m := range s.check() {
		errs = append(errs, fmt.Errorf("%s:%d: %s: %s", name, lineOf(file, m.path), m.path, m.text))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// decode reads YAML strictly. The library panics on some odd input (a tag
// where a list should be); that is a mistake in the script, too.
func decode(text []byte, into any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("is no YAML that can be read: %v", p)
		}
	}()
	return yaml.UnmarshalWithOptions(text, into, yaml.Strict())
}

// lineOf finds the line of a path such as "servers[0].tls"; 1 if there is none,
// since then the value is not written where it could be shown.
func lineOf(file *ast.File, path string) int {
	p, err := yaml.PathString("$." + path)
	if err != nil {
		return 1
	}
	node, err := p.FilterFile(file)
	if err != nil || node == nil {
		return 1
	}
	return node.GetToken().Position.Line
}

// mistake is one thing wrong with a script, at a path within it.
type mistake struct{ path, text string }

// check lists every bound that the script violates.
func (s *Script) check() (all []mistake) {
	for i := range s.Servers {
		all = append(all, s.Servers[i].check(fmt.Sprintf("servers[%d]", i))...)
	}
	return append(all, checkRules("", s.Rules)...)
}

func (v *Server) check(at string) (all []mistake) {
	wrong := func(field, format string, args ...any) {
		all = append(all, mistake{at + "." + field, fmt.Sprintf(format, args...)})
	}
	for _, l := range v.Listen {
		if _, err := parseListen(l); err != nil {
			wrong("listen", "%q is no address, network or *", l)
		}
	}
	for _, e := range v.Extensions {
		if _, ok := extensionByName(e); !ok {
			wrong("extensions", "unknown extension %q", e)
		}
	}
	for _, e := range v.Without {
		if _, ok := extensionByName(e); !ok {
			wrong("without", "unknown extension %q", e)
		}
	}
	if v.Multiline < 0 || v.Multiline > 50 {
		wrong("multiline", "%d is not in 1 to 50", v.Multiline)
	}
	switch v.TLS {
	case "", "ok", "refuse", "fail", "stall", "close":
	default:
		wrong("tls", "%q is none of ok, refuse, fail, stall, close", v.TLS)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"latency", v.Latency}, {"think", v.Think}, {"drip", v.Drip}} {
		if d.value < 0 {
			wrong(d.field, "%v is negative", d.value)
		}
	}
	for _, n := range []struct {
		field string
		value int64
	}{{"size", v.Size}, {"connections", int64(v.Connections)}, {"messages_per_connection", int64(v.MessagesPerConnection)}, {"recipients_per_message", int64(v.RecipientsPerMessage)}} {
		if n.value < 0 {
			wrong(n.field, "%d is negative", n.value)
		}
	}
	if g := v.Greylist; g != nil {
		if g.After < 0 {
			wrong("greylist.after", "%v is negative", g.After)
		}
		if _, err := parseReply(g.Reply); g.Reply != "" && err != nil {
			wrong("greylist.reply", "%v", err)
		}
	}
	return append(all, checkRules(at+".", v.Rules)...)
}

func checkRules(prefix string, rules []Rule) (all []mistake) {
	for i := range rules {
		r := &rules[i]
		wrong := func(field, format string, args ...any) {
			all = append(all, mistake{fmt.Sprintf("%srules[%d].%s", prefix, i, field), fmt.Sprintf(format, args...)})
		}
		at, ok := phaseByName(r.At)
		if !ok {
			wrong("at", "%q is no phase: %s", r.At, strings.Join(phaseNames[1:], ", "))
		}
		if len(r.To) > 0 && (at < atRcpt || at > atEnd) {
			wrong("to", "the recipient is not known at %s", r.At)
		}
		if len(r.From) > 0 && (at < atMail || at > atEnd) {
			wrong("from", "the sender is not known at %s", r.At)
		}
		if r.Share != nil && (*r.Share < 0 || *r.Share > 1) {
			wrong("share", "%v is not in 0 to 1", *r.Share)
		}
		if r.Every < 0 {
			wrong("every", "%d is negative", r.Every)
		}
		if r.First < 0 {
			wrong("first", "%d is negative", r.First)
		}
		if r.Times < 0 {
			wrong("times", "%d is negative", r.Times)
		}
		if r.Delay < 0 {
			wrong("delay", "%v is negative", r.Delay)
		}
		if r.Reply != "" {
			if _, err := parseReply(r.Reply); err != nil {
				wrong("reply", "%v", err)
			}
		}
		if _, ok := deedByName(r.Do); !ok {
			wrong("do", "%q is none of close, reset, stall, garbage, flood", r.Do)
		}
		if r.After != 0 && at != atContent {
			wrong("after", "only content has octets to wait for")
		}
		if r.After < 0 {
			wrong("after", "%d is negative", r.After)
		}
		if r.Take && at != atEnd {
			wrong("take", "only the end of a message can take it")
		}
		if at == atContent && r.Reply == "" && r.Do == "" {
			wrong("at", "content needs a reply or a do")
		}
		if r.Reply == "" && r.Do == "" && r.Delay == 0 && !r.Take && ok {
			wrong("at", "the rule does nothing: give reply, do, delay or take")
		}
	}
	return all
}
