package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/bench/sink"
	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/problem"
)

// world is a data directory with an engine and a store on it, which can be
// closed and opened again.
type world struct {
	*testing.T
	dir    string
	config *config.Config
	engine *engine.Engine
	store  *Store
	tuning tuning
}

// newWorld opens one; more is lines of penstock.yaml.
func newWorld(t *testing.T, more string) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir()}
	text := "hostname: sender.test\ndata: data\nledger: {min_free: 0}\n" + more
	var problems problem.List
	if w.config, problems = config.Parse(filepath.Join(w.dir, "penstock.yaml"), []byte(text)); problems.Err() != nil {
		t.Fatal(problems)
	}
	w.open()
	t.Cleanup(w.close)
	return w
}

// mailbox is a receiving server, as lines of penstock.yaml.
func mailbox(t *testing.T) string {
	t.Helper()
	s, err := sink.Start(sink.Options{Loops: 1, LocalOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return "routes: {\"*\": \"" + s.Addrs()[0] + "\"}\n"
}

func (w *world) open() {
	w.Helper()
	var err error
	if w.engine, err = engine.Open(w.config, slog.New(slog.DiscardHandler)); err != nil {
		w.Fatal(err)
	}
	if w.store, err = openTuned(w.engine, w.config, slog.New(slog.DiscardHandler), w.tuning); err != nil {
		w.Fatal(err)
	}
}

func (w *world) close() {
	w.Helper()
	if w.store == nil {
		return
	}
	w.store.Close()
	w.store = nil
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.engine.Drain(ctx); err != nil {
		w.Error(err)
	}
	if r, err := w.engine.Ledger().Verify(ctx); err != nil || !r.OK() {
		w.Errorf("verify: %v %v", err, r.Problems)
	}
	if err := w.engine.Close(); err != nil {
		w.Error(err)
	}
}

func (w *world) reopen() {
	w.Helper()
	w.close()
	w.open()
}

// definition is a campaign file with more lines.
func definition(id, more string) []byte {
	return []byte("id: " + id + "\nfrom: news@sender.test\nsubject: Hello\ntext: body.txt\nrecipients: people.csv\n" + more)
}

// people is n rows.
func people(n int) []byte {
	var b bytes.Buffer
	b.WriteString("email\n")
	for i := range n {
		fmt.Fprintf(&b, "u%d@a.test\n", i+1)
	}
	return b.Bytes()
}

// request is a campaign whose people will be uploaded.
func request(id string) *Request {
	return &Request{
		Definition: definition(id, ""),
		Files:      []File{{"body.txt", []byte("Water finds its way.\n")}},
		Uploads:    []Announced{{Name: "people.csv", Size: -1}},
	}
}

func (w *world) create(r *Request) Status {
	w.Helper()
	st, _, err := w.store.Create(w.Context(), r)
	if err != nil {
		w.Fatal(err)
	}
	return st
}

func (w *world) upload(id, name string) *Upload {
	w.Helper()
	u, err := w.store.Upload(id, name)
	if err != nil {
		w.Fatal(err)
	}
	return u
}

// send appends all of a file in chunks of so many octets.
func (w *world) send(id, name string, content []byte, chunk int) {
	w.Helper()
	u := w.upload(id, name)
	for at := 0; ; at += chunk {
		end := min(at+chunk, len(content))
		if err := u.Write(int64(at), content[at:end], end == len(content)); err != nil {
			w.Fatal(err)
		}
		if end == len(content) {
			break
		}
	}
	if _, _, err := u.Sync(); err != nil {
		w.Fatal(err)
	}
}

// await waits until an intake stands so.
func (w *world) await(id string, state State) Status {
	w.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); ; {
		st, err := w.store.Get(id)
		if err == nil && st.State == state {
			return st
		}
		select {
		case <-tick.C:
		case <-late:
			w.Fatalf("%s is never %s: %+v, %v", id, state, st, err)
		}
	}
}

// loaded is how many recipients a campaign has; -1: there is none.
func (w *world) loaded(id string) int {
	w.Helper()
	c, err := w.engine.Ledger().Campaign(id)
	if errors.Is(err, ledger.ErrNoCampaign) {
		return -1
	}
	if err != nil {
		w.Fatal(err)
	}
	return int(c.Totals().Loaded)
}

// empty fails unless nothing is left in the intake's directory.
func (w *world) empty() {
	w.Helper()
	entries, err := os.ReadDir(w.store.dir)
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range entries {
		w.Errorf("%s is left", e.Name())
	}
}

// mentions fails unless err says all of it.
func mentions(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, want := range words {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said in: %v", want, err)
		}
	}
}
