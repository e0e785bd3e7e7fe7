package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// listed is an outcome as a listing told of it.
type listed struct {
	domain string
	seq    Seq
	state  State
	code   int
}

func (w listed) String() string { return fmt.Sprintf("%s/%d %v %d", w.domain, w.seq, w.state, w.code) }

func list(t interface{ Fatal(...any) }, c *Campaign, l Listing, most int) (all []listed) {
	err := c.Outcomes(context.Background(), l, func(o *Outcome) error {
		w := listed{domain: o.Domain, seq: o.Seq, state: o.State}
		if o.Last != nil {
			w.code = o.Last.Code
		}
		if all = append(all, w); len(all) == most {
			return ErrStop
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestListingsGoOnWhereTheyStopped: whatever the filter and wherever a listing
// is cut, going on tells of nobody twice; of everybody chosen if nothing
// changes, and of everybody whose outcome stays if much does.
func TestListingsGoOnWhereTheyStopped(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, err := Open("data", Options{fs: vfs.NewMem(), SyncEvery: time.Microsecond})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ld, err := l.Create(context.Background(), Meta{Name: "c"})
		if err != nil {
			t.Fatal(err)
		}
		n := rapid.IntRange(1, 60).Draw(t, "people")
		domains := []string{"a", "a-b", "a.b", "b", "ba", "z.test"}
		for i := range n {
			if err := ld.Add(Row{
				Seq: Seq(i + 1), Local: fmt.Appendf(nil, "u%d", i), Domain: []byte(rapid.SampledFrom(domains).Draw(t, "domain")),
				Suppressed: rapid.IntRange(0, 5).Draw(t, "suppressed") == 0,
			}); err != nil {
				t.Fatal(err)
			}
		}
		c, err := ld.Commit(context.Background(), nil, uint64(n))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Resume(context.Background(), day, Retry); err != nil {
			t.Fatal(err)
		}
		at := day
		send := func() {
			_ = c.Domains(func(d *Domain) bool {
				d.SetSite("site-" + d.Name()[:1])
				var b Batch
				if err := d.ReadFresh(&b, rapid.IntRange(0, 10).Draw(t, "read")); err != nil {
					t.Fatal(err)
				}
				if b.Empty() {
					return true
				}
				done := make(chan error, 1)
				l.Lease(&b, func(_ *Batch, err error) { done <- err })
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				for _, r := range b.Recipients {
					at = at.Add(time.Second)
					s := Settlement{Domain: d, Seq: r.Seq, Attempted: true, At: at, State: Delivered, Code: 250, Enhanced: [3]uint16{2, 0, 0}}
					switch rapid.IntRange(0, 3).Draw(t, "fate") {
					case 0:
						s.State, s.Code, s.Enhanced = Bounced, 550, [3]uint16{5, 1, uint16(rapid.IntRange(1, 10).Draw(t, "detail"))}
					case 1:
						s.State, s.Code, s.Enhanced, s.Due = Deferred, 451, [3]uint16{}, at.Add(time.Hour)
					case 2:
						l.Return(d, r.Seq)
						continue
					}
					l.Settle(&s)
				}
				return true
			})
			if err := l.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		send()
		f := Filter{
			States:   rapid.SliceOfN(rapid.SampledFrom([]State{Pending, Delivered, Bounced, Deferred, Suppressed}), 0, 3).Draw(t, "states"),
			Domains:  rapid.SliceOfN(rapid.SampledFrom(append(domains, "a.c", "zz")), 0, 3).Draw(t, "domains"),
			Codes:    rapid.SliceOfN(rapid.SampledFrom([]int{2, 4, 5, 250, 550, 451}), 0, 2).Draw(t, "codes"),
			Enhanced: rapid.SampledFrom([]string{"", "", "5", "5.1", "5.1.1", "2"}).Draw(t, "enhanced"),
		}
		if rapid.Bool().Draw(t, "sited") {
			f.Sites = []string{"site-" + rapid.SampledFrom([]string{"a", "b", "x"}).Draw(t, "site")}
		}
		if rapid.Bool().Draw(t, "timed") {
			f.From = day.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "from")) * time.Second)
			f.Until = f.From.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "for")) * time.Second)
		}
		want := plainly(t, c, &f)
		if got := list(t, c, Listing{Filter: f}, 0); !slices.Equal(got, want) {
			t.Fatalf("%+v\nlists %v\nwant  %v", f, got, want)
		}
		changes := rapid.Bool().Draw(t, "changes")
		var got []listed
		for after := (Position{}); ; {
			piece := list(t, c, Listing{Filter: f, After: after}, rapid.IntRange(1, 7).Draw(t, "piece"))
			if len(piece) == 0 {
				break
			}
			got = append(got, piece...)
			last := piece[len(piece)-1]
			after = Position{last.domain, last.seq}
			if changes && rapid.Bool().Draw(t, "now") {
				send()
			}
		}
		if !changes {
			if !slices.Equal(got, want) {
				t.Fatalf("%+v\nin pieces %v\nwant      %v", f, got, want)
			}
			return
		}
		seen := map[Seq]bool{}
		for _, g := range got {
			if seen[g.seq] {
				t.Fatalf("%d twice: %v", g.seq, got)
			}
			seen[g.seq] = true
		}
		for _, w := range plainly(t, c, &f) {
			if slices.Contains(want, w) && !seen[w.seq] {
				t.Fatalf("%v stayed as it was, and was not told of: %v", w, got)
			}
		}
	})
}

