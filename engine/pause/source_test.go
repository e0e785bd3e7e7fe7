package pause

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func source(name string) Scope { return Scope{Source: name} }

// TestAllSourcesHeldIsAPause: of everything, from the last one's hold to the
// first one's release, whatever restarts lie between; one of several is none.
func TestAllSourcesHeldIsAPause(t *testing.T) {
	t.Parallel()
	store := shelf{}
	covered := func(minute int) *Book {
		b := open(t, store)
		if err := b.Cover([]string{"a", "b"}, at(minute)); err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := covered(0)
	b.mustAdd(t, source("a"), "ada", 0)
	if b.Held("spring", "google") || !b.SourceHeld("a") || b.SourceHeld("b") {
		t.Error("one of two sources holds everything")
	}
	b.mustAdd(t, source("b"), "bob", 10)
	b = covered(15)
	if !b.Held("spring", "google") || !b.Held("spring", "") {
		t.Error("all sources are held, and something goes out")
	}
	if got := b.Paused("spring", "google", at(0), at(20)); got != 10*time.Minute {
		t.Errorf("paused for %v, want 10 minutes", got)
	}
	b.mustRelease(t, source("a"), "ada", 30)
	if b.Held("spring", "google") {
		t.Error("held, though a source is free")
	}
	b = covered(40)
	if got := b.Paused("spring", "google", at(0), at(60)); got != 20*time.Minute {
		t.Errorf("paused for %v, want 20 minutes", got)
	}
	if all := b.All(); len(all) != 1 || all[0].Scope != source("b") || all[0].Who != "bob" {
		t.Errorf("holds: %+v", all)
	}
}

// TestSourcesUnknownToTheBook: a process that only asks does not know which there
// are; what it writes is taken up by the one that sends.
func TestSourcesUnknownToTheBook(t *testing.T) {
	t.Parallel()
	store := shelf{}
	b := open(t, store)
	b.mustAdd(t, source("a"), "ada", 0)
	if b.Held("spring", "google") {
		t.Error("held, though there may be other sources")
	}
	b = open(t, store)
	if err := b.Cover([]string{"a"}, at(20)); err != nil {
		t.Fatal(err)
	}
	if got := b.Paused("spring", "google", at(0), at(30)); got != 30*time.Minute {
		t.Errorf("paused for %v, want it from the hold on", got)
	}
	b = open(t, store)
	b.mustRelease(t, source("a"), "ada", 40)
	if b.Held("spring", "google") || len(b.All()) != 0 {
		t.Error("held after the only hold has ended")
	}
	// Nor is all held any more when one of two is let go.
	b.mustAdd(t, source("a"), "ada", 41)
	b.mustAdd(t, source("b"), "ada", 42)
	if err := b.Cover([]string{"a", "b"}, at(43)); err != nil || !b.Held("c", "s") {
		t.Errorf("not held: %v", err)
	}
	b = open(t, store)
	b.mustRelease(t, source("b"), "ada", 45)
	if b.Held("c", "s") {
		t.Error("held after one of two was let go")
	}
	b.mustRelease(t, source("a"), "ada", 46)
	// A source more in the configuration ends it, too.
	b.mustAdd(t, source("a"), "ada", 50)
	if err := b.Cover([]string{"a"}, at(50)); err != nil || !b.Held("c", "s") {
		t.Errorf("not held: %v", err)
	}
	if err := b.Cover([]string{"a", "b"}, at(60)); err != nil || b.Held("c", "s") {
		t.Errorf("held with a free source: %v", err)
	}
}

func TestSourcesArePausedAlone(t *testing.T) {
	t.Parallel()
	for _, s := range []Scope{{Source: "a", Site: "google"}, {Source: "a", Campaign: "c"}, everySource} {
		if err := open(t, shelf{}).Add(Hold{Scope: s, Who: "ada"}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestKeysComeBack(t *testing.T) {
	t.Parallel()
	all := []Scope{{}, {Campaign: "c"}, {Site: "s"}, {Campaign: "c", Site: "s"}, {Source: "a"}, everySource}
	var keys []string
	for _, s := range all {
		if got := scopeOf(s.key()); got != s {
			t.Errorf("%+v comes back as %+v", s, got)
		}
		keys = append(keys, s.key())
	}
	slices.Sort(keys)
	if len(slices.Compact(keys)) != len(all) {
		t.Error("two scopes have one key")
	}
}
