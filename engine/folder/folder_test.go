package folder_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/penstock-mail/penstock/engine/folder"
)

// TestNothingLeadsOut holds every way to name a file against what may be read.
func TestNothingLeadsOut(t *testing.T) {
	t.Parallel()
	outer := t.TempDir()
	dir := filepath.Join(outer, "lists")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "sub"), 0o700))
	must(os.WriteFile(filepath.Join(outer, "secret"), []byte("secret"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "in.csv"), []byte("in"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "sub", "..in.csv"), []byte("in"), 0o600))
	must(os.Symlink("../secret", filepath.Join(dir, "relative")))
	must(os.Symlink(filepath.Join(outer, "secret"), filepath.Join(dir, "absolute")))
	must(os.Symlink("..", filepath.Join(dir, "up")))
	must(os.Symlink("in.csv", filepath.Join(dir, "within")))
	must(os.Symlink("round", filepath.Join(dir, "round")))
	must(syscall.Mkfifo(filepath.Join(dir, "pipe.csv"), 0o600))
	f := folder.Folder(dir)
	for _, c := range []struct {
		name string
		want error
	}{
		{"in.csv", nil},
		{"./in.csv", nil},
		{"sub/../in.csv", nil},
		{"sub/..in.csv", nil},
		{"within", nil},
		{filepath.Join(dir, "in.csv"), nil},
		{"../secret", folder.ErrOutside},
		{"sub/../../secret", folder.ErrOutside},
		{filepath.Join(outer, "secret"), folder.ErrOutside},
		{dir + "/../secret", folder.ErrOutside},
		{dir + "x", folder.ErrOutside},
		{"/etc/passwd", folder.ErrOutside},
		{"", folder.ErrOutside},
		{"relative", folder.ErrOutside},
		{"absolute", folder.ErrOutside},
		{"up/secret", folder.ErrOutside},
		{"round", syscall.ELOOP},
		{"pipe.csv", folder.ErrNotFile},
		{"sub", folder.ErrNotFile},
		{".", folder.ErrNotFile},
		{"gone.csv", fs.ErrNotExist},
		{"in.csv/x", syscall.ENOTDIR},
	} {
		_, err := f.Stat(c.name)
		if !matches(err, c.want) {
			t.Errorf("stat %q: %v, want %v", c.name, err, c.want)
		}
		file, err := f.Open(c.name)
		if !matches(err, c.want) {
			t.Errorf("open %q: %v, want %v", c.name, err, c.want)
		}
		if err != nil {
			continue
		}
		if text, err := io.ReadAll(file); err != nil || string(text) != "in" {
			t.Errorf("%q holds %q, error %v", c.name, text, err)
		}
		must(file.Close())
	}
	if _, err := folder.Folder(filepath.Join(outer, "none")).Open("in.csv"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("below a folder that is not there: %v", err)
	}
}

func matches(err, want error) bool {
	return want == nil && err == nil || want != nil && errors.Is(err, want)
}
