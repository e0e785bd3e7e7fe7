package intake

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/problem"
)

func TestCampaignComesInAndIsLoaded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	st := w.create(request("c"))
	if st.State != Receiving || len(st.Files) != 1 || st.Files[0].Octets != 0 || w.loaded("c") != -1 {
		t.Errorf("created: %+v", st)
	}
	if list := w.store.List(); len(list) != 1 || list[0].ID != "c" {
		t.Errorf("listed: %+v", list)
	}
	w.send("c", "people.csv", people(300), 100)
	st = w.await("c", Loaded)
	if st.Rows != 300 || !st.Files[0].Complete || st.Files[0].Octets != int64(len(people(300))) || w.loaded("c") != 300 {
		t.Errorf("loaded: %+v", st)
	}
	if len(w.store.List()) != 0 {
		t.Error("it is still on its way in")
	}
	w.empty()
	if w.engine.Run("c") != nil {
		t.Error("it is sent, and nobody said start")
	}
	w.reopen()
	if err := w.engine.Continue(t.Context()); err != nil || w.engine.Run("c") != nil {
		t.Errorf("it is sent after a restart, and nobody said start: %v", err)
	}
	if st, err := w.store.Get("c"); err != nil || st.State != Loaded || st.Rows != 300 {
		t.Errorf("after a restart: %+v %v", st, err)
	}
	if _, err := w.store.Get("d"); !errors.Is(err, ErrNone) {
		t.Errorf("of another: %v", err)
	}
}

// TestOneRequestIsEnough where everything comes along, suppression included.
func TestOneRequestIsEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mailbox(t))
	r := request("c")
	r.Definition = definition("c", "suppress: never.txt\n")
	r.Files = append(r.Files, File{"people.csv", people(20)}, File{"never.txt", []byte("u7@a.test\n")})
	r.Uploads, r.Start = nil, true
	w.create(r)
	w.await("c", Loaded)
	run := w.engine.Run("c")
	if run == nil {
		t.Fatal("it does not begin")
	}
	<-run.Finished()
	c, err := w.engine.Ledger().Campaign("c")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Counts(); err != nil || n[1] != 19 || n[5] != 1 {
		t.Errorf("counts %v, %v; want 19 delivered, 1 suppressed", n, err)
	}
	// The list was not kept, and what it said holds in a copy.
	again, err := w.engine.Clone(t.Context(), engine.Copy{From: "c", ID: "again", States: []ledger.State{ledger.Delivered}})
	if err != nil || again.Totals().Loaded != 19 {
		t.Fatalf("copy: %v", err)
	}
	if _, err := again.Lookup("u7", "a.test"); !errors.Is(err, ledger.ErrNoRecipient) {
		t.Errorf("who was suppressed is in the copy: %v", err)
	}
	w.empty()
}

// TestRowsWithoutAFile: "-" is what the client had at its standard input.
func TestRowsWithoutAFile(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte("{\"email\": \"ann@a.test\"}\n{\"email\": \"bob@a.test\"}\n"))
	_ = z.Close()
	for name, rows := range map[string][]byte{"csv": people(2), "jsonl-gz": packed.Bytes()} {
		w := newWorld(t, "")
		r := request(name)
		r.Definition = []byte(strings.Replace(string(r.Definition), "people.csv", `"-"`, 1))
		r.Uploads[0].Name = "-"
		w.create(r)
		w.send(name, "-", rows, 10)
		if st := w.await(name, Loaded); st.Rows != 2 {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

// TestTheSameAgain answers as the first did, at every stage, and may be the one
// that says start.
func TestTheSameAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mailbox(t))
	first := w.create(request("c"))
	again := request("c")
	again.Definition = append([]byte("# another layout\n"), again.Definition...)
	if st := w.create(again); st.State != Receiving || !st.Created.Equal(first.Created) {
		t.Errorf("again: %+v, first %+v", st, first)
	}
	w.send("c", "people.csv", people(5), 1000)
	w.await("c", Loaded)
	w.reopen()
	if st := w.create(request("c")); st.State != Loaded || !st.Created.Equal(first.Created) || w.engine.Run("c") != nil {
		t.Errorf("when it is loaded: %+v", st)
	}
	again.Start = true
	w.create(again)
	run := w.engine.Run("c")
	if run == nil {
		t.Fatal("start was not heard")
	}
	<-run.Finished()
	if st := w.create(again); st.State != Loaded {
		t.Errorf("when it is finished: %+v", st)
	}
}

