package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestHeldDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, dir string
		fs        vfs.FS
	}{{"memory", "data", vfs.NewMem()}, {"disk", t.TempDir(), vfs.Default}} {
		l := openLedger(t, c.dir, Options{fs: c.fs})
		if _, err := Open(c.dir, Options{fs: c.fs}); !errors.Is(err, ErrHeld) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		openLedger(t, c.dir, Options{fs: c.fs})
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	l := newLedger(t, Options{fs: disk})
	if err := l.writer.do(t.Context(), func(g *group) error {
		return g.batch.Set(keyFormat, binary.AppendUvarint(nil, formatVersion+1), nil)
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := Open("data", Options{fs: disk})
		if !errors.Is(err, ErrNewerFormat) || !strings.Contains(err.Error(), fmt.Sprintf("format is %d", formatVersion+1)) {
			t.Errorf("open: %v", err)
		}
	}
}

func TestNewerPebbleIsRefused(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	l := newLedger(t, Options{fs: disk})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := disk.List("data/state")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "marker.format-version.") {
			if err := disk.Rename("data/state/"+name, "data/state/marker.format-version.000999.999"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := Open("data", Options{fs: disk}); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("open: %v", err)
	}
}

func TestSecretIsMadeOnce(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	l := newLedger(t, Options{fs: disk})
	first := l.Secret()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := newLedger(t, Options{fs: disk})
	if len(first) != 32 || !bytes.Equal(first, again.Secret()) || bytes.Equal(first, make([]byte, 32)) {
		t.Errorf("secrets %x and %x", first, again.Secret())
	}
}

func TestLowSpaceStopsLeasesAndLoads(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1000})
	var told []bool
	l := newLedger(t, Options{fs: disk, MinFree: 500, LowSpace: func(low bool) { told = append(told, low) }})
	// The watch looks when it is told to here, not by the clock.
	l.space.stop()
	defer func() { l.space = &spaceWatch{ledger: l, quit: make(chan struct{}), soon: make(chan struct{}, 1)} }()
	c := load(t, l, "c", people(10, 1))
	resume(t, c, day, Retry)
	d := c.domain("d0.example")
	var b Batch
	if err := d.ReadFresh(&b, 5); err != nil {
		t.Fatal(err)
	}
	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 499})
	l.space.look()
	var err error
	l.Lease(&b, func(_ *Batch, e error) { err = e })
	if !errors.Is(err, ErrLowSpace) {
		t.Errorf("lease: %v", err)
	}
	if _, err := l.Create(t.Context(), Meta{Name: "d"}); !errors.Is(err, ErrLowSpace) {
		t.Errorf("create: %v", err)
	}
	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 500})
	l.space.look()
	leaseNow(t, l, &b)
	for _, r := range b.Recipients {
		l.Settle(&Settlement{Domain: d, Seq: r.Seq, State: Delivered, Attempted: true, At: day})
	}
	if len(told) != 2 || !told[0] || told[1] {
		t.Errorf("told %v", told)
	}
}

func TestBackupOpensAndVerifies(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	l := newLedger(t, Options{fs: disk, smallLoad: 1})
	c := load(t, l, "c", people(100, 3))
	resume(t, c, day, Retry)
	d := c.domain("d1.example")
	var b Batch
	if err := d.ReadFresh(&b, 10); err != nil {
		t.Fatal(err)
	}
	leaseNow(t, l, &b)
	l.Settle(&Settlement{Domain: d, Seq: b.Recipients[0].Seq, State: Bounced, Attempted: true, At: day, Code: 550})
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Backup("copy/of it"); err != nil {
		t.Fatal(err)
	}
	if err := l.Backup("copy/of it"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("backup over a backup: %v", err)
	}
	after := openLedger(t, "copy/of it", Options{fs: disk.CrashClone(vfs.CrashCloneCfg{})})
	cc, err := after.Campaign("c")
	if err != nil {
		t.Fatal(err)
	}
	if n := resume(t, cc, day, Hold); n != 9 {
		t.Errorf("%d uncertain in the copy, want 9", n)
	}
	if n, _ := cc.Counts(); n[Bounced] != 1 || n[Uncertain] != 9 || n[Pending] != 90 {
		t.Errorf("counts %v", n)
	}
	m, err := cc.Meta()
	if err != nil || string(m.Snapshot) != "snap" || string(m.Settings) != "set" || string(m.Columns) != "cols" {
		t.Errorf("meta %q, %v", m, err)
	}
}

