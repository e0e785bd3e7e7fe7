package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestTranscripts plays the dialogues of testdata, one file per behaviour of a
// peer. After each directive come the events, what the client writes, and where
// the session then stands.
//
//	new [gear=pipelining] [window=4] [tls=none|opportunistic|require] [hello=x] [secured]
//	server      feeds lines as they stand, each with CRLF
//	raw         feeds one Go string literal
//	send        one message a line: NAME [from=] [to=] [content="..."] [parts="..."] [eight] [utf8]
//	secured | quit | lost [timeout]
//
// The flag "hold" on any of them keeps the output from being handed out.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s *Session
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return play(t, &s, d)
		})
	})
}

func play(t *testing.T, sp **Session, d *datadriven.TestData) string {
	s := *sp
	hold := false
	switch d.Cmd {
	case "new":
		s = New(transcriptConfig(t, d))
		s.SetTap(new(recorder))
		*sp = s
	case "server":
		hold = d.HasArg("hold")
		s.Feed([]byte(strings.ReplaceAll(d.Input, "\n", "\r\n") + "\r\n"))
	case "raw":
		hold = d.HasArg("hold")
		for line := range strings.SplitSeq(d.Input, "\n") {
			in, err := strconv.Unquote(line)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			s.Feed([]byte(in))
		}
	case "send":
		hold = d.HasArg("hold")
		for line := range strings.SplitSeq(d.Input, "\n") {
			s.Send(transcriptMessage(t, d, line))
		}
	case "secured":
		s.Secured()
	case "quit":
		s.Quit()
	case "lost":
		err := error(nil)
		if d.HasArg("timeout") {
			err = fmt.Errorf("waiting: %w", ErrTimeout)
		}
		s.Lost(err)
	default:
		d.Fatalf(t, "unknown directive %s", d.Cmd)
	}
	var b strings.Builder
	for _, e := range s.Events(nil) {
		b.WriteString(showEvent(&e))
	}
	if !hold {
		var out []byte
		for _, piece := range s.Output(nil) {
			out = append(out, piece...)
		}
		if told := s.tap.(*recorder).written(); !bytes.Equal(told, out) {
			d.Fatalf(t, "the tap heard %q, but %q was written", told, out)
		}
		for _, line := range strings.SplitAfter(string(out), "\r\n") {
			switch {
			case line == "":
			case strings.HasSuffix(line, "\r\n") && !strings.ContainsAny(line[:len(line)-2], "\r\n"):
				fmt.Fprintf(&b, "C: %s\n", strings.TrimSuffix(line, "\r\n"))
			default:
				fmt.Fprintf(&b, "C: %q\n", line)
			}
		}
	}
	switch c, ok := s.Waiting(); {
	case s.Closed():
	case ok:
		fmt.Fprintf(&b, "(waits for %s, %d in flight, room %d)\n", c, s.InFlight(), s.Room())
	default:
		fmt.Fprintf(&b, "(idle, room %d)\n", s.Room())
	}
	return b.String()
}

func transcriptConfig(t *testing.T, d *datadriven.TestData) Config {
	cfg := Config{Hello: "client.example", TLS: TLSNone, Secured: d.HasArg("secured")}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "window":
			d.ScanArgs(t, "window", &cfg.Window)
		case "hello":
			cfg.Hello = strings.Join(a.Vals, "")
		case "gear":
			cfg.TopGear = map[string]Gear{"lock-step": LockStep, "pipelining": Pipelining, "chunking": Chunking}[a.Vals[0]]
		case "tls":
			cfg.TLS = map[string]TLSMode{"none": TLSNone, "opportunistic": TLSOpportunistic, "require": TLSRequire}[a.Vals[0]]
		}
	}
	return cfg
}

func transcriptMessage(t *testing.T, d *datadriven.TestData, line string) *Message {
	name, rest, _ := strings.Cut(line, " ")
	m := &Message{From: "from@a.example", To: name + "@b.example", Tag: name}
	content := "Subject: " + name + "\r\n\r\nhi\r\n"
	m.Content = [][]byte{[]byte(content)}
	for rest != "" {
		key, value := rest, ""
		if i := strings.IndexAny(rest, " ="); i >= 0 {
			key = rest[:i]
			if rest[i] == '=' {
				quoted, err := strconv.QuotedPrefix(rest[i+1:])
				if err != nil {
					d.Fatalf(t, "%s: %v", rest, err)
				}
				value, _ = strconv.Unquote(quoted)
				i += len(quoted)
			}
			rest = strings.TrimLeft(rest[i+1:], " ")
		} else {
			rest = ""
		}
		switch key {
		case "from":
			m.From = value
		case "to":
			m.To = value
		case "content": // parts are cut at "|"
			m.Content = nil
			for part := range strings.SplitSeq(value, "|") {
				m.Content = append(m.Content, []byte(part))
			}
		case "repeat":
			n, _ := strconv.Atoi(value)
			m.Content = [][]byte{[]byte(strings.Repeat("0123456789abcdef0123456789abcd\r\n", n))}
		case "eight":
			m.EightBit = true
		case "utf8":
			m.UTF8 = true
		default:
			d.Fatalf(t, "unknown key %q", key)
		}
	}
	for _, part := range m.Content {
		m.Size += len(part)
	}
	return m
}

func showEvent(e *Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "-> %s", e.Kind)
	if e.Message != nil {
		fmt.Fprintf(&b, " %v", e.Message.Tag)
	}
	o := &e.Outcome
	if o.Fate != FateUnset {
		fmt.Fprintf(&b, ": %s", o.Fate)
	}
	if o.Command != CommandUnset {
		fmt.Fprintf(&b, " [%s]", o.Command)
	}
	if o.Reply.Code != 0 {
		fmt.Fprintf(&b, " %d", o.Reply.Code)
		if c := o.Reply.Enhanced.String(); c != "" {
			fmt.Fprintf(&b, " (%s)", c)
		}
		fmt.Fprintf(&b, " %q", o.Reply.Text)
	}
	if o.Anomaly != NoAnomaly {
		fmt.Fprintf(&b, " !%s", o.Anomaly)
	}
	if o.Err != nil {
		fmt.Fprintf(&b, " err: %v", o.Err)
		if errors.Is(o.Err, ErrTimeout) {
			b.WriteString(" (time-out)")
		}
	}
	switch e.Kind {
	case Ready:
		fmt.Fprintf(&b, " gear=%s window=%d %+v", e.Gear, e.Window, e.Capabilities)
	case GearChanged:
		fmt.Fprintf(&b, " gear=%s window=%d: %s", e.Gear, e.Window, e.Reason)
	}
	b.WriteByte('\n')
	return b.String()
}
