package smtp

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// recorder is a Tap that keeps what it hears.
type recorder struct {
	lines []string // "C: MAIL FROM:<...>", "S: 250 ok", "B: content"
	whose []*Message
	wire  bytes.Buffer // what was said, as it must have been written
	body  []byte       // carried, and not known yet whether by DATA
}

func (r *recorder) Line(l *Line) {
	r.whose = append(r.whose, l.Message)
	text := string(l.Text)
	switch l.Kind {
	case Said:
		if r.body != nil && text == "." {
			r.wire.Write(dotted(r.body))
		} else {
			r.wire.Write(r.body)
		}
		r.body = nil
		r.wire.WriteString(text + "\r\n")
		r.lines = append(r.lines, "C: "+text)
	case Heard:
		r.lines = append(r.lines, "S: "+text)
	case Carried:
		r.wire.Write(r.body)
		r.body = append([]byte{}, bytes.Join(l.Content, nil)...)
		r.lines = append(r.lines, "B: "+string(r.body))
	case LineUnset, Noted:
		panic("no line of a session")
	}
}

// written is what must have been written so far.
func (r *recorder) written() []byte {
	r.wire.Write(r.body)
	r.body = nil
	defer r.wire.Reset()
	return bytes.Clone(r.wire.Bytes())
}

// dotted is a content as DATA carries it (RFC 5321 4.5.2), without its end.
func dotted(content []byte) []byte {
	text := strings.ReplaceAll("\n"+string(content), "\n.", "\n..")[1:]
	if text != "" && !strings.HasSuffix(text, "\r\n") {
		text += "\r\n"
	}
	return []byte(text)
}

// TestTapHearsEachLine: of a pipelined group and of chunks in a window, however
// they were written and arrived.
func TestTapHearsEachLine(t *testing.T) {
	t.Parallel()
	s := New(Config{Hello: "client.example", Window: 4})
	tap := new(recorder)
	s.SetTap(tap)
	feed := func(text string) {
		for i := range len(text) { // octet by octet
			s.Feed([]byte(text[i : i+1]))
		}
		s.Events(nil)
		s.Output(nil)
	}
	one := &Message{From: "a@x", To: "one@y", Content: [][]byte{[]byte("Subject: 1\r\n\r\n"), []byte(".dot\r\n")}}
	two := &Message{From: "a@x", To: "two@y", Content: [][]byte{[]byte("Subject: 2\r\n\r\n")}}
	feed("220 hi\r\n")
	feed("250-y\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
	s.Send(one)
	s.Output(nil)
	feed("250 ok\r\n550-5.1.1 no such\r\n550 5.1.1 user\r\n503 no\r\n")
	s.Send(two)
	s.Output(nil)
	s.Quit()
	s.Output(nil)
	feed("250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n")
	feed("221 bye\r\n")
	want := []string{
		"S: 220 hi", "C: EHLO client.example", "S: 250-y", "S: 250-PIPELINING", "S: 250 CHUNKING",
		"C: MAIL FROM:<a@x>", "C: RCPT TO:<one@y>", "C: BDAT 20 LAST", "B: Subject: 1\r\n\r\n.dot\r\n",
		"S: 250 ok", "S: 550-5.1.1 no such", "S: 550 5.1.1 user", "S: 503 no",
		"C: RSET", "C: MAIL FROM:<a@x>", "C: RCPT TO:<two@y>", "C: BDAT 14 LAST", "B: Subject: 2\r\n\r\n",
		"S: 250 ok", "S: 250 ok", "S: 250 ok", "S: 250 ok", "C: QUIT", "S: 221 bye",
	}
	if !slices.Equal(tap.lines, want) {
		t.Errorf("heard\n%s\nwant\n%s", strings.Join(tap.lines, "\n"), strings.Join(want, "\n"))
	}
	for i, line := range tap.lines {
		whose := tap.whose[i]
		if expect := i >= 5; expect && whose == nil && i < 22 || !expect && whose != nil {
			t.Errorf("%q is of %v", line, whose)
		}
	}
	if tap.whose[10] != one || tap.whose[19] != two {
		t.Error("a reply is told of the wrong message")
	}
}

// TestTapEnds: nothing is heard after, and what was said but never handed out was
// not said.
func TestTapEnds(t *testing.T) {
	t.Parallel()
	s := New(Config{Hello: "client.example"})
	tap := new(recorder)
	s.SetTap(tap)
	s.Feed([]byte("220 hi\r\n"))
	s.Lost(nil)
	s.Output(nil)
	if !slices.Equal(tap.lines, []string{"S: 220 hi"}) {
		t.Errorf("heard %q", tap.lines)
	}
	s = New(Config{Hello: "client.example"})
	s.SetTap(tap)
	s.SetTap(nil)
	s.Feed([]byte("220 hi\r\n"))
	s.Output(nil)
	if len(tap.lines) != 1 {
		t.Errorf("heard %q after it had ended", tap.lines)
	}
}
