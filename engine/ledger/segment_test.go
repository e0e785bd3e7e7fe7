package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestNothingIsTakenIntoACancelledCampaign: its load ends with the mark, so that
// it can be deleted.
func TestNothingIsTakenIntoACancelledCampaign(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	l, ld, c, rows := streaming(t, disk, Options{})
	if err := c.MarkCancelled(t.Context(), day); err != nil {
		t.Fatal(err)
	}
	add(t, ld, rows[20:])
	if _, err := ld.Segment(t.Context(), nil); !errors.Is(err, ErrCancelled) {
		t.Errorf("a segment: %v", err)
	}
	if err := ld.Abort(); err != nil {
		t.Fatal(err)
	}
	check := func(l *Ledger, c *Campaign) {
		t.Helper()
		if n := c.Totals(); n.Streaming || n.Loaded != 20 {
			t.Errorf("totals %+v", n)
		}
		if _, _, err := l.Continue("c"); !errors.Is(err, ErrExists) {
			t.Errorf("continue: %v", err)
		}
		verify(t, l)
	}
	check(l, c)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = newLedger(t, Options{fs: disk})
	c, err := l.Campaign("c")
	if err != nil {
		t.Fatal(err)
	}
	check(l, c)
	resume(t, c, day, Hold)
	if err := errors.Join(c.MarkFinished(t.Context(), day), c.Delete(t.Context())); err != nil {
		t.Fatal(err)
	}
	verify(t, l)
}

// streaming is a ledger with a campaign of 60 recipients, the first 20 of them
// loaded and five of them leased.
func streaming(t *testing.T, disk vfs.FS, opt Options) (*Ledger, *Loader, *Campaign, []Row) {
	t.Helper()
	opt.fs, opt.smallLoad, opt.chunkBytes = disk, 5, 300
	l := openLedger(t, "data", opt)
	ld, err := l.Create(t.Context(), Meta{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	rows := people(60, 4)
	rows[50].Suppressed, rows[51].Domain = true, []byte("new.example")
	add(t, ld, rows[:20])
	c, err := ld.Segment(t.Context(), []byte(`["a"]`))
	if err != nil {
		t.Fatal(err)
	}
	resume(t, c, day, Retry)
	var b Batch
	if err := c.domain("d0.example").ReadFresh(&b, 5); err != nil {
		t.Fatal(err)
	}
	leaseNow(t, l, &b)
	return l, ld, c, rows
}

func add(t *testing.T, ld *Loader, rows []Row) {
	t.Helper()
	for _, r := range rows {
		if err := ld.Add(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSegmentIsWholeOrNothingAtEveryMoment(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	crashes := newCrashes(disk)
	_, ld, c, rows := streaming(t, errorfs.Wrap(disk, crashes), Options{})
	add(t, ld, rows[20:])
	crashes.watch()
	if _, err := ld.Commit(t.Context(), nil, 60); err != nil {
		t.Fatal(err)
	}
	clones := crashes.end()
	if c.Totals().Streaming || c.domain("new.example").Fresh() != 1 {
		t.Errorf("after commit: %+v", c.Totals())
	}
	found := make(map[bool]int)
	for i, fs := range clones {
		after, err := Open("data", Options{fs: fs, smallLoad: 5, chunkBytes: 300})
		if err != nil {
			t.Fatal(err)
		}
		c, err := after.Campaign("c")
		if err != nil {
			t.Fatalf("clone %d: %v", i, err)
		}
		whole := !c.Totals().Streaming
		found[whole]++
		n, err := c.Counts()
		if want := map[bool]uint64{false: 20, true: 60}[whole]; err != nil || n.Sum() != want || i == len(clones)-1 && !whole {
			t.Errorf("clone %d of %d, whole %v: counts %v, %v", i, len(clones), whole, n, err)
		}
		verify(t, after)
		if ld, there, err := after.Continue("c"); whole {
			if !errors.Is(err, ErrExists) {
				t.Errorf("clone %d is whole, continue: %v", i, err)
			}
		} else if err != nil || there != 20 {
			t.Errorf("clone %d: continue behind %d, %v", i, there, err)
		} else {
			add(t, ld, rows[20:])
			if _, err := ld.Commit(t.Context(), nil, 60); err != nil {
				t.Errorf("clone %d: %v", i, err)
			}
			verify(t, after)
		}
		if err := after.Close(); err != nil {
			t.Error(err)
		}
	}
	if found[false] < 5 || found[true] < 1 {
		t.Errorf("clones by whole: %v", found)
	}
}

func TestSegmentsGrowWhileTheyAreSent(t *testing.T) {
	t.Parallel()
	l, ld, c, rows := streaming(t, vfs.NewMem(), Options{})
	sent := make(map[Seq]bool)
	send := func() {
		if err := eachOf(c, func(d *Domain) error {
			for d.Fresh() > 0 {
				var b Batch
				if err := d.ReadFresh(&b, 3); err != nil {
					return err
				}
				leaseNow(t, l, &b)
				for _, r := range b.Recipients {
					if sent[r.Seq] {
						return fmt.Errorf("%d was handed out twice", r.Seq)
					}
					sent[r.Seq] = true
					l.Settle(&Settlement{Domain: d, Seq: r.Seq, State: Delivered, Attempted: true, At: day, Code: 250})
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	var wait sync.WaitGroup
	for from := 20; from < 60; from += 10 {
		add(t, ld, rows[from:from+10])
		wait.Go(send)
		if _, err := ld.Segment(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		wait.Wait()
		verify(t, l)
	}
	send()
	if _, err := l.Create(t.Context(), Meta{Name: "c"}); !errors.Is(err, ErrExists) {
		t.Errorf("create of one that streams: %v", err)
	}
	if _, _, err := l.Continue("c"); !errors.Is(err, ErrExists) {
		t.Errorf("continue of one that streams: %v", err)
	}
	if _, err := ld.Commit(t.Context(), nil, 60); err != nil {
		t.Fatal(err)
	}
	if len(sent) != 60-5-1 { // five are leased, one is suppressed
		t.Errorf("%d were sent to", len(sent))
	}
	verify(t, l)
	if m, err := c.Meta(); err != nil || string(m.Columns) != `["a"]` {
		t.Errorf("columns %s, %v", m.Columns, err)
	}
}

func TestAbortOfASegmentKeepsThoseBefore(t *testing.T) {
	t.Parallel()
	l, ld, c, rows := streaming(t, vfs.NewMem(), Options{})
	add(t, ld, rows[20:40])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ld.Segment(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("segment: %v", err)
	}
	if err := ld.Abort(); err != nil {
		t.Fatal(err)
	}
	if n := c.Totals(); n.Rows != 20 || !n.Streaming {
		t.Errorf("totals %+v", n)
	}
	verify(t, l)
	ld, there, err := l.Continue("c")
	if err != nil || there != 20 {
		t.Fatal(there, err)
	}
	if err := ld.Add(rows[19]); !errors.Is(err, errOrder) {
		t.Errorf("a row that is there: %v", err)
	}
	add(t, ld, rows[20:])
	if _, err := ld.Commit(t.Context(), nil, 40); err == nil {
		t.Error("rows are missing, and the load was committed")
	}
	if _, err := ld.Commit(t.Context(), nil, 60); err != nil {
		t.Fatal(err)
	}
	if list, err := l.fs.List("data"); err != nil || len(list) != 1 {
		t.Errorf("left in the folder: %v, %v", list, err)
	}
	verify(t, l)
}
