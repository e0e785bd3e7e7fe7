package smtp

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// rig drives a session in one gear without a server: what a server would say
// to each group is known in advance.
type rig struct {
	s      *Session
	m      *Message
	gear   Gear
	out    [][]byte
	events []Event
	bytes  int
	fates  [NotAttempted + 1]int
	window []byte // replies to a whole window
}

const rigWindow = 16

func newRig(tb testing.TB, gear Gear, size int) *rig {
	line := strings.Repeat("x", 70) + "\r\n"
	body := strings.Repeat(line, size/len(line)+1)
	m := &Message{From: "bounces+0123456789@bounces.acme.example", To: "somebody@example.com", Content: [][]byte{[]byte(body[:400]), []byte(body[400:])}}
	m.Size = len(body)
	r := &rig{s: New(Config{Hello: "client.example", TopGear: gear, Window: rigWindow}), m: m, gear: gear}
	r.turn("220 mx\r\n")
	r.turn("250-mx\r\n250-SIZE 1000000\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
	if r.s.Gear() != gear {
		tb.Fatalf("session drives in %s, not in %s", r.s.Gear(), gear)
	}
	r.window = bytes.Repeat([]byte("250 2.0.0 reset\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n250 2.0.0 Ok: queued as 4WcXyz\r\n"), rigWindow)
	r.window = r.window[len("250 2.0.0 reset\r\n"):] // nothing to part the first from
	for r.s.Window() < rigWindow && gear == Chunking {
		r.s.Send(r.m)
		r.turn("")
		r.turn("250 ok\r\n250 ok\r\n250 ok\r\n")
	}
	return r
}

// turn feeds and takes everything that comes out.
func (r *rig) turn(in string) { r.turnBytes([]byte(in)) }

func (r *rig) turnBytes(in []byte) {
	r.s.Feed(in)
	r.take()
}

func (r *rig) take() {
	r.events = r.s.Events(r.events[:0])
	for i := range r.events {
		if r.events[i].Kind == Settled {
			r.fates[r.events[i].Outcome.Fate]++
		}
	}
	r.out = r.s.Output(r.out[:0])
	for _, b := range r.out {
		r.bytes += len(b)
	}
	r.s.Written()
}

var (
	replyOK    = []byte("250 2.1.0 ok\r\n")
	replyGo    = []byte("354 go on\r\n")
	replyGroup = []byte("250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go on\r\n")
	replyEnd   = []byte("250 2.0.0 Ok: queued as 4WcXyz\r\n")
	replyNext  = []byte("250 2.0.0 Ok: queued as 4WcXyz\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go on\r\n")
)

// burst sends rigWindow messages in the rig's gear.
func (r *rig) burst() {
	switch r.gear {
	case Chunking:
		for range rigWindow {
			r.s.Send(r.m)
		}
		r.take()
		r.turnBytes(r.window)
	case Pipelining:
		r.s.Send(r.m)
		r.take()
		r.s.Feed(replyGroup)
		for range rigWindow - 1 {
			r.s.Send(r.m)
			r.take()
			r.s.Feed(replyNext)
		}
		r.take()
		r.turnBytes(replyEnd)
	case LockStep, GearAuto:
		for range rigWindow {
			r.s.Send(r.m)
			r.take()
			r.turnBytes(replyOK)
			r.turnBytes(replyOK)
			r.turnBytes(replyGo)
			r.turnBytes(replyEnd)
		}
	}
}

// TestNoAllocationPerMessage: in the steady state nothing is allocated, but one
// string where the text of a reply was not the last one's.
func TestNoAllocationPerMessage(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector a sync.Pool forgets on purpose")
	}
	for _, gear := range []Gear{LockStep, Pipelining, Chunking} {
		for _, size := range []int{2 << 10, 30 << 10} {
			t.Run(fmt.Sprintf("%s/%d", gear, size), func(t *testing.T) {
				r := newRig(t, gear, size)
				r.fates = [NotAttempted + 1]int{}
				const runs = 20
				if n := testing.AllocsPerRun(runs, r.burst); n > 0 {
					t.Errorf("%v allocations in %d messages", n, rigWindow)
				}
				if got := r.fates[Delivered]; got != (runs+1)*rigWindow {
					t.Errorf("%d messages delivered of %d", got, (runs+1)*rigWindow)
				}
			})
		}
	}
	t.Run("texts that differ", func(t *testing.T) {
		r := newRig(t, LockStep, 2<<10)
		texts := make([][]byte, 0, 64)
		for i := range cap(texts) {
			texts = append(texts, []byte("250 2.0.0 queued as "+strconv.Itoa(i)+"\r\n"))
		}
		i := 0
		n := testing.AllocsPerRun(len(texts)-1, func() {
			r.s.Send(r.m)
			r.take()
			r.turnBytes(replyOK)
			r.turnBytes(replyOK)
			r.turnBytes(replyGo)
			r.turnBytes(texts[i])
			i++
		})
		if n != 1 {
			t.Errorf("%v allocations a message, want the text alone", n)
		}
	})
}

func BenchmarkSession(b *testing.B) {
	for _, gear := range []Gear{LockStep, Pipelining, Chunking} {
		for _, size := range []int{2 << 10, 30 << 10} {
			b.Run(fmt.Sprintf("%s/%dKB", gear, size>>10), func(b *testing.B) {
				r := newRig(b, gear, size)
				b.ReportAllocs()
				b.SetBytes(int64(r.m.Size))
				n := 0
				for b.Loop() {
					// One message a round, in bursts.
					if n++; n%rigWindow == 0 {
						r.burst()
					}
				}
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
			})
		}
	}
}

// TestAConnectionAllocatesLittle: what a connection of a few messages costs matters
// where there are many small sites. Its events lie in memory that all share.
func TestAConnectionAllocatesLittle(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector a sync.Pool forgets on purpose")
	}
	var events []Event
	n := testing.AllocsPerRun(100, func() {
		s := New(Config{})
		s.Lost(ErrTimeout)
		if events = s.Events(events[:0]); len(events) != 2 || events[0].Kind != Failed || events[1].Kind != Closed {
			t.Fatalf("got %v", events)
		}
		if events = s.Events(events[:0]); len(events) > 0 {
			t.Fatalf("told twice: %v", events)
		}
	})
	if n > 1 { // the session itself
		t.Errorf("%v allocations", n)
	}
}
