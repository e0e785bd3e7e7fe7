package pause

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/penstock-mail/penstock/engine/ledger"
)

// shelf is a Store in memory.
type shelf map[string][]byte

func (s shelf) Tell(_, key string, value []byte, _ ledger.Notice) error {
	if value == nil {
		delete(s, key)
		return nil
	}
	s[key] = value
	return nil
}

func (s shelf) Learn(kind, key string, value []byte) error {
	return s.Tell(kind, key, value, ledger.Notice{})
}

func (s shelf) ForEachLearned(_ string, fn func(string, []byte) error) error {
	for _, k := range slices.Sorted(maps.Keys(s)) {
		if err := fn(k, s[k]); err != nil {
			return err
		}
	}
	return nil
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func open(t *testing.T, s Store) *Book {
	t.Helper()
	b, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *Book) mustAdd(t *testing.T, s Scope, who string, minute int) {
	t.Helper()
	if err := b.Add(Hold{s, who, "because", at(minute)}); err != nil {
		t.Fatal(err)
	}
}

func (b *Book) mustRelease(t *testing.T, s Scope, who string, minute int) {
	t.Helper()
	if err := b.Release(s, who, false, at(minute)); err != nil {
		t.Fatal(err)
	}
}

func TestScopesHold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scope                    Scope
		spring, atGoogle, others bool
	}{
		{Scope{}, true, true, true},
		{Scope{Campaign: "spring"}, true, true, false},
		{Scope{Site: "google"}, false, true, false},
		{Scope{Campaign: "spring", Site: "google"}, false, true, false},
		{Scope{Campaign: "summer", Site: "google"}, false, false, false},
		{Scope{Campaign: "summer"}, false, false, true},
	} {
		b := open(t, shelf{})
		b.mustAdd(t, c.scope, "ada", 0)
		if got := b.Held("spring", ""); got != c.spring {
			t.Errorf("%s paused: spring is held: %v", c.scope, got)
		}
		if got := b.Held("spring", "google"); got != c.atGoogle {
			t.Errorf("%s paused: spring at google is held: %v", c.scope, got)
		}
		if got := b.Held("summer", "yahoo"); got != c.others {
			t.Errorf("%s paused: summer at yahoo is held: %v", c.scope, got)
		}
	}
}

func TestHoldsStackAndOutliveTheBook(t *testing.T) {
	t.Parallel()
	store, google := shelf{}, Scope{Site: "google"}
	b := open(t, store)
	b.mustAdd(t, google, "ada", 0)
	b.mustAdd(t, google, "bob", 5)
	b.mustAdd(t, google, "ada", 7) // changes nothing but the reason
	b.mustRelease(t, google, "ada", 10)
	if !b.Held("spring", "google") {
		t.Error("released by one of two, and not held any more")
	}
	if err := b.Release(google, "eve", false, at(11)); !errors.Is(err, ErrNotHeld) || !strings.Contains(err.Error(), "bob") {
		t.Errorf("released by a stranger: %v", err)
	}
	b = open(t, store)
	if list := b.All(); len(list) != 1 || list[0].Who != "bob" || !list[0].Since.Equal(at(5)) || list[0].Why != "because" {
		t.Errorf("after a restart: %+v", list)
	}
	if err := b.Release(google, "eve", true, at(20)); err != nil {
		t.Fatal(err)
	}
	if b = open(t, store); b.Held("spring", "google") || len(b.All()) != 0 {
		t.Error("held after it was forced")
	}
	if got := b.Paused("spring", "google", at(-60), at(60)); got != 20*time.Minute {
		t.Errorf("paused for %v, want 20m", got)
	}
	if err := b.Release(google, "bob", false, at(21)); !errors.Is(err, ErrNotHeld) {
		t.Errorf("released twice: %v", err)
	}
}

func TestPausedIsTheUnion(t *testing.T) {
	t.Parallel()
	b := open(t, shelf{})
	spring, google := Scope{Campaign: "spring"}, Scope{Site: "google"}
	b.mustAdd(t, spring, "ada", 0)
	b.mustAdd(t, google, "bob", 5)
	b.mustRelease(t, spring, "ada", 10)
	b.mustRelease(t, google, "bob", 20)
	b.mustAdd(t, Scope{}, "ada", 30) // goes on
	for _, c := range []struct {
		site     string
		from, to int
		want     int
	}{
		{"google", 0, 30, 20},
		{"google", 0, 40, 30},
		{"google", 7, 15, 8},
		{"yahoo", 0, 40, 20},
		{"", 0, 40, 20},
		{"google", 21, 29, 0},
		{"google", 40, 35, 0},
	} {
		if got := b.Paused("spring", c.site, at(c.from), at(c.to)); got != time.Duration(c.want)*time.Minute {
			t.Errorf("spring at %q from %d to %d: %v, want %d minutes", c.site, c.from, c.to, got, c.want)
		}
	}
}

