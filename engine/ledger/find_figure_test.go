package ledger

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// TestFindFigure measures how long Find takes on a large ledger: PENSTOCK_FIND
// is how many recipients, in 20 campaigns of the same people.
//
//	PENSTOCK_FIND=10000000 go test -run FindFigure -v -timeout 30m ./engine/ledger
func TestFindFigure(t *testing.T) {
	total, err := strconv.Atoi(os.Getenv("PENSTOCK_FIND"))
	if err != nil {
		t.Skip("PENSTOCK_FIND says how many recipients")
	}
	const campaigns, domains = 20, 1000
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	each := total / campaigns
	for n := range campaigns {
		ld, err := l.Create(t.Context(), Meta{Name: fmt.Sprintf("c%d", n)})
		if err != nil {
			t.Fatal(err)
		}
		for i := range each {
			if err := ld.Add(Row{
				Seq: Seq(i + 1), Local: fmt.Appendf(nil, "user%d", i), Domain: fmt.Appendf(nil, "d%d.example", i%domains), Fields: fmt.Appendf(nil, "Name of %d", i),
			}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ld.Commit(t.Context(), nil, uint64(each)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := rand.New(rand.NewPCG(1, 2))
	chosen := make([]int, 1000)
	for i := range chosen {
		chosen[i] = r.IntN(each)
	}
	for _, run := range []string{"cold", "warm"} {
		took := make([]time.Duration, len(chosen))
		before := processorTime(t)
		for i, n := range chosen {
			found, began := 0, time.Now()
			if err := l.Find(t.Context(), fmt.Sprintf("user%d", n), fmt.Sprintf("d%d.example", n%domains), 0, func(*Campaign, *Record) error {
				found++
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if took[i] = time.Since(began); found != campaigns {
				t.Fatalf("user%d is in %d campaigns, want %d", n, found, campaigns)
			}
		}
		used := processorTime(t) - before
		slices.Sort(took)
		t.Logf("%s: p50 %v, p99 %v, most %v; processor time %v each", run, took[len(took)/2], took[len(took)*99/100], took[len(took)-1], used/time.Duration(len(took)))
	}
}

// processorTime is what the process has used: on a machine that is shared it
// says more than the clock.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
