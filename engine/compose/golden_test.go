package compose

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestGoldens runs the stories in testdata. Their commands:
//
//	set from|subject|text|html|...   sets one setting of the content to the input
//	clear                            forgets what was set
//	columns a b c                    the recipients' columns; without any: not known
//	compile                          prints what is wrong
//	compose [8bit] [seq=N]           composes for the input, a JSON object, and prints the message
//
// go test -run Goldens -rewrite writes what happens into the files: commit only
// what you understand.
func TestGoldens(t *testing.T) {
	datadriven.Walk(t, "testdata/goldens", func(t *testing.T, path string) {
		content, opt := &Content{}, options
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "set":
				set(t, content, d)
			case "clear":
				content, opt = &Content{}, options
			case "columns":
				opt.Columns = nil
				for _, a := range d.CmdArgs {
					opt.Columns = append(opt.Columns, a.Key)
				}
			case "compile":
				_, problems := Compile(content, opt)
				if len(problems) == 0 {
					return "no problems\n"
				}
				return problems.Error() + "\n"
			case "compose":
				return composeGolden(t, content, opt, d)
			default:
				d.Fatalf(t, "no command %s", d.Cmd)
			}
			return ""
		})
	})
}

func set(t *testing.T, content *Content, d *datadriven.TestData) {
	key := d.CmdArgs[0].Key
	value := Text{File: key, Line: 1, Column: 1, Source: strings.TrimSuffix(d.Input, "\n")}
	settings := map[string]*Text{
		"from": &content.From, "reply_to": &content.ReplyTo, "envelope_from": &content.EnvelopeFrom, "subject": &content.Subject,
		"html": &content.HTML, "text": &content.Text, "message": &content.Message,
		"url": &content.UnsubscribeURL, "mailto": &content.UnsubscribeMailto,
	}
	switch {
	case settings[key] != nil:
		*settings[key] = value
	case key == "on_missing":
		content.OnMissing = MissingEmpty
	case key == "header":
		name, v, _ := strings.Cut(value.Source, ": ")
		content.Headers = append(content.Headers, Header{name, Text{File: "header", Line: 1, Column: 1, Source: v}})
	case key == "inline" || key == "attachment":
		p := Part{Name: d.CmdArgs[1].Key, File: d.CmdArgs[1].Key, Bytes: []byte(value.Source)}
		if len(d.CmdArgs) > 2 {
			p.ContentType = d.CmdArgs[2].Key
		}
		if key == "inline" {
			content.Inline = append(content.Inline, p)
		} else {
			content.Attachments = append(content.Attachments, p)
		}
	default:
		d.Fatalf(t, "no setting %s", key)
	}
}

func composeGolden(t *testing.T, content *Content, opt Options, d *datadriven.TestData) string {
	var fields []byte
	opt.Columns, fields = jsonRow(t, d.Input)
	tpl, problems := Compile(content, opt)
	if err := problems.Err(); err != nil {
		return err.Error() + "\n"
	}
	r := recipient()
	r.Fields = fields
	caps := Caps{SMTPUTF8: true, EightBitMIME: d.HasArg("8bit")}
	var m Message
	if err := tpl.NewComposer().Compose(&m, r, caps); err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	raw := joined(&m)
	leaves(t, raw) // strict, and readable
	note := ""
	if m.Replaced > 0 {
		note = fmt.Sprintf("(%d line breaks replaced)\n", m.Replaced)
	}
	// Only CRLF is in it, as was just checked.
	return fmt.Sprintf("envelope: <%s> to <%s>\n%s", m.From, m.To, note) + strings.ReplaceAll(string(raw), "\r\n", "\n")
}
