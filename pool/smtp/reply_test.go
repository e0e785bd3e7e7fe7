package smtp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestRepliesAreBounded: up to the bounds a reply is taken, one octet or line
// more ends the session, wherever it is cut.
func TestRepliesAreBounded(t *testing.T) {
	t.Parallel()
	line := func(n int) string { return "220 " + strings.Repeat("x", n-5) + "\r\n" } // n octets before the LF
	lines := func(n int) string { return strings.Repeat("220-x\r\n", n-1) + "220 x\r\n" }
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"line at the bound", line(maxReplyLine), nil},
		{"line beyond it", line(maxReplyLine + 1), ErrReplyTooLong},
		{"line without end", strings.Repeat("2", 3*maxReplyLine), ErrReplyTooLong},
		{"lines at the bound", lines(maxReplyLines), nil},
		{"lines beyond it", lines(maxReplyLines + 1), ErrReplyTooLong},
		{"octets beyond the bound", strings.Repeat("220-"+strings.Repeat("x", 4000)+"\r\n", 9), ErrReplyTooLong},
	} {
		for _, cut := range []int{0, 1, 7, maxReplyLine} {
			t.Run(fmt.Sprintf("%s/%d", c.name, cut), func(t *testing.T) {
				t.Parallel()
				s := New(Config{Hello: "c"})
				var cuts []int
				if cut > 0 {
					cuts = []int{cut}
				}
				feedCut(s, []byte(c.in), cuts)
				var got error
				for _, e := range s.Events(nil) {
					got = e.Outcome.Err
				}
				if !errors.Is(got, c.want) || s.Closed() != (c.want != nil) {
					t.Errorf("got %v, closed %v; want %v", got, s.Closed(), c.want)
				}
			})
		}
	}
}

// TestReplyTextIsBounded: a long reply's text is cut, its code is not.
func TestReplyTextIsBounded(t *testing.T) {
	t.Parallel()
	s := New(Config{Hello: "c"})
	s.Feed([]byte(strings.Repeat("554-5.7.1 "+strings.Repeat("y", 500)+"\r\n", 5) + "554 5.7.1 z\r\n"))
	e := s.Events(nil)[0]
	if r := e.Outcome.Reply; e.Kind != Failed || r.Code != 554 || r.Enhanced != (EnhancedCode{5, 7, 1}) || len(r.Text) != MaxReplyText {
		t.Errorf("%s, text of %d octets", showEvent(&e), len(r.Text))
	}
}

// TestEveryCommandHasATimeout: none is zero, and RFC 5321 4.5.3.2's are kept.
func TestEveryCommandHasATimeout(t *testing.T) {
	t.Parallel()
	d := DefaultTimeouts()
	for c, want := range map[Command]time.Duration{
		Connect: 5 * time.Minute, Ehlo: 5 * time.Minute, Helo: 5 * time.Minute, StartTLS: 5 * time.Minute,
		Mail: 5 * time.Minute, Rcpt: 5 * time.Minute, Data: 2 * time.Minute, End: 10 * time.Minute,
		Rset: 5 * time.Minute, Quit: 5 * time.Second,
	} {
		if got := d.For(c); got != want {
			t.Errorf("%s: %v, want %v", c, got, want)
		}
	}
	if d.Block != 3*time.Minute {
		t.Errorf("block: %v", d.Block)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{End.String(), "end of message"}, {Quit.String(), "QUIT"}, {Command(99).String(), "99"},
		{NotAttempted.String(), "not attempted"}, {Chunking.String(), "chunking"}, {Closed.String(), "closed"},
		{AcceptedAfterRefusal.String(), "accepted after refusal"}, {NoAnomaly.String(), ""},
		{EnhancedCode{5, 7, 515}.String(), "5.7.515"}, {EnhancedCode{}.String(), ""},
		{Reply{Code: 550, Enhanced: EnhancedCode{5, 1, 1}, Text: "no such user"}.String(), "550 5.1.1 no such user"},
		{Reply{Code: 250}.String(), "250"}, {Reply{}.String(), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// TestBoundsAreForOneReply: a long session's replies do not add up.
func TestBoundsAreForOneReply(t *testing.T) {
	t.Parallel()
	s := ready(t, LockStep, "8BITMIME")
	for range 2 * maxReplyLines {
		s.Send(&Message{From: "f@a", To: "t@b"})
		for _, answer := range []string{"250-ok\r\n250 ok\r\n", "250 ok\r\n", "354 go on\r\n", "250-" + strings.Repeat("x", 200) + "\r\n250 taken\r\n"} {
			s.Output(nil)
			s.Feed([]byte(answer))
		}
		if e := s.Events(nil); len(e) != 1 || e[0].Outcome.Fate != Delivered {
			t.Fatalf("%+v", e)
		}
	}
}

// TestSecuredForgets: what was offered in plain is not offered under TLS
// (RFC 3207 4.2).
func TestSecuredForgets(t *testing.T) {
	t.Parallel()
	s := New(Config{Hello: "c"})
	for _, answer := range []string{"220 mx\r\n", "250-mx\r\n250-SIZE 5\r\n250 STARTTLS\r\n", "220 go\r\n"} {
		s.Feed([]byte(answer))
		s.Output(nil)
	}
	if s.Capabilities().Size != 5 {
		t.Fatal("SIZE was not seen")
	}
	s.Secured()
	if *s.Capabilities() != (Capabilities{}) {
		t.Errorf("still offered: %+v", *s.Capabilities())
	}
	before := s.Replies()
	s.Output(nil)
	s.Feed([]byte("502 no\r\n"))
	s.Output(nil)
	s.Feed([]byte("250 mx\r\n"))
	if s.Replies() != before+2 || s.Room() != 1 || *s.Capabilities() != (Capabilities{}) {
		t.Errorf("after HELO: %d replies, room %d, %+v", s.Replies()-before, s.Room(), *s.Capabilities())
	}
}
