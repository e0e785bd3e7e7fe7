package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func eventReader(t *testing.T, l *Ledger, f EventFilter) *EventReader {
	t.Helper()
	r, err := l.EventReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// events reads all from a number on.
func events(t *testing.T, l *Ledger, f EventFilter, from uint64) (all []Event) {
	t.Helper()
	r := eventReader(t, l, f)
	for {
		list, next, err := r.Read(t.Context(), from, 5)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
		if next == from {
			return all
		}
		from = next
	}
}

func addressOf(rows []Row, seq Seq) string {
	return string(rows[seq-1].Local) + "@" + string(rows[seq-1].Domain)
}

// words are what happened, for comparison.
func words(list []Event) string {
	all := make([]string, len(list))
	for i := range list {
		all[i] = list[i].Word()
	}
	return strings.Join(all, " ")
}

// settleAll leases everybody and settles them: each domain's first as bounced,
// the others as delivered.
func settleAll(t *testing.T, l *Ledger, c *Campaign) {
	t.Helper()
	resume(t, c, day, Retry)
	if err := eachOf(c, func(d *Domain) error {
		d.SetSite("site of " + d.Name())
		var b Batch
		if err := d.ReadFresh(&b, 100); err != nil {
			return err
		}
		leaseNow(t, l, &b)
		for i, r := range b.Recipients {
			s := Settlement{Domain: d, Seq: r.Seq, State: Delivered, Attempted: true, At: day, Code: 250, Text: "ok " + string(r.Local)}
			if i == 0 {
				s.State, s.Code = Bounced, 550
			}
			l.Settle(&s)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestEventsOfACampaignTellItsLife(t *testing.T) {
	t.Parallel()
	for _, smallLoad := range []int{1, 1000} {
		l := newLedger(t, Options{smallLoad: smallLoad, Now: func() time.Time { return day }})
		ld, err := l.Create(t.Context(), Meta{Name: "c"})
		if err != nil {
			t.Fatal(err)
		}
		rows := people(3, 1)
		rows[2].Local, rows[2].Seq = rows[0].Local, 4 // a duplicate
		add(t, ld, rows[:2])
		if err := ld.Reject(Reject{Seq: 3, File: "people.csv", Line: 4, Reason: "invalid", Address: "nobody"}); err != nil {
			t.Fatal(err)
		}
		add(t, ld, rows[2:])
		c, err := ld.Commit(t.Context(), nil, 4)
		if err != nil {
			t.Fatal(err)
		}
		settleAll(t, l, c)
		if err := errors.Join(c.MarkStarted(t.Context(), day), c.MarkStarted(t.Context(), day), c.MarkFinished(t.Context(), day),
			c.MarkFinished(t.Context(), time.Time{}), c.MarkCancelled(t.Context(), day), c.MarkCancelled(t.Context(), day),
			l.Tell("pause", "x", nil, Notice{Change: ChangePaused, Site: "google", By: "ann", Reason: "odd"}), l.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
		all := events(t, l, EventFilter{}, 0)
		if got, want := words(all), "created rejected rejected loaded bounced delivered started finished reopened cancelled paused"; got != want {
			t.Errorf("events: %s\nwant:   %s", got, want)
		}
		if n := all[3].Notice; n.Rows != 4 || n.Rejected != 2 || n.Campaign != "c" {
			t.Errorf("loaded: %+v", n)
		}
		if r := all[1]; r.Reject.Address != "nobody" || r.Seq != 3 || !r.At.Equal(day) || all[2].Reject.Reason != ReasonDuplicate {
			t.Errorf("rejects %+v, %+v", r, all[2])
		}
		if n := all[10]; n.Kind != EventSite || n.Notice.By != "ann" || n.Site != "google" || !n.At.Equal(day) {
			t.Errorf("paused: %+v", n)
		}
		verify(t, l)
	}
}

func TestSegmentsTellOfTheirRejects(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	l, ld, _, rows := streaming(t, disk, Options{})
	rows[30].Local, rows[30].Domain = rows[5].Local, rows[5].Domain // of the segment before
	add(t, ld, rows[20:30])
	if _, err := ld.Segment(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	add(t, ld, rows[30:])
	if _, err := ld.Commit(t.Context(), nil, 60); err != nil {
		t.Fatal(err)
	}
	before := events(t, l, EventFilter{}, 0)
	if got := words(before); got != "created rejected loaded" {
		t.Errorf("events: %s", got)
	}
	verify(t, l)
	after := newLedger(t, Options{fs: disk.CrashClone(vfs.CrashCloneCfg{})})
	if got := words(events(t, after, EventFilter{}, 0)); got != words(before) || after.NextEvent() != l.NextEvent() {
		t.Errorf("after a crash: %s, next %d", got, after.NextEvent())
	}
	verify(t, after)
}

func TestManyRejectsAreRangesThatCanBeEnteredAnywhere(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	ld, err := l.Create(t.Context(), Meta{Name: "c"})
	if err != nil {
		t.Fatal(err)
	}
	const n = 3*mostRejects + 5
	for seq := Seq(1); seq <= n; seq++ {
		if err := ld.Reject(Reject{Seq: 2 * seq, Reason: "invalid"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ld.Commit(t.Context(), nil, n); err != nil {
		t.Fatal(err)
	}
	r := eventReader(t, l, EventFilter{})
	for _, from := range []uint64{1, 2, 3, mostRejects, mostRejects + 1, mostRejects + 2, 2*mostRejects + 7, n, n + 1, n + 2} {
		list, next, err := r.Read(t.Context(), from, 10)
		if err != nil || next != min(from+10, n+3) || len(list) != int(next-from) {
			t.Fatalf("from %d: %d events, next %d, %v", from, len(list), next, err)
		}
		for i, e := range list {
			number := from + uint64(i)
			if e.Number != number || number > 1 && number < n+2 && e.Seq != Seq(2*(number-1)) {
				t.Errorf("event %d: %+v", number, e)
			}
		}
	}
	verify(t, l)
}

func TestEventFilters(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	for _, name := range []string{"a", "b"} {
		ld, err := l.Create(t.Context(), Meta{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		add(t, ld, people(4, 2))
		if err := ld.Reject(Reject{Seq: 5, Reason: "invalid"}); err != nil {
			t.Fatal(err)
		}
		c, err := ld.Commit(t.Context(), nil, 5)
		if err != nil {
			t.Fatal(err)
		}
		settleAll(t, l, c)
	}
	if err := errors.Join(l.Tell("k", "1", nil, Notice{Change: ChangePaused, Site: "site of d0.example"}),
		l.Tell("k", "1", nil, Notice{Change: ChangeRested, Campaign: "a", Site: "site of d1.example"}),
		l.Tell("k", "1", nil, Notice{Change: ChangePaused, Source: "10.0.0.1"}),
		l.Tell("k", "1", nil, Notice{Change: ChangePaused}), l.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	const ofA = "created rejected loaded bounced delivered bounced delivered"
	for _, c := range []struct {
		filter EventFilter
		want   string
	}{
		{EventFilter{}, ofA + " " + ofA + " paused rested paused paused"},
		{EventFilter{Campaigns: []string{"a"}}, ofA + " rested"},
		{EventFilter{Campaigns: []string{"a", "b"}, Kinds: []string{"reject", "campaign"}}, "created rejected loaded created rejected loaded"},
		{EventFilter{Words: []string{"bounced", "paused"}}, "bounced bounced bounced bounced paused paused paused"},
		{EventFilter{Words: []string{"rejected"}, Campaigns: []string{"b"}}, "rejected"},
		{EventFilter{Sites: []string{"site of d1.example"}}, "bounced delivered bounced delivered rested"},
		{EventFilter{Sites: []string{"site of d1.example"}, Kinds: []string{"site"}}, "rested"},
		{EventFilter{Domains: []string{"d0.example"}, Campaigns: []string{"b"}}, "bounced delivered"},
		{EventFilter{Kinds: []string{"source", "server"}}, "paused paused"},
		{EventFilter{Campaigns: []string{"nobody"}}, ""},
		{EventFilter{Words: []string{"loaded"}, Kinds: []string{"attempt"}}, ""},
	} {
		if got := words(events(t, l, c.filter, 0)); got != c.want {
			t.Errorf("%+v: %q, want %q", c.filter, got, c.want)
		}
	}
	for _, f := range []EventFilter{{Kinds: []string{"weather"}}, {Words: []string{"rainy"}}} {
		if _, err := l.EventReader(f); err == nil || !strings.Contains(err.Error(), "is none of") {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestAnErasedAddressIsInNoEvent(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	c := load(t, l, "c", people(3, 1))
	settleAll(t, l, c)
	if _, err := l.Erase(t.Context(), "user1", "d0.example"); err != nil {
		t.Fatal(err)
	}
	for _, e := range events(t, l, EventFilter{Kinds: []string{"attempt"}}, 0) {
		erased := e.Seq == 2
		if e.Erased != erased || (e.Local == "") != erased || strings.Contains(e.Attempt.Text, "user1") || e.Word() == "" {
			t.Errorf("event %+v", e)
		}
	}
}

func TestEventsOfADeletedCampaignArePassedOver(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	ld, err := l.Create(t.Context(), Meta{Name: "gone"})
	if err != nil {
		t.Fatal(err)
	}
	add(t, ld, people(3, 1))
	if err := ld.Reject(Reject{Seq: 4, Reason: "invalid"}); err != nil {
		t.Fatal(err)
	}
	gone, err := ld.Commit(t.Context(), nil, 4)
	if err != nil {
		t.Fatal(err)
	}
	settleAll(t, l, gone)
	settleAll(t, l, load(t, l, "stays", people(2, 1)))
	if err := errors.Join(gone.MarkFinished(t.Context(), day), gone.Delete(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := words(events(t, l, EventFilter{}, 0)); got != "created loaded created loaded bounced delivered finished deleted" {
		t.Errorf("events: %s", got)
	}
	verify(t, l)
}

// fillSegments makes n segments, an hour apart, of some events each.
func fillSegments(t *testing.T, l *Ledger, now *time.Time, n int) {
	t.Helper()
	for i := range n {
		*now = now.Add(segmentSpan)
		name := fmt.Sprintf("c%d-%d", now.Unix(), i)
		ld, err := l.Create(t.Context(), Meta{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		add(t, ld, people(4, 2))
		if err := ld.Reject(Reject{Seq: 5, Reason: "invalid"}); err != nil {
			t.Fatal(err)
		}
		c, err := ld.Commit(t.Context(), nil, 5)
		if err != nil {
			t.Fatal(err)
		}
		settleAll(t, l, c)
	}
}

func TestOldEventsAreTrimmedBySegments(t *testing.T) {
	t.Parallel()
	const perSegment = 7 // created, rejected, loaded, four attempts
	disk, now := vfs.NewMem(), day
	opt := Options{fs: disk, Now: func() time.Time { return now }}
	l := newLedger(t, opt)
	fillSegments(t, l, &now, 10)
	all := events(t, l, EventFilter{}, 0)
	if len(all) != 10*perSegment {
		t.Fatalf("%d events", len(all))
	}
	size := int64(l.tip.bytes.Load())
	for _, c := range []struct {
		name   string
		keep   time.Duration
		most   int64
		oldest uint64
	}{
		{"keep all", 0, 0, 1},
		{"young enough", 100 * time.Hour, 1 << 40, 1},
		// The third segment began seven hours ago: all before it is older.
		{"by age", 6*time.Hour + time.Minute, 0, 2*perSegment + 1},
		{"once more", 6*time.Hour + time.Minute, 0, 2*perSegment + 1},
		{"by size", 0, size / 2, 5*perSegment + 1},
		{"what goes on stays", time.Millisecond, 1, 9*perSegment + 1},
	} {
		before, err := oldestEvent(l.db)
		if err != nil {
			t.Fatal(err)
		}
		n, err := l.TrimEvents(t.Context(), now, c.keep, c.most)
		if err != nil || n != c.oldest-before {
			t.Errorf("%s: trimmed %d, want %d, %v", c.name, n, c.oldest-before, err)
		}
		r := eventReader(t, l, EventFilter{})
		if before > 1 || n > 0 {
			var missing *MissingEvents
			if _, _, err := r.Read(t.Context(), 1, 10); !errors.As(err, &missing) || *missing != (MissingEvents{From: 1, Oldest: c.oldest}) {
				t.Errorf("%s: read from 1: %v", c.name, err)
			}
		}
		kept := events(t, l, EventFilter{}, c.oldest)
		if words(kept) != words(all[c.oldest-1:]) || kept[0].Number != c.oldest {
			t.Errorf("%s: from %d: %s", c.name, c.oldest, words(kept))
		}
		verify(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = newLedger(t, opt)
		if l.NextEvent() != uint64(len(all))+1 || int64(l.tip.bytes.Load()) != size {
			t.Errorf("%s: after a restart next is %d, size %d of %d", c.name, l.NextEvent(), l.tip.bytes.Load(), size)
		}
	}
	// What was trimmed is still in the history, and deleting what it was of does no harm.
	c, err := l.Campaign(fmt.Sprintf("c%d-0", day.Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.MarkFinished(t.Context(), now), c.Delete(t.Context())); err != nil {
		t.Fatal(err)
	}
	verify(t, l)
}

// TestTheLastEventsGoInTime: where nothing happens any more, the newest segment
// is as old as all others in the end.
func TestTheLastEventsGoInTime(t *testing.T) {
	t.Parallel()
	disk, now := vfs.NewMem(), day
	opt := Options{fs: disk, Now: func() time.Time { return now }}
	l := newLedger(t, opt)
	fillSegments(t, l, &now, 1)
	last := now
	next := l.NextEvent()
	const keep = 24 * time.Hour
	var gone time.Time
	for gone.IsZero() && now.Sub(last) < 30*time.Hour {
		now = now.Add(20 * time.Minute)
		n, err := l.TrimEvents(t.Context(), now, keep, 0)
		switch {
		case err != nil:
			t.Fatal(err)
		case n > 0:
			gone = now
			if n != next-1 {
				t.Errorf("%d of %d were trimmed", n, next-1)
			}
		}
		verify(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = newLedger(t, opt)
		if l.NextEvent() != next {
			t.Fatalf("next is %d, want %d", l.NextEvent(), next)
		}
	}
	if age := gone.Sub(last); age < keep || age > keep+2*segmentSpan {
		t.Errorf("they went after %v, want %v and at most two hours more", age, keep)
	}
	// The log goes on behind what is gone.
	fillSegments(t, l, &now, 1)
	if got := events(t, l, EventFilter{}, next); len(got) != 7 || got[0].Number != next {
		t.Errorf("%d events, %+v", len(got), got)
	}
	verify(t, l)
}

func TestVerifySeesADamagedLog(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(g *group) error{
		"trimmed without its mark": func(g *group) error {
			return g.batch.DeleteRange([]byte{spaceEvents}, appendEventKey(nil, spaceEvents, 8), nil)
		},
		"sum gone": func(g *group) error {
			return g.batch.Delete(campaignPart(1, partTrimmed), nil)
		},
		"reject told twice": func(g *group) error {
			g.events.rejects(1, rejectRanges{{1, 1, 1}}, day)
			return nil
		},
		"of a campaign that never was": func(g *group) error {
			g.events.add(99, "d0.example", 1, 1)
			return nil
		},
		"segment without a record": func(g *group) error {
			return g.batch.Set(appendEventKey(nil, spaceSegment, 12), segment{}.append(nil), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := day
			l, err := Open("data", Options{fs: vfs.NewMem(), Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			fillSegments(t, l, &now, 3)
			if name == "sum gone" {
				if n, err := l.TrimEvents(t.Context(), now, 59*time.Minute, 0); err != nil || n != 7 {
					t.Fatalf("trimmed %d, %v", n, err)
				}
			}
			verify(t, l)
			if err := l.writer.do(t.Context(), damage); err != nil {
				t.Fatal(err)
			}
			if r, err := l.Verify(t.Context()); err != nil || r.OK() {
				t.Errorf("verify found nothing wrong: %v", err)
			}
			if name != "trimmed without its mark" {
				return
			}
			// A reader who was given nothing would ask again for ever.
			if _, next, err := eventReader(t, l, EventFilter{}).Read(t.Context(), 1, 3); !errors.Is(err, errDamaged) {
				t.Errorf("read over a gap: next %d, %v", next, err)
			}
		})
	}
}

func TestTheTipWakesWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tip eventTip
		log := eventLog{next: 1}
		tip.move(&log)
		if tip.moved(0) != nil {
			t.Error("event 0 is not there")
		}
		woken := make(chan uint64, 10)
		for _, number := range []uint64{1, 1, 2} {
			go func() {
				for moved := tip.moved(number); moved != nil; moved = tip.moved(number) {
					<-moved
				}
				woken <- number
			}()
		}
		synctest.Wait()
		for _, step := range []struct {
			next uint64
			want []uint64
		}{{1, nil}, {2, []uint64{1, 1}}, {3, []uint64{2}}} {
			log.next = step.next
			tip.move(&log)
			synctest.Wait()
			var got []uint64
			for len(woken) > 0 {
				got = append(got, <-woken)
			}
			if !slices.Equal(got, step.want) {
				t.Errorf("next %d woke %v, want %v", step.next, got, step.want)
			}
		}
	})
}

func TestAwaitEvent(t *testing.T) {
	t.Parallel()
	l := newLedger(t, Options{})
	got := make(chan error, 1)
	go func() { got <- l.AwaitEvent(context.Background(), 2) }()
	load(t, l, "c", people(1, 1)) // two notices
	if err := <-got; err != nil || l.NextEvent() != 3 {
		t.Errorf("await: %v, next %d", err, l.NextEvent())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.AwaitEvent(ctx, 99); !errors.Is(err, context.Canceled) {
		t.Errorf("await: %v", err)
	}
	go func() { got <- l.AwaitEvent(context.Background(), 99) }()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, ErrClosed) {
		t.Errorf("await: %v", err)
	}
}

func TestAnOlderFormatIsRaised(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	l := newLedger(t, Options{fs: disk})
	if err := errors.Join(l.writer.do(t.Context(), func(g *group) error { return g.batch.Set(keyFormat, []byte{1}, nil) }), l.Close()); err != nil {
		t.Fatal(err)
	}
	l = newLedger(t, Options{fs: disk})
	if v, err := l.get(keyFormat); err != nil || len(v) != 1 || v[0] != formatVersion {
		t.Errorf("format %v, %v", v, err)
	}
}
