package ledger

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestAddressIsFoundInAllCampaigns: the newest first, in pages, and neither in
// loads under way nor in what was deleted or erased.
func TestAddressIsFoundInAllCampaigns(t *testing.T) {
	t.Parallel()
	// A hash of two values: every look-up meets others with the same.
	hash := func(local, _ []byte) uint64 { return uint64(local[len(local)-1] & 1) }
	l := newLedger(t, Options{fs: vfs.NewMem(), hash: hash})
	for i := range 6 {
		c := load(t, l, fmt.Sprintf("c%d", i), people(20, 1+i%2))
		deliver(t, l, c)
	}
	ld, err := l.Create(t.Context(), Meta{Name: "under way"})
	if err != nil {
		t.Fatal(err)
	}
	if err := ld.Add(people(1, 1)[0]); err != nil {
		t.Fatal(err)
	}
	find := func(local, domain string, before uint32, most int) (found []string) {
		t.Helper()
		err := l.Find(t.Context(), local, domain, before, func(c *Campaign, r *Record) error {
			found = append(found, c.Name())
			if r.Campaign != c.Name() || r.Local != local || r.Domain != domain || len(r.Attempts) != 1 || r.State == Pending {
				t.Errorf("%s: %+v", c.Name(), r)
			}
			if len(found) == most {
				return ErrStop
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for _, c := range []struct {
		local, domain string
		before        uint32
		most          int
		want          []string
	}{
		{"user0", "d0.example", 0, 0, []string{"c5", "c4", "c3", "c2", "c1", "c0"}},
		{"user1", "d0.example", 0, 0, []string{"c4", "c2", "c0"}},
		{"user1", "d1.example", 0, 0, []string{"c5", "c3", "c1"}},
		{"user0", "d0.example", 0, 2, []string{"c5", "c4"}},
		{"user0", "d0.example", 5, 2, []string{"c3", "c2"}},
		{"user0", "d0.example", 1, 0, nil},
		{"nobody", "d0.example", 0, 0, nil},
		{"user0", "elsewhere.example", 0, 0, nil},
	} {
		if got := find(c.local, c.domain, c.before, c.most); !slices.Equal(got, c.want) {
			t.Errorf("%s@%s before %d, %d of them: %v, want %v", c.local, c.domain, c.before, c.most, got, c.want)
		}
	}
	gone, err := l.Campaign("c4")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := find("user1", "d0.example", 0, 0); !slices.Equal(got, []string{"c2", "c0"}) {
		t.Errorf("after a deletion: %v", got)
	}
	if _, err := l.Erase(t.Context(), "user1", "d0.example"); err != nil {
		t.Fatal(err)
	}
	if got := find("user1", "d0.example", 0, 0); got != nil {
		t.Errorf("after the erasure: %v", got)
	}
	mine := errors.New("mine")
	if err := l.Find(t.Context(), "user0", "d0.example", 0, func(*Campaign, *Record) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("%v", err)
	}
	if err := ld.Abort(); err != nil {
		t.Fatal(err)
	}
}
