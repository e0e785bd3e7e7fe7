package engine

import (
	"strings"
	"testing"

	"github.com/penstock-mail/penstock/engine/trace"
)

// TestTracerThatStopsReadingHoldsNobodyUp: under full traffic, everything is
// delivered, and what the tracer took is what there was room for.
func TestTracerThatStopsReadingHoldsNobodyUp(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "a.test")
	e := w.open()
	tracer, err := e.Trace(trace.Filter{Content: trace.MaxContent})
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close()
	all := people(3000, "a.test")
	r := w.start(w.campaign("c", "", all...))
	w.finish(r)
	w.once(all...)
	lines, err := tracer.Take(t.Context())
	if err != nil || len(lines) == 0 || len(lines) > 4096 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	if l := lines[0]; l.Kind != trace.Note || l.Site == "" || l.Source != "default" {
		t.Errorf("the first line: %+v", l)
	}
	contents := 0
	for _, l := range lines {
		if l.Kind == trace.Content && l.Campaign == "c" && strings.Contains(l.Text, "Subject:") && l.Size == len(l.Text) {
			contents++
		}
	}
	if contents == 0 {
		t.Error("no content was shown, though it was asked for")
	}
	tracer.Close()
	if contents == 3000 {
		t.Error("nothing was dropped")
	}
}

// TestTraceOfOneSite leaves others out, and shows its opening, too.
func TestTraceOfOneSite(t *testing.T) {
	w := newWorld(t, "")
	a := w.serve("", "a.test")
	w.serve("", "b.test")
	e := w.open()
	tracer, err := e.Trace(trace.Filter{Sites: []string{a.Addrs()[0]}})
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close()
	r := w.start(w.campaign("c", "", people(3, "a.test", "b.test")...))
	w.finish(r)
	var ehlo, rcpt int
	for rcpt < 3 {
		lines, err := tracer.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			if l.Site != a.Addrs()[0] || strings.HasSuffix(l.Recipient, "@b.test") {
				t.Errorf("line: %+v", l)
			}
			switch {
			case l.Kind == trace.Client && l.Command == "EHLO" && l.Text == "EHLO sender.test":
				ehlo++
			case l.Kind == trace.Client && l.Command == "RCPT":
				rcpt++
			case l.Kind == trace.Content && l.Text != "":
				t.Errorf("a content is shown: %q", l.Text)
			}
		}
	}
	if ehlo == 0 {
		t.Error("no EHLO was shown")
	}
}
