package campaign

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/penstock-mail/penstock/engine/problem"
)

// memory is files that lie nowhere on disk.
type memory struct{ fstest.MapFS }

func (m memory) Stat(name string) (fs.FileInfo, error) {
	return fs.Stat(m.MapFS, strings.TrimPrefix(name, "/"))
}
func (m memory) Open(name string) (fs.File, error) {
	return m.MapFS.Open(strings.TrimPrefix(name, "/"))
}

const inMemory = `id: c
from: a@sender.example
subject: Hello
text: /body.txt
attachments: [terms.pdf]
recipients: [people.csv, "-"]
suppress: never.txt
dkim: [{domain: sender.example, selector: s, key: key.pem}]
`

// TestParseReadsFromFiles and from nowhere else: templates and parts at once,
// recipients and lists when they are asked for.
func TestParseReadsFromFiles(t *testing.T) {
	t.Parallel()
	files := memory{fstest.MapFS{
		"body.txt":   {Data: []byte("Hello")},
		"terms.pdf":  {Data: []byte("%PDF")},
		"people.csv": {Data: []byte("email\nann@x.example\n")},
		"-":          {Data: []byte(`{"email": "bob@x.example"}` + "\n")},
		"never.txt":  {Data: []byte("ann@x.example\n")},
	}}
	c, problems := Parse("given", []byte(inMemory), files)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if c.Content.Text.Source != "Hello" || c.Content.Attachments[0].Name != "terms.pdf" || c.Settings.DKIM[0].Key != "key.pem" {
		t.Errorf("got %+v", c)
	}
	got, err := told(t, c, strings.NewReader("email\nnobody@x.example\n"))
	if text := strings.Join(got, "\n"); err != nil || !strings.Contains(text, "ann@x.example") || !strings.Contains(text, "bob@x.example") {
		t.Errorf("rows:\n%s\nerror %v", text, err)
	}
	never, problems := ReadSuppressionFiles(c.Suppress...)
	if len(problems) > 0 || never.Len() != 1 || len(c.Settings.Suppress) != 0 {
		t.Errorf("suppression of %v: %d entries, %v", c.Suppress, never.Len(), problems)
	}
	frozen, err := Freeze(c)
	if err != nil || len(frozen.Recipients[1].SHA256) != 64 {
		t.Errorf("frozen: %+v, %v", frozen, err)
	}
	if err := frozen.Compare(c); err != nil {
		t.Errorf("compared with itself: %v", err)
	}
	c.Recipients[0].SHA256 = strings.Repeat("0", 64)
	c.Recipients[0].ModTime = c.Recipients[0].ModTime.Add(1)
	if err := frozen.Compare(c); err == nil || !strings.Contains(err.Error(), "people.csv changed") {
		t.Errorf("compared with another list: %v", err)
	}
}

// TestParseTellsWhatIsMissing, all of it, with its line.
func TestParseTellsWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, problems := Parse("given", []byte(inMemory), memory{fstest.MapFS{"people.csv": {Mode: fs.ModeDir}}})
	var list problem.List = problems
	for _, want := range []string{"given:4:7: text: /body.txt: file does not exist", "given:5:15", "given:6:14: recipients: people.csv: is a directory", "given:6:26", "given:7:11"} {
		if !strings.Contains(list.Error(), want) {
			t.Errorf("%q is not told in:\n%s", want, list.Error())
		}
	}
}
