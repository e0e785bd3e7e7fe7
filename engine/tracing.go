package engine

import (
	"bytes"
	"strings"

	"github.com/penstock-mail/penstock/engine/trace"
	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/pool/smtp"
)

// Trace lets somebody see dialogues as they happen; the tracer must be closed.
// trace.ErrInvalid, trace.ErrTooMany, trace.ErrClosed.
func (e *Engine) Trace(f trace.Filter) (*trace.Tracer, error) { return e.traces.Open(f) }

// equipTraces has the pool listened to as long as there are tracers.
func (e *Engine) equipTraces() {
	e.traces.Switch = func(on bool) {
		if on {
			e.pool.SetTap(e)
		} else {
			e.pool.SetTap(nil)
		}
	}
}

// Hear implements pool.Tap: it makes the line fit to be kept, once, for those who
// want it.
func (e *Engine) Hear(d *pool.Dialogue, l *smtp.Line) {
	about := trace.About{Site: d.Site, Host: d.Host, Source: d.Source}
	if l.Message != nil {
		about.Recipient = l.Message.To
		if env, ours := l.Message.Tag.(*envelope); ours {
			about.Campaign = env.flow.run.campaign.Name()
		}
	}
	var line trace.Line
	e.traces.Wanted(&about, func(t *trace.Tracer) {
		if line.Connection == 0 {
			line = trace.Line{
				At: e.now(), Connection: d.Connection, Site: d.Site, Host: d.Host, Source: d.Source, Addr: d.Addr, TLS: d.TLS,
				Kind: traceKinds[l.Kind], Text: strings.ToValidUTF8(string(l.Text), "?"), Size: l.Size, Campaign: about.Campaign, Recipient: about.Recipient,
			}
			if l.Command != smtp.CommandUnset {
				line.Command = l.Command.String()
			}
		}
		if l.Kind == smtp.Carried {
			line.Text = firstOctets(l.Content, t.Content())
		}
		t.Give(line)
	})
}

var traceKinds = [...]trace.Kind{
	smtp.LineUnset: "", smtp.Said: trace.Client, smtp.Heard: trace.Server, smtp.Carried: trace.Content, smtp.Noted: trace.Note,
}

// firstOctets is the beginning of a content, as valid UTF-8.
func firstOctets(content [][]byte, most int) string {
	if most <= 0 {
		return ""
	}
	var b bytes.Buffer
	for _, part := range content {
		b.Write(part[:min(len(part), most-b.Len())])
	}
	return strings.ToValidUTF8(b.String(), "?")
}
