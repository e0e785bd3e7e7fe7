package campaign

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/compose"
)

// TestProblems compares what is said of each campaign in testdata with the
// .problems beside it.
func TestProblems(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/campaigns/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, file := range files {
		_, problems := Read(file)
		golden(t, strings.TrimSuffix(file, ".yaml")+".problems", problems.Error()+"\n")
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	t.Parallel()
	c, problems := Read("testdata/campaigns/good.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	content := c.Content
	if got := content.HTML.Source; !strings.HasPrefix(got, "<p>") {
		t.Errorf("the byte order mark is still there: %q", got)
	}
	for _, text := range []compose.Text{content.From, content.ReplyTo, content.EnvelopeFrom, content.Subject, content.UnsubscribeURL, content.UnsubscribeMailto} {
		if text.Line == 0 || text.Column == 0 || text.File != "testdata/campaigns/good.yaml" {
			t.Errorf("%q has no place: %+v", text.Source, text)
		}
	}
	if content.UnsubscribeURL.Line != 13 || content.Text.File != "testdata/campaigns/body.txt" || content.Text.Line != 1 {
		t.Errorf("wrong places: %+v %+v", content.UnsubscribeURL, content.Text)
	}
	if len(content.Inline) != 1 || content.Inline[0].Name != "logo" || content.Inline[0].ContentType != "image/png" ||
		len(content.Attachments) != 1 || content.Attachments[0].Name != "terms.pdf" || string(content.Attachments[0].Bytes) != "%PDF-1.4\n" {
		t.Errorf("parts: %+v %+v", content.Inline, content.Attachments)
	}
	if len(content.Headers) != 2 || content.Headers[1].Name != "X-Number" || content.Headers[1].Value.Source != "12" || content.OnMissing != compose.MissingEmpty {
		t.Errorf("headers: %+v, on_missing %v", content.Headers, content.OnMissing)
	}
	want := `{"suppress":["testdata/campaigns/never.txt"],"on_uncertain":1,"start_at":"2026-03-01T09:00:00+01:00",` +
		`"windows":[{"zone":"Europe/Berlin","days":94,"from":480,"to":720},{"zone":"Europe/Berlin","days":94,"from":840,"to":1200},{"zone":"UTC","days":127,"from":1320,"to":360}],` +
		`"expire_after":172800000000000,"expire_while_paused":true,"priority":20,"weight":250,"max_rate":{"count":5000,"per":3600000000000},"max_in_doubt":4,` +
		`"retry":{"first":60000000000,"factor":1.5,"max":3600000000000}}`
	encoded := c.Settings.Encode()
	if string(encoded) != want {
		t.Errorf("settings: %s", encoded)
	}
	again, err := DecodeSettings(encoded)
	if err != nil || string(again.Encode()) != want {
		t.Errorf("settings do not come back: %+v %v", again, err)
	}
	f := c.Recipients[0]
	if c.ID != "spring-2026" || c.AddressField != "mail" || !f.Regular || f.Name != "people.csv" || f.Path != "testdata/campaigns/people.csv" || f.Size == 0 {
		t.Errorf("%+v", c)
	}
}

func TestSettingsOfAnOlderFormKeepTheirDefaults(t *testing.T) {
	t.Parallel()
	if s, err := DecodeSettings([]byte(`{}`)); err != nil || s.Priority != DefaultPriority || s.Weight != DefaultWeight {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := DecodeSettings([]byte(`{`)); err == nil {
		t.Error("half a record was taken")
	}
}

// TestReadyMadeMessageOutlivesItsFile: a snapshot gives back what it was given,
// in whatever charset.
func TestReadyMadeMessageOutlivesItsFile(t *testing.T) {
	t.Parallel()
	c, problems := Read("testdata/campaigns/ready.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	source, err := os.ReadFile("testdata/campaigns/ready.eml")
	if err != nil {
		t.Fatal(err)
	}
	s := decoded(t, c)
	if s.Content.Message.Source != string(source) || s.Message != nil {
		t.Errorf("got %q", s.Content.Message.Source)
	}
	if s.Recipients[0] != (FrozenFile{Name: Stdin}) {
		t.Errorf("standard input is frozen as %+v", s.Recipients[0])
	}
	if err := s.Compare(c); err != nil {
		t.Errorf("unchanged, but %v", err)
	}
}

// decoded is a campaign's snapshot after a way through the ledger.
func decoded(t *testing.T, c *Campaign) *Snapshot {
	t.Helper()
	s, err := Freeze(c)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeSnapshot(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if again.Hash() != s.Hash() {
		t.Error("the hash changed on the way through the ledger")
	}
	return again
}

func TestNewerSnapshotIsRefused(t *testing.T) {
	t.Parallel()
	encoded, err := json.Marshal(&Snapshot{Version: snapshotVersion + 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeSnapshot(encoded); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got %v", err)
	}
}

// TestCompareSaysWhatChanged makes one change after another to a copy of the
// good campaign.
func TestCompareSaysWhatChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/campaigns")); err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	edit := func(t *testing.T, name, from, to string) {
		t.Helper()
		content, err := os.ReadFile(file(name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(content), from) {
			t.Fatalf("%s has no %q", name, from)
		}
		if err := os.WriteFile(file(name), []byte(strings.Replace(string(content), from, to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(t *testing.T) *Campaign {
		t.Helper()
		c, problems := Read(file("good.yaml"))
		if problems.Err() != nil {
			t.Fatal(problems)
		}
		return c
	}
	first := decoded(t, read(t))
	for _, c := range []struct {
		name, file, from, to string
		want                 string // empty: no change
	}{
		{"settings", "good.yaml", "priority: 20", "priority: 30", ""},
		{"a comment", "good.yaml", "# Every", "# More\n# Every", ""},
		{"subject", "good.yaml", "subject: \"Hello", "subject: \"Dear", `subject was "Hello {{ first_name | default: 'friend' }}", is "Dear`},
		{"reply_to", "good.yaml", "reply_to:", "#", "reply_to is gone"},
		{"html", "body.html", "<p>", "<div>", "html changed (" + file("body.html") + ")"},
		{"inline", "logo.png", "PNG", "png", "inline: logo changed"},
		{"another attachment", "good.yaml", "[terms.pdf]", "[body.txt]", "attachments: terms.pdf is gone\n  - attachments: body.txt is new"},
		{"header", "good.yaml", "X-Number: 12", "X-Number: 13", "headers changed"},
		{"on_missing", "good.yaml", "on_missing: empty", "on_missing: error", "on_missing changed"},
		{"address_field", "good.yaml", "address_field: mail", "address_field: id", `address_field was "mail", is "id"`},
		{"one file more", "good.yaml", "recipients: people.csv", "recipients: [people.csv, other.csv]", "recipients were 1 file, are 2 files"},
		{"other file", "good.yaml", "recipients: people.csv", "recipients: other.csv", "recipients: other.csv changed (was 37B of"},
		{"row added", "people.csv", "a@x.example", "ab@x.example", "recipients: people.csv changed"},
		{"row of the same size", "people.csv", "a@x.example", "b@x.example", "recipients: people.csv changed"},
	} {
		if err := os.WriteFile(file("other.csv"), []byte("mail\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(file(c.file))
		edit(t, c.file, c.from, c.to)
		// Not to depend on how fine the file system's clock is.
		if err := os.Chtimes(file(c.file), time.Time{}, time.Unix(1_700_000_000, 0)); err != nil {
			t.Fatal(err)
		}
		err := first.Compare(read(t))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: got %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), "  - "+c.want)):
			t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
		case (c.want == "") != (decoded(t, read(t)).Hash() == first.Hash()):
			t.Errorf("%s: the hash says otherwise", c.name)
		}
		if err := os.WriteFile(file(c.file), before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Rewritten with the same content, and moved: hashed, and found the same.
	if err := os.Chtimes(file("people.csv"), time.Time{}, time.Unix(1_700_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	if err := first.Compare(read(t)); err != nil {
		t.Errorf("touched: %v", err)
	}
	if err := os.Rename(file("people.csv"), file("moved.csv")); err != nil {
		t.Fatal(err)
	}
	edit(t, "good.yaml", "people.csv", "moved.csv")
	if err := first.Compare(read(t)); err != nil {
		t.Errorf("moved: %v", err)
	}
}

func TestChangedReads(t *testing.T) {
	t.Parallel()
	err := &Changed{ID: "spring-2026", Path: "campaign.yaml", What: []string{`subject was "a", is "b"`, "html changed (body.html)"}}
	golden(t, "testdata/changed.txt", err.Error()+"\n")
}

func TestMissingCampaignFile(t *testing.T) {
	t.Parallel()
	_, problems := Read("testdata/none.yaml")
	if got, want := problems.Error(), "testdata/none.yaml: no such file or directory"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzRead: whatever a campaign file says, it is answered in words.
func FuzzRead(f *testing.F) {
	good, err := os.ReadFile("testdata/campaigns/good.yaml")
	if err != nil {
		f.Fatal(err)
	}
	mistakes, err := os.ReadFile("testdata/campaigns/mistakes.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(mistakes)
	f.Fuzz(func(t *testing.T, source []byte) {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, source, 0o600); err != nil {
			t.Fatal(err)
		}
		c, problems := Read(path)
		if problems.Err() == nil && (!validID(c.ID) || len(c.Recipients) == 0 || !c.Content.From.Given()) {
			t.Fatalf("accepted %+v from %q", c, source)
		}
		for _, p := range problems {
			if p.Message == "" {
				t.Fatalf("a problem without words: %+v", p)
			}
		}
	})
}
