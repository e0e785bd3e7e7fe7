package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// eventModel is what the event log promises: what it must tell, in order. It is
// told of everything that is acknowledged, and readers go over the log from
// where they were, through crashes and trims.
type eventModel struct {
	t   *rapid.T
	fs  *vfs.MemFS
	l   *Ledger
	now time.Time

	// told is the stories by number, from 1; oldest is the first that is kept.
	told   []string
	oldest uint64
	gone   map[string]bool // campaigns that were deleted

	campaigns map[string]*Campaign
	made      int
	readers   [3]struct {
		next uint64
		seen map[uint64]string
	}
}

// story is all that tells an event from others.
func story(e *Event) string {
	return fmt.Sprintf("%s %s %s %s@%s %d", e.Kind, e.Word(), e.Campaign, e.Local, e.Domain, e.Seq)
}

func (m *eventModel) open() {
	l, err := Open("data", Options{
		fs: m.fs, Now: func() time.Time { return m.now }, SyncEvery: time.Microsecond, smallLoad: 3, chunkBytes: 500,
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.l, m.campaigns = l, make(map[string]*Campaign)
	all, err := l.Campaigns()
	if err != nil {
		m.t.Fatal(err)
	}
	for _, c := range all {
		m.campaigns[c.Name()] = c
		if _, err := c.Resume(context.Background(), m.now, Hold); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *eventModel) must(err error) {
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *eventModel) tell(format string, args ...any) {
	m.told = append(m.told, fmt.Sprintf(format, args...))
}

// load makes a campaign of some rows and rejects, in one part or in two.
func (m *eventModel) load(t *rapid.T) {
	m.made++
	name := fmt.Sprintf("c%d", m.made)
	ld, err := m.l.Create(context.Background(), Meta{Name: name})
	m.must(err)
	rows := rapid.IntRange(1, 8).Draw(t, "rows")
	parts := rapid.IntRange(1, 2).Draw(t, "parts")
	seq := 0
	for part := range parts {
		var rejected []int
		for range rows {
			seq++
			if rapid.IntRange(0, 3).Draw(t, "reject") == 0 {
				rejected = append(rejected, seq)
				m.must(ld.Reject(Reject{Seq: Seq(seq), Reason: "invalid"}))
				continue
			}
			m.must(ld.Add(Row{Seq: Seq(seq), Local: fmt.Appendf(nil, "u%d", seq), Domain: fmt.Appendf(nil, "d%d", seq%2)}))
		}
		var c *Campaign
		if last := part == parts-1; last {
			c, err = ld.Commit(context.Background(), nil, uint64(seq))
		} else {
			c, err = ld.Segment(context.Background(), nil)
		}
		m.must(err)
		if part == 0 {
			m.tell("campaign created %s @ 0", name)
		}
		for _, r := range rejected {
			m.tell("reject rejected %s @ %d", name, r)
		}
		if part == parts-1 {
			m.tell("campaign loaded %s @ 0", name)
		}
		m.campaigns[name] = c
	}
	_, err = m.campaigns[name].Resume(context.Background(), m.now, Hold)
	m.must(err)
}

// send settles some of a campaign's recipients, one group each.
func (m *eventModel) send(t *rapid.T, c *Campaign) {
	m.must(c.Domains(func(d *Domain) bool {
		var b Batch
		m.must(d.ReadFresh(&b, rapid.IntRange(1, 4).Draw(t, "n")))
		done := make(chan error, 1)
		m.l.Lease(&b, func(_ *Batch, err error) { done <- err })
		m.must(<-done)
		for _, r := range b.Recipients {
			state := rapid.SampledFrom([]State{Delivered, Bounced, Expired}).Draw(t, "state")
			m.l.Settle(&Settlement{Domain: d, Seq: r.Seq, State: state, Attempted: true, At: m.now, Code: 250, Text: "ok"})
			m.tell("attempt %s %s u%d@%s %d", state, c.Name(), r.Seq, d.Name(), r.Seq)
		}
		m.must(m.l.Flush(context.Background()))
		return true
	}))
}

// crash ends the process; with something on its way that may be told or not.
func (m *eventModel) crash(t *rapid.T) {
	if rapid.Bool().Draw(t, "on its way") {
		m.must(m.l.Tell("k", "v", []byte("x"), Notice{Change: ChangePaused, Site: "on its way"}))
	}
	fs := m.fs.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "unsynced"),
		RNG:                 rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed"))),
	})
	m.must(m.l.Close())
	m.fs = fs
	m.open()
	if next := m.l.NextEvent(); next == uint64(len(m.told))+2 {
		m.tell("site paused  @ 0")
	}
}