// TestStartIsSaidLater, while it is being received, and survives a restart.
func TestStartIsSaidLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mailbox(t))
	w.create(request("c"))
	later := request("c")
	later.Start = true
	if st := w.create(later); !st.Start {
		t.Errorf("%+v", st)
	}
	w.reopen()
	w.send("c", "people.csv", people(5), 1000)
	w.await("c", Loaded)
	if run := w.engine.Run("c"); run == nil {
		t.Error("it does not begin")
	}
}

// TestAnotherUnderTheSameId is refused with everything that differs, at every
// stage; the one that is there stays as it is.
func TestAnotherUnderTheSameId(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.create(request("c"))
	other := request("c")
	other.Definition = []byte(strings.Replace(string(definition("c", "suppress: never.txt\n")), "Hello", "Goodbye", 1))
	other.Files = []File{{"body.txt", []byte("Another.\n")}, {"never.txt", []byte("x.test\n")}}
	other.Uploads[0].Size = 7
	words := []string{`subject was "Hello", is "Goodbye"`, "suppress is new", "file body.txt changed", "file never.txt is new"}
	refused := func() {
		t.Helper()
		_, _, err := w.store.Create(t.Context(), other)
		var differs *Differs
		if !errors.As(err, &differs) {
			t.Fatalf("%v", err)
		}
		mentions(t, err, words...)
	}
	refused()
	w.reopen()
	refused()
	w.send("c", "people.csv", people(5), 1000)
	w.await("c", Loaded)
	words = append(words, "upload people.csv changed: it had 56 octets, now 7")
	refused()
	w.reopen()
	refused()
	sum := request("c")
	sum.Uploads[0].SHA256 = strings.Repeat("0", 64)
	_, _, err := w.store.Create(t.Context(), sum)
	mentions(t, err, "upload people.csv changed")
	sum.Uploads[0].SHA256 = strings.ToUpper(hash(people(5)))
	if st := w.create(sum); st.State != Loaded {
		t.Errorf("with the right sum: %+v", st)
	}
}

