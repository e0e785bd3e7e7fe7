package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

func TestDuplicatesAreRejectedByTheirBytesAlone(t *testing.T) {
	t.Parallel()
	// Whatever the hash does, the same rows must be loaded. Eight values for
	// sixty addresses force collisions, within domains and across.
	forged := func(local, domain []byte) uint64 { return uint64(len(local)+int(domain[0])) % 8 << 60 }
	ways := []struct {
		name string
		opt  Options
	}{
		{"batch", Options{}},
		{"batch, forged", Options{hash: forged}},
		{"tables", Options{smallLoad: 1}},
		{"runs", Options{smallLoad: 1, chunkBytes: 100}},
		{"runs, forged", Options{smallLoad: 1, chunkBytes: 100, hash: forged}},
		{"runs, one hash", Options{smallLoad: 1, chunkBytes: 100, hash: func(_, _ []byte) uint64 { return 1 }}},
	}
	rapid.Check(t, func(rt *rapid.T) {
		way := ways[rapid.IntRange(0, len(ways)-1).Draw(rt, "way")]
		opt := way.opt
		opt.fs = vfs.NewMem()
		l, err := Open("data", opt)
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		ld, err := l.Create(context.Background(), Meta{Name: "c"})
		if err != nil {
			rt.Fatal(err)
		}
		n := rapid.IntRange(0, 40).Draw(rt, "rows")
		first := make(map[string]Seq)
		want := make(map[Seq]Seq)
		rejected := make(map[Seq]bool)
		segments := rapid.IntRange(0, 2).Draw(rt, "segments") // none, now and then, often
		for i := range n {
			seq := Seq(i + 1)
			if segments > 0 && rapid.IntRange(0, 12/segments).Draw(rt, "segment") == 0 {
				if _, err := ld.Segment(context.Background(), nil); err != nil {
					rt.Fatal(err)
				}
				if rapid.Bool().Draw(rt, "anew") {
					if err := ld.Abort(); err != nil {
						rt.Fatal(err)
					}
					var rows uint64
					if ld, rows, err = l.Continue("c"); err != nil || rows != uint64(i) {
						rt.Fatal(rows, err)
					}
				}
				if rep, err := l.Verify(context.Background()); err != nil || !rep.OK() {
					rt.Fatal(err, rep.Problems)
				}
			}
			if rapid.IntRange(0, 9).Draw(rt, "bad") == 0 {
				rejected[seq] = true
				if err := ld.Reject(Reject{Seq: seq, Reason: "invalid", Line: i}); err != nil {
					rt.Fatal(err)
				}
				continue
			}
			local := rapid.SampledFrom([]string{"a", "A", "b", "a\x00", "", "bb", "a@d1"}).Draw(rt, "local")
			domain := rapid.SampledFrom([]string{"d1", "d2", "d", "e"}).Draw(rt, "domain")
			if f, ok := first[local+"@@"+domain]; ok {
				want[seq] = f
			} else {
				first[local+"@@"+domain] = seq
			}
			if err := ld.Add(Row{Seq: seq, Local: []byte(local), Domain: []byte(domain), File: "f.csv", Line: i + 2, Suppressed: i%7 == 3}); err != nil {
				rt.Fatal(err)
			}
		}
		c, err := ld.Commit(context.Background(), nil, uint64(n))
		if err != nil {
			rt.Fatal(err)
		}
		got := make(map[Seq]bool)
		if err := c.Rejects(context.Background(), func(r *Reject) error {
			got[r.Seq] = true
			if f, ok := want[r.Seq]; ok {
				detail := fmt.Sprintf("of row %d (f.csv line %d)", f, f+1)
				if segments > 0 && r.Detail == fmt.Sprintf("of row %d", f) {
					detail = r.Detail // the line of a row before the segment is not kept
				}
				if r.Reason != ReasonDuplicate || r.Line != int(r.Seq)+1 || r.File != "f.csv" || r.Detail != detail {
					return fmt.Errorf("reject %+v", r)
				}
			} else if !rejected[r.Seq] {
				return fmt.Errorf("row %d was rejected: %+v", r.Seq, r)
			}
			return nil
		}); err != nil {
			rt.Fatal(err)
		}
		if len(got) != len(want)+len(rejected) {
			rt.Fatalf("rejected %v, want %v and %v", got, want, rejected)
		}
		for a, seq := range first {
			local, domain, _ := strings.Cut(a, "@@")
			r, err := c.Lookup(local, domain)
			if err != nil || r.Seq != seq {
				rt.Fatalf("%q: %+v, %v", a, r, err)
			}
		}
		rep, err := l.Verify(context.Background())
		if err != nil || !rep.OK() {
			rt.Fatal(err, rep.Problems)
		}
		if c.Totals().Streaming || c.Totals().Rows != uint64(n) {
			rt.Fatalf("%+v", c.Totals())
		}
	})
}