// onDisk tells in which files a text can be found.
func onDisk(t *testing.T, disk *vfs.MemFS, l *Ledger, text string) (found []string) {
	t.Helper()
	// What tables hold is compressed: look through an iterator over everything.
	iter, err := l.db.NewIter(&pebble.IterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer iter.Close()
	for ok := iter.First(); ok; ok = iter.Next() {
		if bytes.Contains(bytes.ToLower(iter.Value()), []byte(text)) || bytes.Contains(iter.Key(), []byte(text)) {
			found = append(found, string(iter.Key()))
		}
	}
	return found
}

func TestErasedAddressIsGoneAndCountsStay(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	l := newLedger(t, Options{fs: disk, smallLoad: 1})
	for _, name := range []string{"one", "two"} {
		ld, err := l.Create(t.Context(), Meta{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []Row{
			{Seq: 1, Local: []byte("jane.doe"), Domain: []byte("d.example"), Fields: []byte("jane.doe's fields")},
			{Seq: 2, Local: []byte("other"), Domain: []byte("d.example")},
			{Seq: 3, Local: []byte("jane.doe"), Domain: []byte("d.example"), Fields: []byte("again")},
			{Seq: 4, Local: []byte("jane.doe"), Domain: []byte("e.example"), Fields: []byte("somebody else")},
		} {
			if err := ld.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ld.Commit(t.Context(), nil, 4); err != nil {
			t.Fatal(err)
		}
	}
	one, _ := l.Campaign("one")
	two, _ := l.Campaign("two")
	for _, c := range []*Campaign{one, two} {
		resume(t, c, day, Retry)
	}
	// Sent in one, still to be sent in two.
	d := one.domain("d.example")
	var b Batch
	if err := d.ReadFresh(&b, 2); err != nil {
		t.Fatal(err)
	}
	leaseNow(t, l, &b)
	l.Settle(&Settlement{Domain: d, Seq: 1, State: Bounced, Attempted: true, At: day, Code: 550, Text: "no such user Jane.Doe@d.example here"})
	l.Settle(&Settlement{Domain: d, Seq: 2, State: Delivered, Attempted: true, At: day, Code: 250, Text: "ok"})
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Erase(t.Context(), "jane.doe", "d.example"); err != nil || n != 4 {
		t.Fatalf("erased %d, %v; want two recipients and two rejects", n, err)
	}
	if n, err := l.Erase(t.Context(), "jane.doe", "d.example"); err != nil || n != 0 {
		t.Errorf("second time %d, %v", n, err)
	}
	for _, c := range []*Campaign{one, two} {
		if _, err := c.Lookup("jane.doe", "d.example"); !errors.Is(err, ErrNoRecipient) {
			t.Errorf("look up in %s: %v", c.Name(), err)
		}
		if _, err := c.Lookup("jane.doe", "e.example"); err != nil {
			t.Errorf("somebody else in %s: %v", c.Name(), err)
		}
	}
	for _, text := range []string{"jane.doe's", "jane.doe@d.example", "again"} {
		if found := onDisk(t, disk, l, text); len(found) > 0 {
			t.Errorf("%q is still in %q", text, found)
		}
	}
	verify(t, l)
	// Whoever was still to be tried is passed over and cancelled.
	d = two.domain("d.example")
	if err := d.ReadFresh(&b, 2); err != nil {
		t.Fatal(err)
	}
	if len(b.Recipients) != 1 || b.Recipients[0].Seq != 2 {
		t.Fatalf("read %+v", b.Recipients)
	}
	leaseNow(t, l, &b)
	l.Return(d, 2)
	verify(t, l)
	if n, _ := two.Counts(); n[Cancelled] != 1 || n[Pending] != 2 {
		t.Errorf("counts %v", n)
	}
	r, err := one.Report(t.Context())
	if err != nil || r.Counts[Bounced] != 1 || r.Counts[Delivered] != 1 || r.Rejects[ReasonDuplicate] != 1 {
		t.Errorf("report %+v, %v", r, err)
	}
}

func TestEventsAreNumberedWithoutGaps(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	l := newLedger(t, Options{fs: disk})
	c := load(t, l, "c", people(30, 3))
	resume(t, c, day, Retry)
	peer := l.Peer("mx.example", addrPort("[2001:db8::1]:25"), "a", "TLS1.3")
	if peer != l.Peer("mx.example", addrPort("[2001:db8::1]:25"), "a", "TLS1.3") {
		t.Error("two pointers for one peer")
	}
	sent := make(map[Seq]bool)
	send := func(l *Ledger, c *Campaign) {
		if err := c.Domains(func(d *Domain) bool {
			var b Batch
			if err := d.ReadFresh(&b, 3); err != nil {
				t.Fatal(err)
			}
			leaseNow(t, l, &b)
			for i, r := range b.Recipients {
				if i == 0 {
					l.Return(d, r.Seq)
					continue
				}
				sent[r.Seq] = true
				l.Settle(&Settlement{
					Domain: d, Seq: r.Seq, State: Delivered, Attempted: true, Via: peer, At: day, Took: 1234 * time.Microsecond,
					Command: 7, Code: 250, Enhanced: [3]uint16{2, 6, 0}, Text: "queued as 123", Anomaly: 1,
				})
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	send(l, c)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = newLedger(t, Options{fs: disk})
	if c, err := l.Campaign("c"); err != nil {
		t.Fatal(err)
	} else {
		resume(t, c, day, Retry)
		send(l, c)
	}
	all := events(t, l, EventFilter{}, 1)
	if all[0].Notice == nil || all[0].Notice.Change != ChangeCreated || all[1].Notice.Change != ChangeLoaded || len(all) != 2+len(sent) {
		t.Fatalf("%d events, sent %d, the first of them %+v", len(all), len(sent), all[0])
	}
	for i, e := range all {
		if e.Number != uint64(i+1) || e.Campaign != "c" {
			t.Errorf("event %d: %+v", i+1, e)
		}
		if i < 2 {
			continue
		}
		a := e.Attempt
		if !sent[e.Seq] || e.Local+"@"+e.Domain != addressOf(people(30, 3), e.Seq) ||
			a.Number != 1 || a.Host != "mx.example" || a.Addr != peer.Addr || a.TLS != "TLS1.3" || a.Source != "a" || a.Took != 1234*time.Microsecond ||
			a.Command != 7 || a.Code != 250 || a.Enhanced != [3]uint16{2, 6, 0} || a.Text != "queued as 123" || a.Anomaly != 1 || !a.At.Equal(day) || !a.Attempted {
			t.Errorf("event %+v", e)
		}
	}
	// From any number on, in batches of any size.
	for from := range all {
		for _, most := range []int{1, 2, 3, 7, 100} {
			r := eventReader(t, l, EventFilter{})
			next := uint64(from + 1)
			for i := from; i < len(all); {
				list, then, err := r.Read(t.Context(), next, most)
				if err != nil || then != next+uint64(len(list)) || len(list) != min(most, len(all)-i) {
					t.Fatalf("from %d, at most %d: %d events, then %d, %v", next, most, len(list), then, err)
				}
				for _, e := range list {
					if e.Number != all[i].Number || e.Seq != all[i].Seq {
						t.Fatalf("from %d, at most %d: %+v is not %+v", next, most, e, all[i])
					}
					i++
				}
				next = then
			}
			if next != l.NextEvent() {
				t.Errorf("the last read ended at %d, the next event is %d", next, l.NextEvent())
			}
		}
	}
}

func TestLearnedOutlastsARestart(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	l := newLedger(t, Options{fs: disk})
	for _, err := range []error{
		l.Learn("host", "b", []byte("2")), l.Learn("host", "a", []byte("1")), l.Learn("hostile", "c", []byte("3")),
		l.Learn("host", "x", []byte("9")), l.Learn("host", "x", nil), l.Flush(t.Context()), l.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	l = newLedger(t, Options{fs: disk})
	got := ""
	if err := l.ForEachLearned("host", func(k string, v []byte) error { got += k + string(v); return nil }); err != nil || got != "a1b2" {
		t.Errorf("learned %q, %v", got, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Learn("host", "a", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	if _, err := l.Campaigns(); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

func TestTroubleCountsAsDeferredInTheReport(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	c := load(t, l, "c", people(10, 2))
	d := c.domain
	if _, err := c.Counts(); err != nil {
		t.Fatal(err)
	}
	d("d0.example").SetTrouble("no DNS", day, day.Add(time.Hour))
	d("d0.example").SetTrouble("still no DNS", day.Add(time.Minute), day.Add(2*time.Hour))
	d("d0.example").SetSite("s")
	d("d1.example").SetSite("s")
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := c.Report(t.Context())
	if err != nil || r.Counts[Deferred] != 5 || r.Counts[Pending] != 5 || len(r.Sites) != 1 {
		t.Fatalf("report %+v, %v", r, err)
	}
	if s := r.Sites[0]; s.Site != "s" || s.Domains != 2 || s.Trouble != 1 || s.Reason != "still no DNS" {
		t.Errorf("site %+v", s)
	}
	if tr, ok := d("d0.example").Trouble(); !ok || !tr.Since.Equal(day) {
		t.Errorf("trouble %+v", tr)
	}
	d("d0.example").ClearTrouble()
	d("d1.example").ClearTrouble()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, _ := c.Report(t.Context()); r.Counts[Deferred] != 0 {
		t.Errorf("cleared, and %v", r.Counts)
	}
}

func TestSettlingTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	c := load(t, l, "c", people(5, 1))
	resume(t, c, day, Retry)
	d := c.domain("d0.example")
	var b Batch
	if err := d.ReadFresh(&b, 3); err != nil {
		t.Fatal(err)
	}
	leaseNow(t, l, &b)
	s := Settlement{Domain: d, Seq: 1, State: Delivered, Attempted: true, At: day}
	l.SettleAll([]Settlement{s, s})
	s.State = Bounced
	l.Settle(&s)
	l.Return(d, 1, 4)
	l.Return(d)
	verify(t, l)
	if st := l.Stats(); st.Strays != 4 || st.Settled != 1 || st.Commits == 0 || st.DiskBytes == 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestExportAndMarks(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	c := load(t, l, "c", append(people(4, 2), Row{Seq: 9, Local: []byte("s"), Domain: []byte("z"), Suppressed: true}))
	resume(t, c, day, Retry)
	d := c.domain("d0.example")
	var b Batch
	if err := d.ReadFresh(&b, 1); err != nil {
		t.Fatal(err)
	}
	leaseNow(t, l, &b)
	l.Settle(&Settlement{Domain: d, Seq: 1, State: Deferred, Attempted: true, At: day, Due: day.Add(time.Hour), Code: 450, Text: "later"})
	for _, err := range []error{
		c.MarkStarted(t.Context(), day), c.MarkStarted(t.Context(), day.Add(time.Hour)), c.MarkFinished(t.Context(), day.Add(2*time.Hour)),
		c.SetSettings(t.Context(), []byte("new")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	if err := c.Outcomes(t.Context(), Listing{Filter: Filter{States: []State{Deferred, Suppressed}}}, func(r *Outcome) error {
		got = append(got, r.Local+"@"+r.Domain)
		if r.Last == nil || r.Last.State != r.State || r.State == Deferred && (r.Attempts != 1 || r.Last.Text != "later" || !r.Last.Due.Equal(day.Add(time.Hour))) {
			t.Errorf("row %+v", r)
		}
		return nil
	}); err != nil || strings.Join(got, " ") != "user0@d0.example s@z" {
		t.Errorf("exported %q, %v", got, err)
	}
	tot := c.Totals()
	if !tot.Started.Equal(day) || !tot.Finished.Equal(day.Add(2*time.Hour)) || tot.Loaded != 5 {
		t.Errorf("totals %+v", tot)
	}
	if m, err := c.Meta(); err != nil || string(m.Settings) != "new" {
		t.Errorf("meta %q, %v", m, err)
	}
}

// Many goroutines read, lease, settle and hand back at once, while reports and
// proofs run: nobody is handed out twice at a time, and everybody ends.
func TestReadersSettlersAndReportsTogether(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{SyncEvery: 50 * time.Microsecond, smallLoad: 1, Now: func() time.Time { return day }})
	c := load(t, l, "c", people(3000, 5))
	resume(t, c, day, Retry)
	var mu sync.Mutex
	out := make(map[Seq]bool)
	tries := make(map[Seq]int)
	var wg sync.WaitGroup
	if err := c.Domains(func(d *Domain) bool {
		for worker := range 3 {
			wg.Go(func() {
				var b Batch
				for {
					err := d.ReadFresh(&b, 7)
					if err == nil && b.Empty() {
						err = d.ReadDue(&b, day.Add(time.Hour), 7)
					}
					if err != nil {
						t.Error(err)
						return
					}
					if b.Empty() {
						if err := l.Flush(t.Context()); err != nil {
							t.Error(err)
							return
						}
						if n := d.Counts(); n[Pending]+n[Deferred] == 0 {
							return
						}
						continue
					}
					mu.Lock()
					for _, r := range b.Recipients {
						if out[r.Seq] {
							t.Errorf("recipient %d was handed out twice", r.Seq)
						}
						out[r.Seq] = true
						tries[r.Seq]++
					}
					mu.Unlock()
					done := make(chan error, 1)
					l.Lease(&b, func(_ *Batch, err error) { done <- err })
					if err := <-done; err != nil {
						t.Error(err)
						return
					}
					for _, r := range b.Recipients {
						mu.Lock()
						delete(out, r.Seq)
						n := tries[r.Seq]
						mu.Unlock()
						switch {
						case n == 1 && int(r.Seq)%5 == worker:
							l.Return(d, r.Seq)
						case n < 3 && r.Seq%4 == 0:
							l.Settle(&Settlement{Domain: d, Seq: r.Seq, State: Deferred, Attempted: true, At: day, Due: day.Add(time.Minute), Code: 450, Text: "later"})
						default:
							l.Settle(&Settlement{Domain: d, Seq: r.Seq, State: Delivered, Attempted: true, At: day, Code: 250, Text: "ok"})
						}
					}
				}
			})
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	wg.Go(func() {
		for range 5 {
			if r, err := c.Report(t.Context()); err != nil || r.Counts.Sum() != 3000 {
				t.Errorf("report %+v, %v", r, err)
			}
			if r, err := l.Verify(t.Context()); err != nil || !r.OK() {
				t.Errorf("verify %+v, %v", r.Problems, err)
			}
		}
	})
	wg.Wait()
	verify(t, l)
	if n, _ := c.Counts(); n[Delivered] != 3000 {
		t.Errorf("counts %v", n)
	}
	if s := l.Stats(); s.Strays != 0 {
		t.Errorf("%d strays", s.Strays)
	}
}