// TestCampaignThatCameFromAFile is compared by what it is made of.
func TestCampaignThatCameFromAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for name, content := range map[string][]byte{"c.yaml": definition("c", ""), "body.txt": []byte("Water finds its way.\n"), "people.csv": people(4)} {
		if err := os.WriteFile(filepath.Join(w.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, problems := campaign.Read(filepath.Join(w.dir, "c.yaml"))
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	if _, err := w.engine.Load(t.Context(), c, nil, nil); err != nil {
		t.Fatal(err)
	}
	same := request("c")
	same.Uploads[0].Size, same.Uploads[0].SHA256 = int64(len(people(4))), hash(people(4))
	if st := w.create(same); st.State != Loaded {
		t.Errorf("%+v", st)
	}
	same.Uploads[0].SHA256 = hash(people(5))
	_, _, err := w.store.Create(t.Context(), same)
	mentions(t, err, "recipients: people.csv changed")
	other := request("c")
	other.Files[0].Content = []byte("Another.")
	_, _, err = w.store.Create(t.Context(), other)
	mentions(t, err, "text changed")
}

// TestManyCreateOneCampaign at once: one is first, those with the same content
// get its answer, the others the difference.
func TestManyCreateOneCampaign(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	var hands sync.WaitGroup
	var mu sync.Mutex
	created := map[string]int{}
	for i := range 16 {
		hands.Go(func() {
			r := request("c")
			r.Definition = append(r.Definition, fmt.Sprintf("priority: %d\n", 1+i%2)...)
			_, _, err := w.store.Create(t.Context(), r)
			mu.Lock()
			defer mu.Unlock()
			var differs *Differs
			switch {
			case err == nil:
				created["same"]++
			case errors.As(err, &differs):
				created["differs"]++
				mentions(t, err, "priority was")
			default:
				t.Error(err)
			}
		})
	}
	hands.Wait()
	if created["same"] != 8 || created["differs"] != 8 || len(w.store.List()) != 1 {
		t.Errorf("%v, listed %v", created, w.store.List())
	}
}

// TestEveryMistakeAtOnce, and nothing is kept.
func TestEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	_, _, err := w.store.Create(t.Context(), &Request{
		Definition: []byte("id: a/b\nfrom: news@sender.test\nsubject: \"{{ x\"\nhtml: gone.html\ntext: body.txt\n" +
			"recipients: [people.csv, people.txt, /etc/passwd]\nsuppress: ../never.txt\ndkim: [{domain: sender.test, selector: s, key: k.pem}]\ncolour: red\n"),
		Files:   []File{{"body.txt", []byte("\xff")}, {"spare.txt", nil}},
		Uploads: []Announced{{Name: "people.csv"}, {Name: "spare.csv"}},
	})
	var problems problem.List
	if !errors.As(err, &problems) {
		t.Fatalf("%v", err)
	}
	mentions(t, err, "definition:1:5: id: is", "definition:4:7: html: gone.html: is neither sent along", "body.txt: is not UTF-8",
		"people.txt: must end in", "definition:7:11: suppress: ../never.txt: is neither", "definition:8: dkim: k.pem: keys stay on the server",
		"colour: is not a known key", "spare.txt: was sent along, but", "spare.csv: is announced as an upload, but")
	w.empty()
	for _, r := range []*Request{
		{},
		{Definition: []byte("\xff")},
		{Definition: []byte("- a")},
		{Definition: bytes.Repeat([]byte("#"), 2<<20)},
		{Definition: definition("c", ""), Files: []File{{"body.txt", nil}, {"body.txt", nil}}},
		{Definition: definition("c", ""), Files: []File{{"", nil}}},
		{Definition: definition("c", ""), Uploads: make([]Announced, maxUploads+1)},
		{Definition: definition("c", ""), Uploads: []Announced{{Name: "people.csv", SHA256: "abc"}}},
		{Definition: definition("c", ""), Uploads: []Announced{{Name: "people.csv"}, {Name: "body.txt"}}},
	} {
		if _, _, err := w.store.Create(t.Context(), r); !errors.As(err, &problems) {
			t.Errorf("%.80q: %v", r.Definition, err)
		}
	}
	w.empty()
}

// TestFilesOnTheServer lie below the folder, or nowhere.
func TestFilesOnTheServer(t *testing.T) {
	t.Parallel()
	outer := t.TempDir()
	dir := filepath.Join(outer, "lists")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(dir, 0o700))
	for path, content := range map[string][]byte{"lists/people.csv": people(3), "lists/body.txt": []byte("Hello"), "secret.csv": people(3), "secret.txt": []byte("secret")} {
		must(os.WriteFile(filepath.Join(outer, path), content, 0o600))
	}
	must(os.Symlink("../secret.csv", filepath.Join(dir, "link.csv")))
	must(syscall.Mkfifo(filepath.Join(dir, "pipe.csv"), 0o600))
	must(os.Mkdir(filepath.Join(dir, "dir.csv"), 0o700))
	w := newWorld(t, "intake: {folder: "+dir+"}\n")
	for list, want := range map[string]string{
		"../secret.csv": "not below the folder", filepath.Join(outer, "secret.csv"): "not below the folder",
		"link.csv": "not below the folder", "pipe.csv": "not a regular file", "dir.csv": "not a regular file", "gone.csv": "no such file",
	} {
		r := &Request{Definition: []byte(strings.Replace(string(definition("c", "")), "people.csv", list, 1))}
		_, _, err := w.store.Create(t.Context(), r)
		mentions(t, err, "definition:5:13: recipients: "+list, want)
	}
	r := &Request{Definition: []byte(strings.Replace(string(definition("c", "")), "body.txt", "../secret.txt", 1))}
	_, _, err := w.store.Create(t.Context(), r)
	mentions(t, err, "text: ../secret.txt: is not below the folder")

	r = &Request{Definition: []byte(strings.Replace(string(definition("c", "")), "people.csv", dir+"/people.csv", 1))}
	w.create(r)
	if st := w.await("c", Loaded); st.Rows != 3 {
		t.Errorf("%+v", st)
	}
	if st := w.create(r); st.State != Loaded {
		t.Errorf("again: %+v", st)
	}
	must(os.WriteFile(filepath.Join(dir, "people.csv"), people(9), 0o600))
	_, _, err = w.store.Create(t.Context(), r)
	mentions(t, err, "people.csv on the server changed")
	must(os.Remove(filepath.Join(dir, "people.csv")))
	if st := w.create(r); st.State != Loaded {
		t.Errorf("when the list is gone: %+v", st)
	}
}

