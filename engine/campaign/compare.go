package campaign

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/penstock-mail/penstock/engine/compose"
	"github.com/penstock-mail/penstock/engine/document"
)

// Changed is the error that a campaign is no longer what was loaded under its
// id. It says what differs and how to go on.
type Changed struct {
	ID string
	// Path of the campaign file.
	Path string
	// What changed, a phrase each.
	What []string
}

func (e *Changed) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: campaign %q was loaded with other content, and what it says and to whom is frozen since then:\n", e.Path, e.ID)
	for _, what := range e.What {
		b.WriteString("  - " + what + "\n")
	}
	b.WriteString("To send what it is now, give it a new id. To go on with what was loaded, undo the changes;\n" +
		"max_rate, priority, retry, expire_after and the other settings may change at any time.")
	return b.String()
}

// Compare holds a campaign against its snapshot: nil when nothing that is frozen
// changed, *Changed when something did, another error when a file could not be
// read. Recipient files of equal size and time count as unchanged, others are
// hashed; standard input is not read again.
func (s *Snapshot) Compare(c *Campaign) error {
	was, is := s.Content, c.Content
	var what []string
	for _, t := range []struct {
		key     string
		was, is compose.Text
	}{
		{"from", was.From, is.From}, {"reply_to", was.ReplyTo, is.ReplyTo},
		{"envelope_from", was.EnvelopeFrom, is.EnvelopeFrom}, {"subject", was.Subject, is.Subject},
		{"html", was.HTML, is.HTML}, {"text", was.Text, is.Text}, {"message", was.Message, is.Message},
		{"list_unsubscribe.url", was.UnsubscribeURL, is.UnsubscribeURL},
		{"list_unsubscribe.mailto", was.UnsubscribeMailto, is.UnsubscribeMailto},
	} {
		if t.was.Source != t.is.Source {
			what = append(what, textChange(t.key, t.was, t.is))
		}
	}
	what = append(what, partChanges("inline", was.Inline, is.Inline)...)
	what = append(what, partChanges("attachments", was.Attachments, is.Attachments)...)
	if !slices.EqualFunc(was.Headers, is.Headers, func(a, b compose.Header) bool {
		return a.Name == b.Name && a.Value.Source == b.Value.Source
	}) {
		what = append(what, "headers changed")
	}
	if was.OnMissing != is.OnMissing {
		what = append(what, "on_missing changed")
	}
	if s.AddressField != c.AddressField {
		what = append(what, fmt.Sprintf("address_field was %q, is %q", s.AddressField, c.AddressField))
	}
	if s.Origin != nil {
		what = append(what, "it is a copy of campaign "+s.Origin.Campaign+" and not from files")
		return &Changed{ID: s.ID, Path: c.Path, What: what}
	}
	recipients, err := s.recipientChanges(c.Recipients)
	if err != nil {
		return err
	}
	if what = append(what, recipients...); len(what) == 0 {
		return nil
	}
	return &Changed{ID: s.ID, Path: c.Path, What: what}
}

// textChange shows short texts and only names long ones.
func textChange(key string, was, is compose.Text) string {
	const most = 80
	switch {
	case !is.Given():
		return key + " is gone"
	case !was.Given():
		return key + " is new"
	case len(was.Source) > most || len(is.Source) > most || strings.Contains(was.Source+is.Source, "\n"):
		if is.File != "" && is.Line == 1 {
			return key + " changed (" + is.File + ")"
		}
		return key + " changed"
	}
	return fmt.Sprintf("%s was %q, is %q", key, was.Source, is.Source)
}

func partChanges(key string, was, is []compose.Part) (what []string) {
	find := func(parts []compose.Part, name string) *compose.Part {
		i := slices.IndexFunc(parts, func(p compose.Part) bool { return p.Name == name })
		if i < 0 {
			return nil
		}
		return &parts[i]
	}
	for i := range was {
		switch now := find(is, was[i].Name); {
		case now == nil:
			what = append(what, fmt.Sprintf("%s: %s is gone", key, was[i].Name))
		case !bytes.Equal(now.Bytes, was[i].Bytes):
			what = append(what, fmt.Sprintf("%s: %s changed", key, was[i].Name))
		}
	}
	for i := range is {
		if find(was, is[i].Name) == nil {
			what = append(what, fmt.Sprintf("%s: %s is new", key, is[i].Name))
		}
	}
	order := func(a, b compose.Part) bool { return a.Name == b.Name && bytes.Equal(a.Bytes, b.Bytes) }
	if len(what) == 0 && !slices.EqualFunc(was, is, order) {
		what = append(what, key+": the order changed")
	}
	return what
}

func (s *Snapshot) recipientChanges(files []File) (what []string, err error) {
	if len(files) != len(s.Recipients) {
		return []string{fmt.Sprintf("recipients were %s, are %s", fileCount(len(s.Recipients)), fileCount(len(files)))}, nil
	}
	for i, was := range s.Recipients {
		change, err := was.change(files[i])
		if err != nil {
			return nil, err
		}
		if change != "" {
			what = append(what, change)
		}
	}
	return what, nil
}

func fileCount(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// change says how the file differs from what was loaded; empty: it does not.
func (was FrozenFile) change(is File) (string, error) {
	switch {
	case was.Regular != is.Regular:
		return fmt.Sprintf("recipients: %s was loaded, now there is %s", was.Name, is.Name), nil
	case !was.Regular:
		// It was read and is gone; there is nothing to compare.
		return "", nil
	case was.Size == is.Size && was.ModTime.Equal(is.ModTime) && was.Name == is.Name:
		return "", nil
	}
	if was.Size == is.Size {
		sum, err := is.sum()
		if err != nil {
			return "", err
		}
		if sum == was.SHA256 {
			return "", nil
		}
	}
	return fmt.Sprintf("recipients: %s changed (was %s of %s, is %s of %s)", is.Name,
		document.FormatSize(was.Size), was.ModTime.Format(time.DateTime), document.FormatSize(is.Size), is.ModTime.Format(time.DateTime)), nil
}
