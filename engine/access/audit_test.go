package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func change(who, method string) Change {
	return Change{At: noon, Caller: Caller{Name: who, Role: Operate, Via: ViaToken, Peer: "192.0.2.1:999"}, Method: method, Request: json.RawMessage(`{"site":"google"}`)}
}

func note(t *testing.T, l *Log, who, method, result string) uint64 {
	t.Helper()
	id, err := l.Begin(change(who, method))
	if err != nil {
		t.Fatal(err)
	}
	if result != "" {
		if err := l.End(id, noon.Add(time.Second), result, "why", time.Second); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

func listed(t *testing.T, l *Log, q Query) string {
	t.Helper()
	all, err := l.List(q)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, c := range all {
		words = append(words, fmt.Sprintf("%d %s %s %s", c.ID, c.Caller.Name, c.Method, c.Result))
	}
	return strings.Join(words, "\n")
}

func TestAChangeIsKeptWithItsEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := OpenLog(dir)
	note(t, l, "ada", "S/Pause", "ok")
	note(t, l, "bob", "S/Limit", "not_found")
	note(t, l, "ada", "C/Cancel", "") // killed meanwhile
	l.Close()

	l = OpenLog(dir)
	defer l.Close()
	note(t, l, "bob", "S/Pause", "ok") // numbers go on
	all, err := l.List(Query{Most: 1, Before: 3})
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	want := change("bob", "S/Limit")
	want.ID, want.Result, want.Message, want.Took = 2, "not_found", "why", time.Second
	if got, want := fmt.Sprintf("%+v", all[0]), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{Most: 9}, "4 bob S/Pause ok\n3 ada C/Cancel \n2 bob S/Limit not_found\n1 ada S/Pause ok"},
		{Query{Most: 2, Before: 4}, "3 ada C/Cancel \n2 bob S/Limit not_found"},
		{Query{Most: 9, Who: "ada"}, "3 ada C/Cancel \n1 ada S/Pause ok"},
		{Query{Most: 9, Method: "Pause"}, "4 bob S/Pause ok\n1 ada S/Pause ok"},
		{Query{Most: 9, Who: "nobody"}, ""},
	} {
		if got := listed(t, l, c.q); got != c.want {
			t.Errorf("%+v: got\n%s\nwant\n%s", c.q, got, c.want)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, LogName)); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestALineCutShortEndsThere: what a crash left of a line neither hides the next
// one nor is taken for a change.
func TestALineCutShortEndsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := OpenLog(dir)
	note(t, l, "ada", "S/Pause", "ok")
	l.Close()
	whole, err := os.ReadFile(filepath.Join(dir, LogName))
	if err != nil {
		t.Fatal(err)
	}
	first := strings.Index(string(whole), "\n") + 1
	for cut := first; cut < len(whole); cut++ {
		if err := os.WriteFile(filepath.Join(dir, LogName), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		l := OpenLog(dir)
		note(t, l, "bob", "S/Limit", "ok")
		want := "2 bob S/Limit ok\n1 ada S/Pause "
		if cut == len(whole)-1 {
			want += "ok" // all but the line break
		}
		if got := listed(t, l, Query{Most: 9}); got != want {
			t.Errorf("cut at %d: %s", cut, got)
		}
		l.Close()
	}
}

// TestTheLogIsBounded: its oldest file goes, and the changes that are there can
// be listed across files.
func TestTheLogIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := openLog(dir, 1000, 3)
	defer func() { l.Close() }()
	for i := range 40 {
		if i == 20 { // also after a restart
			l.Close()
			l = openLog(dir, 1000, 3)
		}
		if id := note(t, l, "ada", "S/Pause", "ok"); id != uint64(i+1) {
			t.Fatalf("number %d is given to change %d", id, i+1)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 3 {
		t.Errorf("files %v, %v", files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Size() > 1500 {
			t.Errorf("%s has %d octets, %v", file, info.Size(), err)
		}
	}
	all, err := l.List(Query{Most: 100})
	if err != nil || len(all) < 6 {
		t.Fatal(len(all), err)
	}
	for i, c := range all {
		if c.ID != uint64(40-i) || c.Result != "ok" {
			t.Errorf("the change listed as %d is %+v", i, c)
		}
	}
}

func TestWithoutItsLineNothingIsChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, LogName), 0o700); err != nil {
		t.Fatal(err)
	}
	l := OpenLog(dir)
	if _, err := l.Begin(change("ada", "S/Pause")); err == nil {
		t.Error("a line was written to a folder")
	}
	if err := os.Remove(filepath.Join(dir, LogName)); err != nil {
		t.Fatal(err)
	}
	note(t, l, "ada", "S/Pause", "ok") // it goes on when there is a way
	l.Close()
	if _, err := l.Begin(change("ada", "S/Pause")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := l.End(1, noon, "ok", "", 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestManyChangesAtOnce(t *testing.T) {
	t.Parallel()
	l := openLog(t.TempDir(), 2000, 100)
	defer l.Close()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 10 {
				id, err := l.Begin(change(fmt.Sprint("p", i), "S/Pause"))
				if err == nil {
					_, err = l.List(Query{Most: 5})
				}
				if err == nil {
					err = l.End(id, noon, "ok", "", 0)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	changes, err := l.List(Query{Most: 100})
	if err != nil || len(changes) != 80 {
		t.Fatal(len(changes), err)
	}
	for i, c := range changes {
		if c.ID != uint64(80-i) || c.Result != "ok" {
			t.Errorf("%+v", c)
		}
	}
}
