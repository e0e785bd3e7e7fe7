package smtp

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestStuffedComesBackWhole: what a receiver makes of DATA is the content, with
// its last line ended, whatever its parts; and no line in it ends it early.
func TestStuffedComesBackWhole(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long line ", 80)
	piece := rapid.SampledFrom([]string{".", "..", "\r\n", "\r\n.", "\r\n.\r\n", "\r", "\n", "a", "", long, strings.Repeat("1234567\r\n", 700)})
	rapid.Check(t, func(t *rapid.T) {
		var parts [][]byte
		size := 0
		for _, p := range rapid.SliceOfN(piece, 0, 12).Draw(t, "parts") {
			parts = append(parts, []byte(p))
			size += len(p)
		}
		var o output
		o.fresh()
		o.stuffed(parts, size)
		wire := slices.Concat(o.appendTo(nil)...)
		got, rest := unstuff(t, wire)
		if len(rest) > 0 {
			t.Fatalf("%q ends early, before %q", wire, rest)
		}
		// A message holds no bare LF; a dot behind one is doubled all the same,
		// and a receiver that wants CRLF sees both.
		want := slices.Concat(parts...)
		want = bytes.ReplaceAll(want, []byte("\n."), []byte("\n.."))
		want = bytes.ReplaceAll(want, []byte("\r\n.."), []byte("\r\n."))
		if len(want) > 0 && !bytes.HasSuffix(want, []byte("\r\n")) {
			want = append(want, "\r\n"...)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%q came out of %q, not %q", got, wire, want)
		}
	})
}

// unstuff reads DATA content line by line, as RFC 5321 4.5.2 has the receiver do.
func unstuff(t *rapid.T, wire []byte) (content, rest []byte) {
	for {
		i := bytes.Index(wire, []byte("\r\n"))
		if i < 0 {
			t.Fatalf("no end in %q", wire)
		}
		line := wire[:i+2]
		wire = wire[i+2:]
		if string(line) == ".\r\n" {
			return content, wire
		}
		content = append(content, bytes.TrimPrefix(line, []byte("."))...)
	}
}

// TestOutputIsHandedOutOnce: nothing twice, nothing of a closed session, and
// large parts by reference.
func TestOutputIsHandedOutOnce(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("0123456789abcdef0123456789abcd\r\n"), 400)
	for _, written := range []bool{false, true} {
		s := ready(t, Chunking, "PIPELINING", "CHUNKING")
		s.Send(&Message{From: "f@a", To: "t@b", Content: [][]byte{[]byte("small\r\n"), large}})
		if !s.Pending() {
			t.Error("nothing is pending behind Send")
		}
		out := s.Output(nil)
		if len(out) != 2 || &out[1][0] != &large[0] {
			t.Errorf("%d pieces, want commands and the large part itself", len(out))
		}
		if want := "MAIL FROM:<f@a>\r\nRCPT TO:<t@b>\r\nBDAT 12807 LAST\r\nsmall\r\n"; string(out[0]) != want {
			t.Errorf("got %q, want %q", out[0], want)
		}
		if s.Pending() || len(s.Output(nil)) != 0 {
			t.Error("handed out twice")
		}
		if written {
			s.Written()
			if s.Pending() || len(s.Output(nil)) != 0 {
				t.Error("handed out again behind Written")
			}
		}
		s.Feed([]byte("250 ok\r\n250 ok\r\n250 ok\r\n"))
		s.Send(&Message{From: "f@a", To: "t@b"})
		s.Feed([]byte("421 bye\r\n"))
		if s.Pending() || len(s.Output(nil)) != 0 {
			t.Error("a closed session has output")
		}
	}
}

// ready is a session that has heard greeting and EHLO reply.
func ready(t testing.TB, gear Gear, offers ...string) *Session {
	t.Helper()
	s := New(Config{Hello: "c", Window: 100, TLS: TLSNone})
	s.Feed([]byte("220 mx\r\n"))
	s.Output(nil)
	s.Feed([]byte("250-mx\r\n250-" + strings.Join(offers, "\r\n250-") + "\r\n250 HELP\r\n"))
	s.Output(nil)
	if s.Gear() != gear {
		t.Fatalf("gear %s, want %s", s.Gear(), gear)
	}
	s.Events(nil)
	return s
}

// TestWindowIsBoundInOctets: whatever its window, a session takes no further
// message while a megabyte is in flight.
func TestWindowIsBoundInOctets(t *testing.T) {
	t.Parallel()
	s := ready(t, Chunking, "PIPELINING", "CHUNKING")
	answer := func() {
		s.Output(nil)
		s.Feed([]byte("250 ok\r\n250 ok\r\n250 ok\r\n"))
	}
	for range 20 {
		s.Send(&Message{From: "f@a", To: "t@b"})
		answer()
	}
	large := bytes.Repeat([]byte("0123456789abcdef0123456789abcd\r\n"), 16<<10) // 512 KiB
	for i, want := range []int{22, 0} {                                         // the window is 4, and 19 more; one is in flight
		s.Send(&Message{From: "f@a", To: "t@b", Content: [][]byte{large}})
		if got := s.Room(); got != want {
			t.Errorf("room %d with %d MiB/2 in flight, want %d", got, i+1, want)
		}
	}
	answer()
	if got := s.Room(); got == 0 {
		t.Error("no room although half was answered")
	}
}
