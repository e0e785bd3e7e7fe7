package control

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDirectoryOfAnyDepthHasItsSocket: an address holds 107 octets, a path may be
// longer.
func TestDirectoryOfAnyDepthHasItsSocket(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !Answers(t.Context(), dir) {
		t.Error("it does not answer")
	}
	info, err := os.Stat(filepath.Join(dir, SocketName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 || Answers(t.Context(), dir) {
		t.Errorf("left behind: %v", left)
	}
}