func TestInvalidHolds(t *testing.T) {
	t.Parallel()
	for _, h := range []Hold{
		{},
		{Who: strings.Repeat("a", maxWho+1)},
		{Who: "ada", Why: strings.Repeat("a", maxWhy+1)},
		{Who: "ada", Scope: Scope{Site: "a\x00b"}},
		{Who: "ada", Scope: Scope{Campaign: strings.Repeat("a", maxName+1)}},
	} {
		b := open(t, shelf{})
		if err := b.Add(h); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", h, err)
		}
		if len(b.All()) != 0 {
			t.Errorf("%+v is kept", h)
		}
	}
}

func TestDamagedPageIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := Open(shelf{"spring\x00": []byte("{")}); err == nil || !strings.Contains(err.Error(), "campaign spring") {
		t.Errorf("error: %v", err)
	}
}

// TestAgainstMinutes compares the book with one that ticks off every minute,
// whatever is paused and released when, clocks set back included.
func TestAgainstMinutes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		store := shelf{}
		b, err := Open(store)
		if err != nil {
			t.Fatal(err)
		}
		scopes := []Scope{{}, {Campaign: "c"}, {Site: "s"}, {Campaign: "c", Site: "s"}}
		held := map[Scope]map[string]bool{}
		minutes := 0
		for now := range 60 {
			for range rapid.IntRange(0, 2).Draw(t, "changes") {
				s := rapid.SampledFrom(scopes).Draw(t, "scope")
				who := rapid.SampledFrom([]string{"ada", "bob"}).Draw(t, "who")
				if held[s] == nil {
					held[s] = map[string]bool{}
				}
				if rapid.Bool().Draw(t, "pause") {
					if err := b.Add(Hold{s, who, "", at(now)}); err != nil {
						t.Fatal(err)
					}
					held[s][who] = true
					continue
				}
				err := b.Release(s, who, false, at(now))
				if held[s][who] != (err == nil) {
					t.Fatalf("%s released by %s: %v", s, who, err)
				}
				delete(held[s], who)
			}
			any := false
			for _, s := range scopes {
				any = any || len(held[s]) > 0
			}
			if b.Held("c", "s") != any {
				t.Fatalf("minute %d: held %v, want %v", now, !any, any)
			}
			if any {
				minutes++
			}
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				if b, err = Open(store); err != nil {
					t.Fatal(err)
				}
			}
			if got := b.Paused("c", "s", at(0), at(now+1)); got != time.Duration(minutes)*time.Minute {
				t.Fatalf("minute %d: paused for %v, want %d minutes", now, got, minutes)
			}
		}
	})
}

// teller is a shelf that keeps what is told.
type teller struct {
	shelf
	news []ledger.Notice
}

func (s *teller) Tell(kind, key string, value []byte, n ledger.Notice) error {
	s.news = append(s.news, n)
	return s.shelf.Tell(kind, key, value, n)
}

func TestEveryChangeIsTold(t *testing.T) {
	t.Parallel()
	s := &teller{shelf: shelf{}}
	b := open(t, s)
	google := Scope{Site: "google"}
	if err := errors.Join(
		b.Add(Hold{Scope: google, Who: "ann", Why: "odd", Since: at(0)}),
		b.Add(Hold{Scope: google, Who: "bob", Since: at(1)}),
		b.Release(google, "ann", false, at(2)),
		b.Release(google, "eve", true, at(3)),
	); err != nil {
		t.Fatal(err)
	}
	if err := b.Release(google, "ann", false, at(4)); !errors.Is(err, ErrNotHeld) {
		t.Errorf("release: %v", err)
	}
	want := []ledger.Notice{
		{Change: ledger.ChangePaused, At: at(0), Site: "google", By: "ann", Reason: "odd"},
		{Change: ledger.ChangePaused, At: at(1), Site: "google", By: "bob"},
		{Change: ledger.ChangeResumed, At: at(2), Site: "google", By: "ann", Held: true},
		{Change: ledger.ChangeResumed, At: at(3), Site: "google", By: "eve"},
	}
	if !slices.Equal(s.news, want) {
		t.Errorf("told %+v, want %+v", s.news, want)
	}
}
