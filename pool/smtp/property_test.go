package smtp

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestFatesAgreeWithTheServer: whatever a server does at each step, every
// message ends in exactly one fate, and the fate agrees with what that server
// took under the right envelope.
func TestFatesAgreeWithTheServer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pick := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
		sent, fates, m, trace := converse(t, pick)
		if wrong := judge(m, sent, fates); len(wrong) > 0 {
			t.Fatalf("%s\n%s", strings.Join(wrong, "\n"), trace)
		}
	})
}

// converse drives a session against a model until it is closed.
func converse(t *rapid.T, pick func(string, int) int) ([]*Message, map[*Message][]Outcome, *model, string) {
	offers := []string{"", "PIPELINING", "PIPELINING CHUNKING", "PIPELINING CHUNKING SIZE", "CHUNKING"}[pick("offers", 5)]
	m := newModel(pick, offers, quirk(pick("quirk", int(quirks))))
	s := New(Config{Hello: "client.example", TLS: TLSNone, Window: 1 + pick("window", 5), TopGear: Gear(pick("gear", 4))})
	var (
		trace  strings.Builder
		sent   []*Message
		fates  = map[*Message][]Outcome{}
		events []Event
		total  = 1 + pick("messages", 12)
		inward []byte // said by the server, not heard by the session yet
		closed bool
	)
	fmt.Fprintf(&trace, "offers %q quirk %d\n", offers, m.quirk)
	for step := 0; ; step++ {
		if step > 2000 {
			t.Fatalf("no end\n%s", trace.String())
		}
		events = s.Events(events[:0])
		for i := range events {
			trace.WriteString(showEvent(&events[i]))
			if closed {
				t.Fatalf("%s behind Closed", events[i].Kind)
			}
			switch events[i].Kind {
			case Settled:
				fates[events[i].Message] = append(fates[events[i].Message], events[i].Outcome)
			case Closed:
				closed = true
			}
		}
		if closed {
			if s.InFlight() != 0 || s.Room() != 0 {
				t.Fatal("closed with messages in flight, or with room")
			}
			return sent, fates, m, trace.String()
		}
		for s.Room() > 0 && len(sent) < total && pick("send", 4) > 0 {
			n := len(sent)
			msg := &Message{From: fmt.Sprintf("from%d@a", n), To: fmt.Sprintf("to%d@b", n), Tag: n}
			msg.Content = [][]byte{fmt.Appendf(nil, "Id: %d\r\n", n), []byte("\r\n.a\r"), []byte("\n"), []byte(".\r\n..\r\n")}
			s.Send(msg)
			sent = append(sent, msg)
		}
		if len(sent) == total && pick("quit", 3) == 0 {
			s.Quit()
		}
		var out []byte
		if pick("write", 5) > 0 {
			out = slices.Concat(s.Output(nil)...)
		}
		if len(out) > 0 {
			n := len(out)
			if pick("cut off", 60) == 59 {
				n = pick("cut at", n)
			}
			fmt.Fprintf(&trace, "C: %q\n", out[:n])
			m.read(out[:n])
			if n < len(out) {
				m.hangUp()
			}
		}
		inward = append(inward, m.out...)
		m.out = m.out[:0]
		if len(inward) > 0 {
			n := len(inward)
			if pick("part", 3) == 0 {
				n = 1 + pick("part of", n)
			}
			fmt.Fprintf(&trace, "S: %q\n", inward[:n])
			s.Feed(inward[:n])
			inward = inward[n:]
			continue
		}
		switch _, waits := s.Waiting(); {
		case m.closed:
			s.Lost(nil)
		case s.Pending():
		case waits:
			s.Lost(ErrTimeout)
		case len(sent) == total:
			s.Quit()
		}
	}
}