// TestChunks tells what is taken and what is not.
func TestChunks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	r := request("c")
	r.Uploads[0].Size = 30
	w.create(r)
	u := w.upload("c", "people.csv")
	content := "email\nann@a.test\nbob@a.test\n\n\n"[:30]
	wanted := func(err error, at int64) {
		t.Helper()
		var offset *Offset
		if !errors.As(err, &offset) || offset.Wanted != at {
			t.Errorf("%v, want offset %d", err, at)
		}
	}
	wanted(u.Write(1, []byte("x"), false), 0)
	wanted(u.Write(-1, []byte("x"), false), 0)
	wanted(u.Write(0, []byte(content+"x"), false), 0)
	wanted(u.Write(0, []byte(content[:29]), true), 0)
	if err := u.Write(0, []byte(content[:10]), false); err != nil {
		t.Fatal(err)
	}
	if err := u.Write(5, []byte(content[5:20]), false); err != nil {
		t.Errorf("what is there, and more: %v", err)
	}
	if err := u.Write(0, nil, false); err != nil {
		t.Errorf("nothing: %v", err)
	}
	if err := u.Write(3, []byte("zz"), false); !errors.Is(err, ErrOther) {
		t.Errorf("others: %v", err)
	}
	if err := u.Write(20, make([]byte, MaxChunk+1), false); !errors.Is(err, ErrLarge) {
		t.Errorf("too large: %v", err)
	}
	wanted(u.Write(21, []byte("x"), false), 20)
	if st, state, err := u.Sync(); err != nil || st.Octets != 20 || st.Complete || state != Receiving {
		t.Errorf("%+v %s %v", st, state, err)
	}
	if _, err := w.store.Upload("c", "other.csv"); !errors.Is(err, ErrNone) {
		t.Errorf("an upload that is none: %v", err)
	}
	if _, err := w.store.Upload("d", "people.csv"); !errors.Is(err, ErrNone) {
		t.Errorf("of a campaign that is none: %v", err)
	}
	if err := u.Write(20, []byte(content[20:]), true); err != nil {
		t.Fatal(err)
	}
	if err := u.Write(0, []byte(content), true); err != nil {
		t.Errorf("all of it again: %v", err)
	}
	if st, _, err := u.Sync(); err != nil || !st.Complete {
		t.Errorf("%+v %v", st, err)
	}
	w.await("c", Loaded)
	if _, err := w.store.Upload("c", "people.csv"); !errors.Is(err, ErrLoaded) {
		t.Errorf("when it is loaded: %v", err)
	}
}

// TestUploadGoesOnAfterARestart from what is on disk.
func TestUploadGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.create(request("c"))
	rows := people(1000)
	for at := 0; at < len(rows); {
		n := min(at+1+rand.IntN(3000), len(rows))
		u := w.upload("c", "people.csv")
		if err := u.Write(int64(at), rows[at:n], n == len(rows)); err != nil {
			t.Fatal(err)
		}
		st, _, err := u.Sync()
		if err != nil || st.Octets != int64(n) {
			t.Fatalf("%+v %v", st, err)
		}
		at = n
		w.reopen()
	}
	if st := w.await("c", Loaded); st.Rows != 1000 || w.loaded("c") != 1000 {
		t.Errorf("%+v", st)
	}
	w.empty()
}

// TestBrokenFiles are told of, kept until they are dropped, and made good by a
// Create with others.
func TestBrokenFiles(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(people(5000))
	_ = z.Close()
	for name, c := range map[string]struct {
		file string
		rows []byte
		sum  string
		want string
	}{
		"truncated":  {"people.csv.gz", packed.Bytes()[:packed.Len()-20], "", "people.csv.gz:"},
		"not-packed": {"people.csv.gz", people(3), "", "people.csv.gz: "},
		"no-column":  {"people.csv", []byte("mail\na@a.test\n"), "", `has no column "email"`},
		"empty":      {"people.csv", nil, "", "is empty"},
		"other-sum":  {"people.csv", people(3), hash(people(4)), "is not what was announced"},
	} {
		w := newWorld(t, "")
		r := request(name)
		r.Definition = []byte(strings.Replace(string(r.Definition), "people.csv", c.file, 1))
		r.Uploads[0] = Announced{c.file, -1, c.sum}
		w.create(r)
		w.send(name, c.file, c.rows, 1<<20)
		st := w.await(name, Broken)
		mentions(t, st.Problems, c.want)
		w.reopen()
		if st := w.create(r); st.State != Broken || len(st.Problems) == 0 || w.loaded(name) != -1 {
			t.Errorf("%s, after a restart: %+v", name, st)
		}
		better := request(name)
		better.Uploads[0].SHA256 = hash(people(3))
		w.create(better)
		w.send(name, "people.csv", people(3), 1<<20)
		w.await(name, Loaded)
		w.empty()
	}
}

