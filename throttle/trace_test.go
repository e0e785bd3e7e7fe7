package throttle

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// start is when every test's clock begins.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestTraces replays stories of (time, event, answer). Each line of an "at"
// block is one event; what is printed is its answer.
//
//	at 10s
//	connect          places asked one by one until refused, or "connect 3"
//	disconnect 2
//	grant 10
//	refund 3
//	delivered 100
//	deferred connections [retry=60s] [hold=30m]
//	failed           a connection came to nothing: disconnect and ConnectFailed
//	rest 5m reason
//	limits connections=5 message_rate=10/s connection_rate=2/s
//	steady 2m 50     delivered 50 every second until then, all places in use
//	show
//	forget
//	restart          saved, and restored into a new throttle
func TestTraces(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := newStory()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "at" {
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			at, err := time.ParseDuration(d.CmdArgs[0].Key)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			if now := start.Add(at); now.Before(s.now) {
				d.Fatalf(t, "time runs backwards")
			} else {
				s.now = now
			}
			var out strings.Builder
			for line := range strings.Lines(d.Input) {
				line = strings.TrimSpace(line)
				fmt.Fprintf(&out, "%s: %s\n", line, s.event(t, strings.Fields(line)))
			}
			return out.String()
		})
	})
}

// story is a throttle with one limiter and a clock.
type story struct {
	now      time.Time
	throttle *Throttle
	limiter  *Limiter
	rooms    int
}

func newStory() *story {
	s := &story{now: start}
	s.begin()
	return s
}

func (s *story) begin() {
	s.throttle = New(Rules{})
	s.throttle.OnRoom(func(string) { s.rooms++ })
	s.limiter = s.throttle.Limiter("example", "a")
}

func (s *story) event(t *testing.T, f []string) string {
	l := s.limiter
	number := func(i, def int) int {
		if len(f) <= i {
			return def
		}
		n, err := strconv.Atoi(f[i])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	duration := func(text string) time.Duration {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	switch f[0] {
	case "connect":
		n, most := 0, number(1, 1000)
		for n < most {
			ok, wait := l.Connect(s.now)
			if !ok {
				return fmt.Sprintf("%d, wait %v", n, wait.Round(time.Millisecond))
			}
			n++
		}
		return fmt.Sprint(n)
	case "disconnect":
		for range number(1, 1) {
			l.Disconnect(s.now)
		}
		return "ok"
	case "failed":
		for range number(1, 1) {
			l.Disconnect(s.now)
			l.ConnectFailed(s.now)
		}
		return s.show()
	case "grant":
		n, wait := l.Grant(s.now, number(1, 1))
		return fmt.Sprintf("%d, wait %v", n, wait.Round(time.Millisecond))
	case "refund":
		l.Refund(s.now, number(1, 1))
		return "ok"
	case "delivered":
		l.Delivered(s.now, number(1, 1))
		return s.show()
	case "deferred":
		sig := Signal{}
		for i, name := range kindNames {
			if f[1] == name {
				sig.Kind = Kind(i)
			}
		}
		for _, option := range f[2:] {
			name, value, _ := strings.Cut(option, "=")
			switch name {
			case "retry":
				sig.RetryAfter = duration(value)
			case "hold":
				sig.Hold = duration(value)
			}
		}
		changed := l.Deferred(s.now, sig)
		if !changed {
			return "no change"
		}
		return s.show()
	case "rest":
		l.Rest(s.now, s.now.Add(duration(f[1])), strings.Join(f[2:], " "))
		return s.show()
	case "steady":
		for until := s.now.Add(duration(f[1])); s.now.Before(until); s.now = s.now.Add(time.Second) {
			for ok := true; ok; {
				ok, _ = l.Connect(s.now)
			}
			l.Delivered(s.now, number(2, 1))
		}
		return s.show()
	case "limits":
		var limits Limits
		for _, option := range f[1:] {
			name, value, _ := strings.Cut(option, "=")
			count, _ := strconv.ParseFloat(strings.TrimSuffix(value, "/s"), 64)
			switch name {
			case "connections":
				limits.Connections = int(count)
			case "message_rate":
				limits.MessageRate = Rate{Count: count}
			case "connection_rate":
				limits.ConnectionRate = Rate{Count: count}
			default:
				t.Fatalf("no limit %q", name)
			}
		}
		if err := s.throttle.SetLimits(s.now, "example", "", limits); err != nil {
			return err.Error()
		}
		return s.show()
	case "show":
		return s.show()
	case "forget":
		l.Forget(s.now)
		return s.show()
	case "restart":
		state := l.AppendState(nil)
		s.begin()
		if err := s.limiter.Restore(s.now, state); err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d octets; %s", len(state), s.show())
	}
	t.Fatalf("no event %q", f[0])
	return ""
}

// show is a snapshot in one line.
func (s *story) show() string {
	n := s.limiter.Snapshot(s.now)
	out := fmt.Sprintf("open %d of %d", n.Open, n.Connections)
	if n.MessageRate > 0 {
		out += fmt.Sprintf(", %s/s", strconv.FormatFloat(math.Round(n.MessageRate*1000)/1000, 'f', -1, 64))
	}
	if !n.RestsUntil.IsZero() {
		out += fmt.Sprintf(", rests %v", n.RestsUntil.Sub(s.now).Round(time.Millisecond))
	}
	if n.Probing {
		out += ", probing"
	}
	if n.Reason != "" {
		out += " (" + n.Reason + ")"
	}
	return out
}