func TestKilledLoadLeavesNothing(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	l := openLedger(t, "data", Options{fs: disk, smallLoad: 1, chunkBytes: 200})
	ld, err := l.Create(t.Context(), Meta{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range people(100, 5) {
		if err := ld.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Create(t.Context(), Meta{Name: "c"}); !errors.Is(err, ErrExists) {
		t.Errorf("second create: %v", err)
	}
	if _, err := l.Campaign("c"); !errors.Is(err, ErrNoCampaign) {
		t.Errorf("a campaign that is being loaded: %v", err)
	}
	after := openLedger(t, "data", Options{fs: disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: newRand(1)})})
	names, err := after.fs.List("data")
	if err != nil || len(names) != 1 {
		t.Errorf("left in the folder: %v, %v", names, err)
	}
	if list, err := after.Campaigns(); err != nil || len(list) != 0 {
		t.Errorf("campaigns %v, %v", list, err)
	}
	c := load(t, after, "c", people(30, 2))
	if c.Number() < 2 {
		t.Errorf("number %d was used again", c.Number())
	}
	if err := ld.Abort(); err != nil {
		t.Fatal(err)
	}
	load(t, l, "c", people(3, 1))
	if _, err := l.Create(t.Context(), Meta{Name: "c"}); !errors.Is(err, ErrExists) {
		t.Errorf("create of a loaded one: %v", err)
	}
}

func TestLoadIsWholeOrNothingAtEveryMoment(t *testing.T) {
	t.Parallel()
	// The disk is cloned, as if power went, whenever a load writes.
	for _, small := range []int{1, 1000} {
		disk := vfs.NewCrashableMem()
		var clones []*vfs.MemFS
		l := openLedger(t, "data", Options{fs: disk, smallLoad: small, chunkBytes: 500})
		ld, err := l.Create(t.Context(), Meta{Name: "c"})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range people(60, 4) {
			if err := ld.Add(r); err != nil {
				t.Fatal(err)
			}
			if i%20 == 0 {
				clones = append(clones, disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: newRand(uint64(i))}))
			}
		}
		if _, err := ld.Commit(t.Context(), nil, 60); err != nil {
			t.Fatal(err)
		}
		clones = append(clones, disk.CrashClone(vfs.CrashCloneCfg{}))
		for i, fs := range clones {
			after := openLedger(t, "data", Options{fs: fs})
			c, err := after.Campaign("c")
			if last := i == len(clones)-1; last != (err == nil) {
				t.Errorf("clone %d: %v", i, err)
			}
			if err == nil {
				if n, err := c.Counts(); err != nil || n[Pending] != 60 {
					t.Errorf("counts %v, %v", n, err)
				}
			}
			verify(t, after)
		}
	}
}

func TestRowsThatCannotBeLoadedAreRefused(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	ld, err := l.Create(t.Context(), Meta{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if err := ld.Add(Row{Seq: 5, Local: []byte("a"), Domain: []byte("d")}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []Row{
		{Seq: 5, Local: []byte("b"), Domain: []byte("d")},
		{Seq: 4, Local: []byte("b"), Domain: []byte("d")},
		{Seq: 6, Local: []byte("b")},
		{Seq: 6, Local: []byte("b"), Domain: []byte("d\x00e")},
		{Seq: 6, Local: []byte("b"), Domain: []byte(strings.Repeat("d", 254))},
	} {
		if err := ld.Add(r); err == nil {
			t.Errorf("row %+v was taken", r)
		}
	}
	if err := ld.Reject(Reject{Seq: 5}); !errors.Is(err, errOrder) {
		t.Errorf("reject out of order: %v", err)
	}
	if _, err := ld.Commit(t.Context(), nil, 2); err == nil {
		t.Error("a row is missing, and the load was committed")
	}
	if _, err := ld.Commit(t.Context(), nil, 1); err != nil {
		t.Fatal(err)
	}
	if err := ld.Add(Row{Seq: 9, Local: []byte("a"), Domain: []byte("d")}); !errors.Is(err, errLoaded) {
		t.Errorf("add after commit: %v", err)
	}
	for _, name := range []string{"", strings.Repeat("n", maxName+1)} {
		if _, err := l.Create(t.Context(), Meta{Name: name}); err == nil {
			t.Errorf("a name of %d bytes was taken", len(name))
		}
	}
}

func TestCancelledLoadCanBeAborted(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{smallLoad: 1, chunkBytes: 100})
	ld, err := l.Create(t.Context(), Meta{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range people(50, 5) {
		if err := ld.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ld.Commit(ctx, nil, 50); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: %v", err)
	}
	if err := ld.Abort(); err != nil {
		t.Fatal(err)
	}
	load(t, l, "c", people(5, 1))
}
