package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// deliver gives everybody of a campaign an outcome and marks it finished.
func deliver(t *testing.T, l *Ledger, c *Campaign) {
	t.Helper()
	resume(t, c, day, Retry)
	if err := c.Domains(func(d *Domain) bool {
		var b Batch
		for d.Fresh() > 0 {
			if err := d.ReadFresh(&b, 64); err != nil {
				t.Fatal(err)
			}
			leaseNow(t, l, &b)
			for i, r := range b.Recipients {
				s := Settlement{Domain: d, Seq: r.Seq, State: Delivered, Attempted: true, At: day, Code: 250, Text: "Ok"}
				if i%4 == 3 {
					s.State, s.Code, s.Text = Bounced, 550, fmt.Sprintf("no user%d here", r.Seq)
				}
				l.Settle(&s)
			}
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.MarkStarted(t.Context(), day), c.MarkFinished(t.Context(), day)); err != nil {
		t.Fatal(err)
	}
}

// keysOf counts what is stored of a campaign.
func keysOf(t *testing.T, l *Ledger, number uint32) (n int) {
	t.Helper()
	for _, space := range campaignSpaces {
		lower, upper := campaignBounds(space, number)
		iter, err := l.db.NewIter(nil)
		if err != nil {
			t.Fatal(err)
		}
		for ok := iter.SeekGE(lower); ok && string(iter.Key()) < string(upper); ok = iter.Next() {
			n++
		}
		if err := iter.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func learned(t *testing.T, l *Ledger, kind string) (keys []string) {
	t.Helper()
	if err := l.ForEachLearned(kind, func(key string, _ []byte) error { keys = append(keys, key); return nil }); err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestDeletedCampaignLeavesNothing(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	l := newLedger(t, Options{fs: disk})
	gone, stays := load(t, l, "spring", people(100, 5)), load(t, l, "spring-2", people(10, 2))
	deliver(t, l, gone)
	deliver(t, l, stays)
	for _, key := range []string{"spring\x00", "spring\x00google", "spring-2\x00google", "\x00google"} {
		if err := errors.Join(l.Learn("pause", key, []byte("x")), l.Learn("limits", key, []byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	var b Batch
	d := gone.domain("d0.example")
	d.SetSite("later") // waits for the writer, who must not bring the domain back
	if err := gone.Delete(t.Context(), "pause"); err != nil {
		t.Fatal(err)
	}
	d.SetTrouble("none", day, day)
	l.Settle(&Settlement{Domain: d, Seq: 1, State: Bounced})
	check := func(l *Ledger) {
		t.Helper()
		verify(t, l)
		if n := keysOf(t, l, 1); n != 0 {
			t.Errorf("%d keys are left", n)
		}
		if got := fmt.Sprintf("%q", learned(t, l, "pause")); got != `["\x00google" "spring-2\x00google"]` {
			t.Errorf("pauses left: %s", got)
		}
		if n := len(learned(t, l, "limits")); n != 4 {
			t.Errorf("%d limits left, want 4", n)
		}
		all, err := l.Campaigns()
		if err != nil || len(all) != 1 || all[0].Name() != "spring-2" {
			t.Errorf("campaigns %v, %v", all, err)
		}
		if _, err := l.Campaign("spring"); !errors.Is(err, ErrNoCampaign) {
			t.Errorf("campaign: %v", err)
		}
		attempts := events(t, l, EventFilter{Kinds: []string{"attempt"}}, 1)
		for _, e := range attempts {
			if e.Campaign != "spring-2" {
				t.Errorf("event of %q", e.Campaign)
			}
		}
		if told := events(t, l, EventFilter{Campaigns: []string{"spring"}}, 1); len(attempts) != 10 || words(told) != "created loaded started finished deleted" {
			t.Errorf("%d attempts, of the deleted one: %s", len(attempts), words(told))
		}
		if n, err := l.Erase(t.Context(), "user0", "d0.example"); err != nil || n > 1 {
			t.Errorf("erased %d, %v", n, err)
		}
	}
	check(l)
	for name, err := range map[string]error{
		"delete": gone.Delete(t.Context()),
		"read":   d.ReadFresh(&b, 1),
		"mark":   gone.MarkStarted(t.Context(), day),
		"set":    gone.SetSettings(t.Context(), nil),
		"list":   gone.Outcomes(t.Context(), Listing{}, func(*Outcome) error { return nil }),
		"reject": gone.Rejects(t.Context(), func(*Reject) error { return nil }),
		"counts": second(gone.Counts()),
		"report": second(gone.Report(t.Context())),
		"lookup": second(gone.Lookup("user0", "d0.example")),
		"meta":   second(gone.Meta()),
		"resume": second(gone.Resume(t.Context(), day, Retry)),
	} {
		if !errors.Is(err, ErrNoCampaign) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = newLedger(t, Options{fs: disk})
	check(l)
	// The name is free, and its next bearer is another campaign.
	again := load(t, l, "spring", people(3, 1))
	if again.Number() != 3 {
		t.Errorf("number %d, want 3", again.Number())
	}
	deliver(t, l, again)
	if counts, err := again.Counts(); err != nil || counts[Delivered] != 3 {
		t.Errorf("counts %v, %v", counts, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestWhatHasNotEndedIsNotDeleted(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	c := load(t, l, "c", people(4, 1))
	if err := c.Delete(t.Context()); !errors.Is(err, ErrNotEnded) {
		t.Errorf("pending: %v", err)
	}
	ld, err := l.Create(t.Context(), Meta{Name: "parts"})
	if err != nil {
		t.Fatal(err)
	}
	if err := ld.Add(people(1, 1)[0]); err != nil {
		t.Fatal(err)
	}
	part, err := ld.Segment(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(part.MarkCancelled(t.Context(), day), part.MarkFinished(t.Context(), day)); err != nil {
		t.Fatal(err)
	}
	if err := part.Delete(t.Context()); !errors.Is(err, ErrNotEnded) {
		t.Errorf("being loaded: %v", err)
	}
	if err := ld.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := part.Delete(t.Context()); err != nil {
		t.Errorf("load given up: %v", err)
	}
	verify(t, l)
}

// TestReadersOfADeletedCampaignEnd: whoever reads while it goes sees all of it
// or the reason why not, and the proof holds at every moment.
func TestReadersOfADeletedCampaignEnd(t *testing.T) {
	t.Parallel()
	// Small ones go between a reader's look and its view, large ones while it reads.
	for _, size := range []struct{ rows, times int }{{60, 25}, {6000, 1}} {
		t.Run(fmt.Sprint(size.rows), func(t *testing.T) {
			t.Parallel()
			l := newLedger(t, Options{})
			other := load(t, l, "other", people(50, 7))
			for range size.times {
				readWhileDeleted(t, l, size.rows)
			}
			if counts, err := other.Counts(); err != nil || counts[Pending] != 50 {
				t.Errorf("the other campaign: %v, %v", counts, err)
			}
		})
	}
}

// readWhileDeleted loads a campaign, and deletes it when everybody has begun to
// read it. A reader goes round until he is told that it is gone, and at most
// once more after it is.
func readWhileDeleted(t *testing.T, l *Ledger, rows int) {
	c := load(t, l, "c", people(rows, 7))
	deliver(t, l, c)
	all := uint64(rows)
	whole := func(n uint64, err error) error {
		if err == nil && n != all {
			err = fmt.Errorf("%d of %d", n, all)
		}
		return err
	}
	reads := map[string]func() error{
		"report": func() error {
			r, err := c.Report(context.Background())
			if err != nil {
				return err
			}
			return whole(r.Counts.Sum(), nil)
		},
		"outcomes": func() error {
			n := uint64(0)
			err := c.Outcomes(context.Background(), Listing{Filter: Filter{States: []State{Delivered, Bounced}}}, func(*Outcome) error { n++; return nil })
			return whole(n, err)
		},
		"lookup": func() error { return second(c.Lookup("user1", "d1.example")) },
		"counts": func() error {
			counts, err := c.Counts()
			return whole(counts.Sum(), err)
		},
		"meta": func() error {
			m, err := c.Meta()
			if err == nil && string(m.Snapshot) != "snap" {
				err = fmt.Errorf("snapshot %q", m.Snapshot)
			}
			return err
		},
		"rejects": func() error {
			return c.Rejects(context.Background(), func(*Reject) error { return nil })
		},
		"find": func() error {
			found := ErrNoCampaign
			err := l.Find(context.Background(), "user1", "d1.example", 0, func(of *Campaign, r *Record) error {
				if of.Number() == c.Number() {
					found = nil
				}
				return nil
			})
			return errors.Join(err, found)
		},
		"verify": func() error {
			r, err := l.Verify(context.Background())
			if err == nil && !r.OK() {
				err = fmt.Errorf("%v", r.Problems)
			}
			return errors.Join(err, c.exists())
		},
	}
	var readers, begun sync.WaitGroup
	ended := make(chan struct{})
	begun.Add(len(reads))
	for name, once := range reads {
		readers.Go(func() {
			err := once()
			begun.Done()
			for err == nil {
				last := false
				select {
				case <-ended:
					last = true
				default:
				}
				if err = once(); err == nil && last {
					err = errors.New("reads what is gone")
				}
			}
			if !errors.Is(err, ErrNoCampaign) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	begun.Wait()
	err := c.Delete(context.Background())
	close(ended)
	readers.Wait()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDeletionIsWholeOrNothingAtEveryMoment takes the disk as a crash would
// leave it before each thing done to it while a campaign is deleted.
func TestDeletionIsWholeOrNothingAtEveryMoment(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	crashes := newCrashes(disk)
	l := newLedger(t, Options{fs: errorfs.Wrap(disk, crashes), smallLoad: 1})
	c := load(t, l, "c", people(300, 7))
	deliver(t, l, c)
	load(t, l, "other", people(20, 3))
	if err := l.Learn("pause", "c\x00", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	crashes.watch()
	err := c.Delete(t.Context(), "pause")
	after := crashes.end()
	if err != nil {
		t.Fatal(err)
	}
	there, gone := 0, 0
	for _, fs := range after {
		l, err := Open("data", Options{fs: fs})
		if err != nil {
			t.Fatal(err)
		}
		verify(t, l)
		c, err := l.Campaign("c")
		pauses := len(learned(t, l, "pause"))
		switch {
		case errors.Is(err, ErrNoCampaign):
			gone++
			if n := keysOf(t, l, 1); n != 0 || pauses != 0 {
				t.Errorf("gone, but %d keys and %d pauses are left", n, pauses)
			}
		case err != nil:
			t.Error(err)
		default:
			there++
			if counts, err := c.Counts(); err != nil || counts.Sum() != 300 || pauses != 1 {
				t.Errorf("there, with %v, %d pauses, %v", counts, pauses, err)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if gone == 0 || there == 0 {
		t.Errorf("%d crashes came before the deletion and %d after it", there, gone)
	}
}

// TestErasureOfADeletedCampaignBringsNothingBack: the address was found before
// the campaign went, and is taken out after.
func TestErasureOfADeletedCampaignBringsNothingBack(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	c := load(t, l, "c", people(10, 1))
	stays := load(t, l, "stays", people(10, 1))
	deliver(t, l, c)
	e := &erasure{ledger: l, local: []byte("user3"), domain: "d0.example"}
	defer e.close()
	if err := eachCampaign(l.db, e.campaign); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.writer.do(t.Context(), e.apply); err != nil {
		t.Fatal(err)
	}
	if n := keysOf(t, l, c.Number()); n != 0 {
		t.Errorf("%d keys came back", n)
	}
	if _, err := stays.Lookup("user3", "d0.example"); !errors.Is(err, ErrNoRecipient) {
		t.Errorf("in the campaign that stays: %v", err)
	}
	verify(t, l)
}

// TestFindPassesOverAnotherCampaignOfTheName: one is deleted while its address
// is looked for, and its name given to another.
func TestFindPassesOverAnotherCampaignOfTheName(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	old := load(t, l, "c", people(5, 1))
	deliver(t, l, old)
	load(t, l, "newer", people(5, 1))
	var found []string
	if err := l.Find(t.Context(), "user1", "d0.example", 0, func(c *Campaign, r *Record) error {
		found = append(found, fmt.Sprint(c.Name(), c.Number(), r.State))
		if c.Name() != "newer" {
			return nil
		}
		if err := old.Delete(t.Context()); err != nil {
			return err
		}
		load(t, l, "c", people(5, 1))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 {
		t.Errorf("found %q, of which only that of newer is there", found)
	}
}

func TestDeletedCampaignsSpaceComesBack(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{fs: vfs.NewMem()})
	rows := people(50_000, 50)
	noise := rand.New(rand.NewPCG(3, 4))
	for i := range rows {
		rows[i].Fields = make([]byte, 100)
		for j := range rows[i].Fields {
			rows[i].Fields[j] = byte(noise.Uint32())
		}
	}
	c := load(t, l, "c", rows)
	deliver(t, l, c)
	before := l.Stats().DiskBytes
	if err := c.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); ; {
		left := l.Stats().DiskBytes
		if left < before/3 {
			t.Logf("%d octets before, %d after", before, left)
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%d octets before, %d after\n%s", before, left, l.db.Metrics())
		}
	}
}
