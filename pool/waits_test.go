package pool

import (
	"testing"
	"time"
)

// TestWaits: what is said of a lane is what its server or gate does.
func TestWaits(t *testing.T) {
	t.Parallel()
	hangs := func(at string) func(*peer, string, string) string {
		return func(_ *peer, verb, _ string) string {
			if verb == at {
				return "hang"
			}
			return ""
		}
	}
	chunking := []string{"PIPELINING", "CHUNKING", "8BITMIME"}
	for _, c := range []struct {
		name   string
		script script
		gate   func(*fakeGate)
		n      int
		want   func(Waits) bool
	}{
		{"the final answer", script{reply: hangs("END")}, nil, 50, func(w Waits) bool { return w.Answers == 2 && w.InFlight == 2 }},
		{"the final answer, chunking", script{caps: chunking, reply: hangs("END")}, nil, 50, func(w Waits) bool { return w.Answers == 2 && w.InFlight >= 2 }},
		{"a reply before it", script{reply: hangs("MAIL")}, nil, 50, func(w Waits) bool { return w.RoundTrips == 2 && w.Answers == 0 && w.InFlight == 2 }},
		{"the rate", script{}, func(g *fakeGate) { g.grants, g.wait = 0, time.Hour }, 50, func(w Waits) bool { return w.Gated == 1 && w.InFlight == 0 }},
		{"a place", script{reply: hangs("END")}, func(g *fakeGate) { g.max = 1 }, 50, func(w Waits) bool { return w.Queued && w.Open == 1 }},
		{"a place that others have", script{}, func(g *fakeGate) { g.max = -1 }, 50, func(w Waits) bool { return w.Queued && w.Open+w.Connecting == 0 }},
		{"the greeting", script{reply: hangs("CONNECT")}, nil, 50, func(w Waits) bool { return w.Connecting == 1 && w.Open == 0 }},
		{"something to send", script{}, nil, 1, func(w Waits) bool { return w.Hungry == 1 && w.InFlight == 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			if c.gate != nil {
				r.gate.change(func() { c.gate(r.gate) })
			}
			q := newQueue(r.board, c.n)
			l := r.lane(q, newServer(r.board, "mx", c.script))
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
				w := l.Waits()
				if c.want(w) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("never so: %+v", w)
				}
			}
		})
	}
}
