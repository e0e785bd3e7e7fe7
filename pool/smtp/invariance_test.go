package smtp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// driver runs a session for a server that is heard in flights: what arrives
// between two turns of the owner. It writes down all that can be seen outside.
type driver struct {
	s      *Session
	trace  strings.Builder
	sent   []*Message
	fates  map[*Message]int
	closed int
	wrong  []string
}

func newDriver(cfg Config) *driver {
	return &driver{s: New(cfg), fates: map[*Message]int{}}
}

// turn takes what there is, sends up to limit messages in all, and writes.
func (d *driver) turn(limit int) []byte {
	for _, e := range d.s.Events(nil) {
		d.trace.WriteString(showEvent(&e))
		d.check(&e)
		if e.Kind == Handshake {
			d.s.Secured()
		}
	}
	for d.s.Room() > 0 && len(d.sent) < limit {
		n := len(d.sent)
		m := &Message{From: "f@a", To: fmt.Sprintf("t%d@b", n), Tag: n, Content: [][]byte{fmt.Appendf(nil, ".Id: %d\r\n", n)}}
		d.sent = append(d.sent, m)
		d.s.Send(m)
	}
	out := slices.Concat(d.s.Output(nil)...)
	fmt.Fprintf(&d.trace, "C: %q\n", out)
	return out
}

// check is what holds for every event, whatever a server sends.
func (d *driver) check(e *Event) {
	complain := func(f string, args ...any) { d.wrong = append(d.wrong, fmt.Sprintf(f, args...)) }
	if d.closed > 0 {
		complain("%s behind closed", e.Kind)
	}
	o := &e.Outcome
	if len(o.Reply.Text) > MaxReplyText || strings.ContainsFunc(o.Reply.Text, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
		complain("reply text %q", o.Reply.Text)
	}
	if c := o.Reply.Code; c != 0 && (c < 200 || c > 599) {
		complain("reply code %d", c)
	}
	switch e.Kind {
	case Closed:
		d.closed++
	case Settled:
		d.fates[e.Message]++
		switch {
		case o.Fate == FateUnset:
			complain("message without a fate")
		case o.Fate == Delivered && o.Reply.Code/100 != 2, o.Fate == Refused && o.Reply.Code < 400:
			complain("%s by %d", o.Fate, o.Reply.Code)
		case o.Fate >= Uncertain && o.Err == nil:
			complain("%s without a reason", o.Fate)
		}
	case EventUnset, Ready, Handshake, GearChanged, Failed:
	}
}

// finish loses the connection and draws the balance.
func (d *driver) finish() (string, []string) {
	d.s.Lost(nil)
	d.turn(0)
	if d.closed != 1 {
		d.wrong = append(d.wrong, fmt.Sprintf("closed %d times", d.closed))
	}
	for _, m := range d.sent {
		if d.fates[m] != 1 {
			d.wrong = append(d.wrong, fmt.Sprintf("message %v has %d fates", m.Tag, d.fates[m]))
		}
	}
	return d.trace.String(), d.wrong
}

// TestCutsChangeNothing: however a flight is cut on its way in, events and
// output stay the same.
func TestCutsChangeNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		cuts := rapid.SliceOfN(rapid.IntRange(1, 40), 1, 8).Draw(t, "cuts")
		cfg := Config{Hello: "c", Window: rapid.IntRange(1, 6).Draw(t, "window"), TopGear: Gear(rapid.IntRange(0, 3).Draw(t, "gear")), TLS: TLSNone}
		run := func(cuts []int) string {
			r := rand.New(rand.NewPCG(seed, 0))
			pick := func(_ string, n int) int { return r.IntN(n) }
			m := newModel(pick, "PIPELINING CHUNKING", quirk(pick("", int(quirks))))
			d := newDriver(cfg)
			for turn := 0; turn < 60 && !m.closed; turn++ {
				flight := bytes.Clone(m.out)
				m.out = m.out[:0]
				feedCut(d.s, flight, cuts)
				m.read(d.turn(20))
			}
			trace, wrong := d.finish()
			if len(wrong) > 0 {
				t.Fatalf("%s\n%s", strings.Join(wrong, "\n"), trace)
			}
			return trace
		}
		if whole, cut := run(nil), run(cuts); whole != cut {
			t.Fatalf("cuts %v change the dialogue:\n%s\nwhole it was:\n%s", cuts, cut, whole)
		}
	})
}

// feedCut feeds in pieces of the given lengths, over and over; none: whole.
// Each piece is wiped afterwards, since bytes die when Feed returns.
func feedCut(s *Session, in []byte, cuts []int) {
	for i := 0; len(in) > 0; i++ {
		n := len(in)
		if len(cuts) > 0 {
			n = min(n, cuts[i%len(cuts)])
		}
		piece := bytes.Clone(in[:n])
		s.Feed(piece)
		for j := range piece {
			piece[j] = '#'
		}
		in = in[n:]
	}
}

// FuzzFeed: no input breaks the promises of check and finish, and none depends
// on where it was cut. A NUL in the input ends a flight; the first octet
// chooses the configuration.
func FuzzFeed(f *testing.F) {
	opening := "220 mx\r\n\x00250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-STARTTLS\r\n250 LIMITS MAILMAX=9\r\n\x00"
	f.Add([]byte("\x00" + opening + "250 ok\r\n250 ok\r\n250 ok\r\n\x00250 ok\r\n550 5.1.1 no\r\n503 no\r\n250 ok\r\n\x00421 bye\r\n"))
	f.Add([]byte("\x01" + opening + "250 ok\r\n\x00250 ok\r\n\x00354 ok\r\n\x00250 ok\r\n"))
	f.Add([]byte("\x02" + opening + "250 ok\r\n550-a\r\n550 b\r\n354 ok\r\n\x00554 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n"))
	f.Add([]byte("\x07" + opening + "220 go\r\n\x00250-mx\n250 SIZE 12\n\x00"))
	f.Add([]byte("\x00HTTP/1.1 400 Bad Request\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 || len(in) > 64<<10 {
			return
		}
		cfg := Config{Hello: "c", Window: 5, TopGear: Gear(in[0] & 3), TLS: TLSMode(in[0] >> 2 % 3)}
		run := func(cuts []int) string {
			d := newDriver(cfg)
			d.turn(0)
			for flight := range bytes.SplitSeq(in[1:], []byte{0}) {
				feedCut(d.s, flight, cuts)
				d.turn(12)
			}
			trace, wrong := d.finish()
			if len(wrong) > 0 {
				t.Fatalf("%s\n%s", strings.Join(wrong, "\n"), trace)
			}
			return trace
		}
		if whole, cut := run(nil), run([]int{1}); whole != cut {
			t.Fatalf("cut into octets:\n%s\nwhole it was:\n%s", cut, whole)
		}
	})
}