// read has a reader go on, some events far, and compares what he sees.
func (m *eventModel) read(t *rapid.T) {
	r := &m.readers[rapid.IntRange(0, len(m.readers)-1).Draw(t, "reader")]
	reader, err := m.l.EventReader(EventFilter{})
	m.must(err)
	list, next, err := reader.Read(context.Background(), r.next, rapid.IntRange(1, 20).Draw(t, "most"))
	var missing *MissingEvents
	if errors.As(err, &missing) {
		if missing.Oldest != m.oldest || r.next >= m.oldest {
			t.Fatalf("from %d: %v, the oldest is %d", r.next, err, m.oldest)
		}
		r.next = missing.Oldest
		return
	}
	m.must(err)
	i := 0
	for number := r.next; number < next; number++ {
		want := m.told[number-1]
		if i < len(list) && list[i].Number == number {
			if got := story(&list[i]); got != want {
				t.Fatalf("event %d: %s, want %s", number, got, want)
			}
			if was, ok := r.seen[number]; ok && was != want {
				t.Fatalf("event %d was %s, is %s", number, was, want)
			}
			r.seen[number] = want
			i++
			continue
		}
		var kind, word, campaign string
		fmt.Sscan(want, &kind, &word, &campaign)
		if !m.gone[campaign] || kind == "campaign" {
			t.Fatalf("event %d is not told: %s", number, want)
		}
	}
	if i != len(list) || next == r.next && next <= uint64(len(m.told)) {
		t.Fatalf("read %d of %d events from %d to %d, of %d", i, len(list), r.next, next, len(m.told))
	}
	r.next = next
	if rapid.IntRange(0, 9).Draw(t, "forget") == 0 {
		r.next = rapid.Uint64Range(1, next).Draw(t, "again")
	}
}

func (m *eventModel) trim(t *rapid.T) {
	n, err := m.l.TrimEvents(context.Background(), m.now, time.Duration(rapid.IntRange(1, 5).Draw(t, "hours"))*time.Hour, 0)
	m.must(err)
	m.oldest += n
}

// delete removes a campaign, as it is.
func (m *eventModel) delete(c *Campaign) {
	name := c.Name()
	m.must(c.MarkFinished(context.Background(), m.now))
	m.must(c.Delete(context.Background()))
	m.tell("campaign finished %s @ 0", name)
	m.tell("campaign deleted %s @ 0", name)
	m.gone[name] = true
	delete(m.campaigns, name)
}

// one is any campaign, in an order that rapid can repeat.
func (m *eventModel) one(t *rapid.T) *Campaign {
	var names []string
	for i := range m.made {
		if name := fmt.Sprintf("c%d", i+1); m.campaigns[name] != nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return m.campaigns[rapid.SampledFrom(names).Draw(t, "campaign")]
}

func TestEventsAgreeWithAModelThroughCrashes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &eventModel{t: t, fs: vfs.NewCrashableMem(), now: day, oldest: 1, gone: make(map[string]bool)}
		for i := range m.readers {
			m.readers[i].next, m.readers[i].seen = 1, make(map[uint64]string)
		}
		m.open()
		defer func() { m.l.Close() }()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			c := m.one(t)
			switch k := rapid.IntRange(0, 15).Draw(t, "do"); {
			case k < 2 || c == nil:
				m.load(t)
			case k < 6:
				m.send(t, c)
			case k < 7:
				m.must(m.l.Tell("k", "v", nil, Notice{Change: ChangeLimits, Site: "s"}))
				m.must(m.l.Flush(context.Background()))
				m.tell("site limits  @ 0")
			case k < 9:
				m.now = m.now.Add(time.Duration(rapid.IntRange(1, 120).Draw(t, "pass")) * time.Minute)
			case k < 10:
				m.trim(t)
			case k < 11:
				m.crash(t)
			case k < 12:
				m.delete(c)
			default:
				m.read(t)
			}
			if next := m.l.NextEvent(); next != uint64(len(m.told))+1 {
				t.Fatalf("the next event is %d, %d were told", next, len(m.told))
			}
		}
		for range 1000 {
			if m.readers[0].next > uint64(len(m.told)) {
				break
			}
			m.read(t)
		}
		r, err := m.l.Verify(context.Background())
		if err != nil || !r.OK() {
			t.Fatalf("verify: %v %v", err, r.Problems)
		}
	})
}
