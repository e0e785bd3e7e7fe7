package campaign

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSuppressed(t *testing.T) {
	t.Parallel()
	list := "\ufeff# never again\r\n" +
		"Ann@Example.COM   # asked twice\r\n" +
		"bo#b@x.example\n\n" +
		"  blocked.example  \n@at.example\n.tree.example\nBücher.example\ninvalid\nann@example.com\n" +
		`"b ob"@x.example`
	s, problems := ReadSuppression(write(t, t.TempDir(), "never.txt", list).Path)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, c := range []struct {
		local, domain string
		want          bool
	}{
		{"Ann", "example.com", true},
		{"ann", "example.com", true},
		{"ANN", "example.com", false},
		{"bo#b", "x.example", true},
		{"bob", "x.example", false},
		{`"b ob"`, "x.example", true},
		{"any", "blocked.example", true},
		{"any", "sub.blocked.example", false},
		{"any", "at.example", true},
		{"any", "tree.example", true},
		{"any", "a.tree.example", true},
		{"any", "b.a.tree.example", true},
		{"any", "atree.example", false},
		{"any", "xn--bcher-kva.example", true},
		{"any", "example", false},
		{"any", "invalid", true},
	} {
		if got := s.Suppressed([]byte(c.local), []byte(c.domain)); got != c.want {
			t.Errorf("%s@%s: %v", c.local, c.domain, got)
		}
	}
	if s.Len() != 9 {
		t.Errorf("%d entries", s.Len())
	}
}

func TestSuppressedDoesNotAllocate(t *testing.T) {
	s, _ := ReadSuppression(write(t, t.TempDir(), "never.txt", "a@x.example\nb.example\n.c.example\n").Path)
	local, domain := []byte("some.body"), []byte("sub.sub.example.com")
	if n := testing.AllocsPerRun(100, func() { s.Suppressed(local, domain) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBadSuppressionLinesAreWarningsWithTheirPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	content := "bob@\n\nBob <bob@x.example>\n" + strings.Repeat("a b c\n", 30) + strings.Repeat("x", 300_000) + "\nlast@x.example"
	never := write(t, dir, "never.txt", content)
	packed := write(t, dir, "packed.txt.gz", string(gzipOf(t, []byte("packed@x.example\n"))))
	s, problems := ReadSuppression(never.Path, packed.Path)
	if problems.Err() != nil || len(problems) != maxShownLines+1 {
		t.Fatalf("%d problems: %v", len(problems), problems)
	}
	for _, want := range []string{"never.txt:1: warning: is left out: has nothing behind the @", "never.txt:3: warning: is left out: has a name", "13 more lines"} {
		if !strings.Contains(problems.Error(), want) {
			t.Errorf("no %q in %v", want, problems)
		}
	}
	if !s.Suppressed([]byte("last"), []byte("x.example")) || !s.Suppressed([]byte("packed"), []byte("x.example")) || s.Len() != 2 {
		t.Errorf("%d entries", s.Len())
	}
	_, problems = ReadSuppression(filepath.Join(dir, "gone.txt"), "-", write(t, dir, "bad.gz", "no gzip").Path)
	if len(problems) != 3 || problems.Err() == nil {
		t.Errorf("got %v", problems)
	}
}

// TestHashTableIsASet, whatever is put in.
func TestHashTableIsASet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var table hashTable
		model := map[hash128]bool{}
		// Few different values, so that they meet in one place and come twice.
		for range rapid.IntRange(0, 300).Draw(t, "n") {
			h := hash128{rapid.Uint64Range(0, 40).Draw(t, "a"), rapid.Uint64Range(0, 3).Draw(t, "b")}
			if added := table.add(h); added == model[nonZero(h)] {
				t.Fatalf("%v: added %v", h, added)
			}
			model[nonZero(h)] = true
			probe := hash128{rapid.Uint64Range(0, 40).Draw(t, "c"), rapid.Uint64Range(0, 3).Draw(t, "d")}
			if table.has(probe) != model[nonZero(probe)] {
				t.Fatalf("%v: has %v", probe, table.has(probe))
			}
		}
		if table.used != len(model) {
			t.Fatalf("%d entries, want %d", table.used, len(model))
		}
	})
}

func BenchmarkSuppressed(b *testing.B) {
	s, _ := ReadSuppression()
	for i := range 1_000_000 {
		s.addresses += s.add([]byte("user"+strconv.Itoa(i)), "@", fmt.Appendf(nil, "example%d.com", i%100))
	}
	s.domains += s.add(nil, "", []byte("blocked.example"))
	local, domain := []byte("somebody.else"), []byte("example7.com")
	b.ReportAllocs()
	for b.Loop() {
		s.Suppressed(local, domain)
	}
}
