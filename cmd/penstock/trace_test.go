package main

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// TestTraceIsReadable: one line each, nothing in it steers the terminal.
func TestTraceIsReadable(t *testing.T) {
	t.Parallel()
	lines := []*pb.TraceLine{
		{Kind: "note", Text: "connected", Address: "192.0.2.1:25", Source: "a"},
		{Kind: "server", Text: "220 hi \x1b[2J\a"},
		{Kind: "client", Text: "MAIL FROM:<a@x.test>", Dropped: 3},
		{Kind: "server", Text: "450 4.2.1 later"},
		{Kind: "content", Text: "Subject: 1\r\n\r\nhi \u009b2J\r\n", Size: 2048},
	}
	var plain, colour strings.Builder
	for _, l := range lines {
		l.Connection, l.Host, l.Time = 7, "mx.test", timestamppb.Now()
		for _, p := range []*tracePrinter{{w: &plain}, {w: &colour, colours: true}} {
			if err := p.print(l); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []string
	for line := range strings.Lines(plain.String()) {
		if _, rest, ok := strings.Cut(line, " 7 mx.test "); ok {
			line = rest
		}
		got = append(got, strings.TrimSuffix(line, "\n"))
	}
	want := []string{
		"* connected (192.0.2.1:25 from a)", "< 220 hi ?[2J?", "(3 lines left out: too fast to be read)", "> MAIL FROM:<a@x.test>",
		"< 450 4.2.1 later", "> (2,048 octets of content)", "| Subject: 1", "| ", "| hi ?2J",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("printed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(colour.String(), "\x1b["+red+"m< 450") {
		t.Errorf("colours: %q", colour.String())
	}
}
