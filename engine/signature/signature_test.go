package signature

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-mail/penstock/engine/compose/dkim"
	"github.com/penstock-mail/penstock/engine/document"
)

func read(t *testing.T, source, dir string) ([]Setting, *document.Document) {
	t.Helper()
	doc := document.Parse("penstock.yaml", []byte(source))
	m, ok := doc.Root().Mapping()
	if !ok {
		t.Fatalf("no mapping: %v", doc.Problems)
	}
	all := Read(m.Take("dkim"), func(name string) string { return filepath.Join(dir, name) })
	m.Close()
	return all, doc
}

func TestSettingsBecomeASet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made, err := dkim.Generate("acme.example", "s1", dkim.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "acme.pem"), made.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	all, doc := read(t, "dkim:\n  - {domain: Acme.Example, selector: s1, key: acme.pem}\n", dir)
	if err := doc.Problems.Err(); err != nil {
		t.Fatal(err)
	}
	set, problems := Set(all)
	if problems.Err() != nil || set.Len() != 1 || all[0].Domain != "acme.example" {
		t.Fatalf("got %v, %v from %v", set, problems, all)
	}
}

// TestKeyBelowAFolder is read there and nowhere else.
func TestKeyBelowAFolder(t *testing.T) {
	t.Parallel()
	outer := t.TempDir()
	dir := filepath.Join(outer, "keys")
	made, err := dkim.Generate("acme.example", "s1", dkim.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "in.pem"), filepath.Join(outer, "out.pem")} {
		if err := os.WriteFile(path, made.PEM, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../out.pem", filepath.Join(dir, "link.pem")); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"in.pem": "", "link.pem": "not below the folder", "../out.pem": "not below the folder",
		filepath.Join(outer, "out.pem"): "not below the folder", ".": "not a regular file",
	} {
		_, problems := Set([]Setting{{Domain: "acme.example", Selector: "s1", Key: key, Folder: dir}})
		if want == "" && problems.Err() != nil || !strings.Contains(problems.Error(), want) {
			t.Errorf("key %q: %v, want %q", key, problems, want)
		}
	}
}

func TestEveryMistakeIsToldWithItsLine(t *testing.T) {
	t.Parallel()
	all, doc := read(t, "dkim:\n  - {domain: acme.example, selector: s1}\n  - {domain: 'a b', selector: s1, key: x.pem}\n  - {domain: b.example, selector: s1, key: none.pem}\n", t.TempDir())
	_, problems := Set(all)
	text := doc.Problems.Error() + "\n" + problems.Error()
	for _, want := range []string{"penstock.yaml:2", "has no key", "penstock.yaml:3", "penstock.yaml:4", "none.pem"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not told in:\n%s", want, text)
		}
	}
}

func TestForTakesTheSendersDomainAndThoseAbove(t *testing.T) {
	t.Parallel()
	all := []Setting{{Domain: "acme.example"}, {Domain: "news.acme.example"}, {Domain: "cme.example"}}
	if got := For(all, "news.acme.example"); len(got) != 2 {
		t.Errorf("got %v for news.acme.example", got)
	}
	if got := For(all, "acme.example"); len(got) != 1 {
		t.Errorf("got %v for acme.example", got)
	}
}