// plainly filters everybody one by one, by what Lookup says.
func plainly(t *rapid.T, c *Campaign, f *Filter) (all []listed) {
	if err := c.Outcomes(context.Background(), Listing{}, func(o *Outcome) error {
		r, err := c.Lookup(o.Local, o.Domain)
		if err != nil {
			return err
		}
		d, err := c.Domain(o.Domain)
		if err != nil {
			return err
		}
		w := listed{domain: o.Domain, seq: o.Seq, state: r.State}
		has := func(n int, ok bool) bool { return n == 0 || ok }
		ok := has(len(f.States), slices.Contains(f.States, r.State)) && has(len(f.Domains), slices.Contains(f.Domains, o.Domain)) &&
			has(len(f.Sites), slices.Contains(f.Sites, d.Site()))
		narrow := len(f.Codes) > 0 || f.Enhanced != "" || !f.From.IsZero()
		if len(r.Attempts) > 0 {
			last := r.Attempts[len(r.Attempts)-1]
			w.code = last.Code
			text := fmt.Sprintf("%d.%d.%d.", last.Enhanced[0], last.Enhanced[1], last.Enhanced[2])
			ok = ok && has(len(f.Codes), slices.Contains(f.Codes, last.Code) || slices.Contains(f.Codes, last.Code/100)) &&
				has(len(f.Enhanced), strings.HasPrefix(text, f.Enhanced+".")) &&
				(f.From.IsZero() || !last.At.Before(f.From) && last.At.Before(f.Until))
		} else {
			ok = ok && !narrow
		}
		if ok {
			all = append(all, w)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestErasedAreListedWhenAskedFor(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	c := load(t, l, "c", people(5, 1))
	if _, err := l.Erase(t.Context(), "user2", "d0.example"); err != nil {
		t.Fatal(err)
	}
	if got := list(t, c, Listing{}, 0); len(got) != 4 {
		t.Errorf("%v", got)
	}
	erased := 0
	if err := c.Outcomes(t.Context(), Listing{Erased: true, Bare: true}, func(o *Outcome) error {
		if o.Erased {
			erased++
			if o.Local != "" || len(o.Fields) > 0 || o.Seq != 3 {
				t.Errorf("erased: %+v", o)
			}
		}
		return nil
	}); err != nil || erased != 1 {
		t.Errorf("%d erased, %v", erased, err)
	}
}

func TestLongListingsTellHowFarTheyAre(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	c := load(t, l, "c", people(3*passedOften, 2))
	resume(t, c, day, Retry)
	d := c.domain("d0.example")
	var b Batch
	if err := d.ReadFresh(&b, 1); err != nil {
		t.Fatal(err)
	}
	leaseNow(t, l, &b)
	l.Settle(&Settlement{Domain: d, Seq: 1, State: Bounced})
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var at []Position
	want := Listing{Filter: Filter{States: []State{Bounced, Delivered}}, Passed: func(p Position) error { at = append(at, p); return nil }}
	if got := list(t, c, want, 0); len(got) != 1 || len(at) != 1 || at[0].Domain != "d0.example" {
		t.Errorf("%v, passed %v", got, at)
	}
	// What has nobody chosen is leapt over: nothing of the second domain is read.
	mine := errors.New("mine")
	want.Passed = func(Position) error { return mine }
	if err := c.Outcomes(t.Context(), want, func(*Outcome) error { return nil }); !errors.Is(err, mine) {
		t.Errorf("%v", err)
	}
}

func TestFiltersThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	c := load(t, l, "c", people(5, 1))
	for _, f := range []Filter{
		{Codes: []int{3}}, {Codes: []int{199}}, {Codes: []int{600}}, {Codes: []int{-5}},
		{Enhanced: "5."}, {Enhanced: "5.1.1.1"}, {Enhanced: "x"}, {Enhanced: "5.70000"},
		{From: day, Until: day},
	} {
		if err := c.Outcomes(t.Context(), Listing{Filter: f}, nil); !errors.Is(err, ErrFilter) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