func TestDrop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.create(request("c"))
	u := w.upload("c", "people.csv")
	if err := u.Write(0, []byte("email\n"), false); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Drop("c"); err != nil {
		t.Fatal(err)
	}
	w.empty()
	if err := u.Write(6, []byte("a@a.test\n"), true); !errors.Is(err, ErrNone) {
		t.Errorf("a chunk after that: %v", err)
	}
	if _, _, err := u.Sync(); !errors.Is(err, ErrNone) {
		t.Errorf("a sync after that: %v", err)
	}
	if err := w.store.Drop("c"); !errors.Is(err, ErrNone) {
		t.Errorf("once more: %v", err)
	}
	w.create(request("c"))
	w.send("c", "people.csv", people(2), 1000)
	w.await("c", Loaded)
	if err := w.store.Drop("c"); !errors.Is(err, ErrLoaded) {
		t.Errorf("when it is loaded: %v", err)
	}
}

// TestDropWhileItLoads ends one way or the other: dropped, or a campaign.
func TestDropWhileItLoads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	rows := people(60_000)
	for i := range 6 {
		id := fmt.Sprint("c", i)
		w.create(request(id))
		w.send(id, "people.csv", rows, 1<<20)
		if i%2 == 0 {
			w.await(id, Loading)
		}
		err := w.store.Drop(id)
		there := w.loaded(id)
		switch {
		case err == nil && there != -1, err != nil && there != 60_000, err != nil && !errors.Is(err, ErrLoaded):
			t.Errorf("%s: %d recipients, error %v", id, there, err)
		}
	}
}

// TestThereIsRoomForSoMany and no more, until some are dropped.
func TestThereIsRoomForSoMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.store.tuning.intakes = 2
	w.create(request("a"))
	w.create(request("b"))
	if _, _, err := w.store.Create(t.Context(), request("c")); !errors.Is(err, ErrTooMany) {
		t.Errorf("%v", err)
	}
	if err := w.store.Drop("a"); err != nil {
		t.Fatal(err)
	}
	w.create(request("c"))
}

// TestStepsThatFail: whatever fails, and wherever the process ends, a campaign is
// there as a whole, or is being received, or is not there.
func TestStepsThatFail(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken by the test")
	for _, step := range []string{"files", "manifest", "made", "ended", "completed", "load", "loaded", "remembered", "started", "removed"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, mailbox(t))
			w.close()
			failing := true
			var mu sync.Mutex
			w.tuning = tuning{again: time.Millisecond, step: func(name string) error {
				mu.Lock()
				defer mu.Unlock()
				if name == step && failing {
					return broken
				}
				return nil
			}}
			w.open()
			r := request("c")
			r.Start = true
			_, _, err := w.store.Create(t.Context(), r)
			if err == nil {
				u := w.upload("c", "people.csv")
				if err := u.Write(0, people(40), true); err != nil {
					t.Fatal(err)
				}
				_, _, err = u.Sync()
			}
			if failed := !strings.Contains("load loaded remembered started removed", step); failed != errors.Is(err, broken) {
				t.Errorf("%v", err)
			}
			w.reopen() // it fails again, or goes on failing
			if n := w.loaded("c"); n != -1 && n != 40 {
				t.Errorf("%d recipients", n)
			}
			mu.Lock()
			failing = false
			mu.Unlock()
			w.reopen()
			if st, err := w.store.Get("c"); err != nil || st.State == Receiving {
				w.create(r)
				w.send("c", "people.csv", people(40), 1<<20)
			} else if st.State == Broken {
				t.Fatalf("%+v", st)
			}
			w.await("c", Loaded)
			if n := w.loaded("c"); n != 40 {
				t.Errorf("%d recipients", n)
			}
			w.reopen() // its folder may have been about to go
			w.empty()
			if err := w.engine.Continue(t.Context()); err != nil {
				t.Error(err)
			}
			c, err := w.engine.Ledger().Campaign("c")
			if err != nil {
				t.Fatal(err)
			}
			if run := w.engine.Run("c"); run != nil {
				<-run.Finished()
			} else if c.Totals().Finished.IsZero() {
				t.Error("it is not sent, though start was said")
			}
		})
	}
}
