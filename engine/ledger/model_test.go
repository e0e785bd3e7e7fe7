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
	"pgregory.net/rapid"
)

// model is what a ledger promises, in maps: who is where, and what was
// acknowledged. It is told of everything and asked after every crash.
type model struct {
	t   *rapid.T
	fs  *vfs.MemFS
	l   *Ledger
	c   *Campaign
	now time.Time

	mu sync.Mutex
	// acked is the state of those whose settlement was acknowledged. Guarded.
	acked map[Seq]Settlement
	// handed is what was handed in after that, if anything. Guarded.
	handed map[Seq]Settlement

	people  map[Seq]*person
	crashes int

	// ld is the load while the campaign grows; loading, who was added to it
	// since its last segment, in order.
	ld       *Loader
	loading  []Seq
	arriving []*person
}

type person struct {
	domain   string
	state    State
	attempts int
	due      time.Time
	inFlight bool // leased or about to be, by this process
	leased   bool // acknowledged lease
	back     bool // handed back since
	hastened bool // due at once, though history says later
	done     bool
}

func (m *model) options() Options {
	return Options{
		fs: m.fs, Now: func() time.Time { return m.now }, SyncEvery: time.Microsecond,
		smallLoad: 1, chunkBytes: 500,
		Durable: func(g []Settlement) {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, s := range g {
				m.acked[s.Seq] = s
				delete(m.handed, s.Seq)
			}
		},
	}
}

func (m *model) open() {
	l, err := Open("data", m.options())
	if err != nil {
		m.t.Fatal(err)
	}
	m.l = l
}

func (m *model) domain(name string) *Domain {
	d, err := m.c.Domain(name)
	if err != nil || d == nil {
		m.t.Fatalf("domain %s: %v", name, err)
	}
	return d
}

func (m *model) flush() {
	if err := m.l.Flush(context.Background()); err != nil {
		m.t.Fatal(err)
	}
}

// hasten makes who waits at a domain due, and due they are.
func (m *model) hasten(d *Domain) {
	d.Hasten(m.now)
	if due, waiting := d.DueCount(m.now), d.Waiting(); due != waiting {
		m.t.Fatalf("%d of %d are due after Hasten", due, waiting)
	}
	for _, p := range m.people {
		if p.domain == d.name && !p.inFlight {
			p.hastened = true
		}
	}
}

func (m *model) verify() {
	m.flush()
	r, err := m.l.Verify(context.Background())
	if err != nil {
		m.t.Fatal(err)
	}
	for _, p := range r.Problems {
		m.t.Errorf("verify: %s", p)
	}
}

// read reads and leases somebody new or due at one domain.
func (m *model) read(d *Domain, due bool, n int) {
	var b Batch
	var err error
	if due {
		err = d.ReadDue(&b, m.now, n)
	} else {
		err = d.ReadFresh(&b, n)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	for _, r := range b.Recipients {
		p := m.people[r.Seq]
		if p.inFlight || p.done || p.domain != d.Name() {
			m.t.Fatalf("recipient %d was handed out in state %+v", r.Seq, p)
		}
		if r.Was != p.state || int(r.Attempts) != p.attempts {
			m.t.Fatalf("recipient %d read as %+v, is %+v", r.Seq, r, p)
		}
		if due && !p.back && !p.hastened && p.due.After(m.now) {
			m.t.Fatalf("recipient %d, due at %v, was read at %v", r.Seq, p.due, m.now)
		}
		if due != (p.back || p.attempts > 0) {
			m.t.Fatalf("recipient %d came from the wrong cursor", r.Seq)
		}
		p.inFlight, p.leased = true, false
	}
	done := make(chan error, 1)
	m.l.Lease(&b, func(_ *Batch, err error) { done <- err })
	if err := <-done; err != nil {
		m.t.Fatal(err)
	}
	for _, r := range b.Recipients {
		m.people[r.Seq].leased = true
	}
}

// settle ends the attempts of some who are in flight.
func (m *model) settle(t *rapid.T, seq Seq) {
	p := m.people[seq]
	d := m.domain(p.domain)
	p.inFlight = false
	if rapid.IntRange(0, 5).Draw(t, "back") == 0 {
		p.back = true
		m.l.Return(d, seq)
		return
	}
	p.back, p.hastened = false, false
	s := Settlement{
		Domain: d, Seq: seq, Attempted: true, At: m.now, Took: time.Second, Code: 250,
		Via:   m.l.Peer("mx.example", addrPort("192.0.2.1:25"), "a", "TLS1.3"),
		State: rapid.SampledFrom([]State{Delivered, Deferred, Deferred, Bounced, Expired, Uncertain}).Draw(t, "state"),
		Text:  fmt.Sprintf("text for %d of <u%d@x>", seq, seq),
	}
	if s.State == Expired {
		s.Attempted, s.Via = false, nil
		if rapid.Bool().Draw(t, "silent") {
			s.Code, s.Text = 0, ""
		}
	}
	p.attempts++
	p.state, p.done = s.State, true
	if s.State == Deferred || s.State == Uncertain && rapid.Bool().Draw(t, "retry") {
		p.due = m.now.Add(time.Duration(rapid.IntRange(-1000, 100_000).Draw(t, "wait")) * time.Millisecond)
		s.Due, p.done = p.due, false
	}
	m.mu.Lock()
	m.handed[seq] = s
	delete(m.acked, seq)
	m.mu.Unlock()
	m.l.Settle(&s)
}

// crash ends the process, or the power, at this moment, and holds what is
// found afterwards against what was acknowledged.
func (m *model) crash(t *rapid.T) {
	policy := rapid.SampledFrom([]Policy{Retry, Hold}).Draw(t, "policy")
	cfg := vfs.CrashCloneCfg{
		UnsyncedDataPercent: rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "unsynced"),
		RNG:                 rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed"))),
	}
	m.mu.Lock()
	fs := m.fs.CrashClone(cfg)
	acked := m.acked
	handed := m.handed
	m.acked, m.handed = make(map[Seq]Settlement), make(map[Seq]Settlement)
	m.mu.Unlock()
	old := m.l
	if err := old.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	m.acked, m.handed = make(map[Seq]Settlement), make(map[Seq]Settlement)
	m.mu.Unlock()
	m.fs = fs
	// A time of its own for each crash tells its uncertain attempts from others.
	m.crashes++
	at := day.AddDate(0, 0, -m.crashes)
	m.open()
	var err error
	if m.c, err = m.l.Campaign("model"); err != nil {
		m.t.Fatal(err)
	}
	uncertain, err := m.c.Resume(context.Background(), at, policy)
	if err != nil {
		m.t.Fatal(err)
	}
	m.verify()
	m.goOn()
	for seq, p := range m.people {
		r, err := m.c.Lookup(fmt.Sprintf("u%d", seq), p.domain)
		if err != nil {
			m.t.Fatalf("recipient %d is lost: %v", seq, err)
		}
		last := len(r.Attempts) - 1
		crashed := last >= 0 && r.Attempts[last].Text == crashText && r.Attempts[last].At.Equal(at) && r.State == Uncertain
		if crashed {
			uncertain--
		}
		if s, ok := acked[seq]; ok && !p.inFlight && !p.back {
			if r.State != s.State && !crashed {
				m.t.Fatalf("recipient %d: acknowledged %v, found %v", seq, s.State, r.State)
			}
			if crashed && p.done {
				m.t.Fatalf("recipient %d: acknowledged %v, then found uncertain", seq, s.State)
			}
		}
		if p.inFlight && p.leased && !crashed {
			m.t.Fatalf("recipient %d was leased, and nothing tells of it: %+v", seq, r)
		}
		if crashed && !p.inFlight && !p.back {
			if _, ok := handed[seq]; !ok {
				m.t.Fatalf("recipient %d was not in flight, and is uncertain", seq)
			}
		}
		// From here on what the ledger found counts.
		p.inFlight, p.leased = false, false
		p.state, p.attempts = r.State, 0
		for _, a := range r.Attempts {
			p.attempts = a.Number
			p.due = a.Due
		}
		if last >= 0 && !r.Attempts[last].Attempted {
			p.attempts++
		}
		final := r.State != Pending && r.State != Deferred && r.State != Uncertain
		p.done = final || r.State == Uncertain && p.due.IsZero()
		if p.back && r.State == Pending || p.state == Pending {
			// A handed-back recipient that is pending may be in either cursor:
			// its return may not have been committed.
			p.back = m.queued(p, seq)
		}
	}
	if uncertain != 0 {
		m.t.Fatalf("resume counted %d more uncertain than there are", uncertain)
	}
}

// add gives the load so many more rows.
func (m *model) add(t *rapid.T, n int) {
	for range n {
		seq := Seq(len(m.people) + len(m.loading) + 1)
		p := &person{domain: fmt.Sprintf("d%d", rapid.IntRange(0, 2+len(m.people)/20).Draw(t, "domain"))}
		if rapid.IntRange(0, 9).Draw(t, "suppressed") == 0 {
			p.state, p.attempts, p.done = Suppressed, 1, true
		}
		m.arriving = append(m.arriving, p)
		m.row(seq, p)
		m.loading = append(m.loading, seq)
	}
}

func (m *model) row(seq Seq, p *person) {
	if err := m.ld.Add(Row{Seq: seq, Local: fmt.Appendf(nil, "u%d", seq), Domain: []byte(p.domain), Suppressed: p.state == Suppressed}); err != nil {
		m.t.Fatal(err)
	}
}

// segment makes who was added part of the campaign.
func (m *model) segment() {
	var err error
	if m.c, err = m.ld.Segment(context.Background(), nil); err != nil {
		m.t.Fatal(err)
	}
	m.arrived()
}

func (m *model) commit() {
	var err error
	if m.c, err = m.ld.Commit(context.Background(), nil, uint64(len(m.people)+len(m.loading))); err != nil {
		m.t.Fatal(err)
	}
	m.ld = nil
	m.arrived()
}

func (m *model) arrived() {
	for i, seq := range m.loading {
		m.people[seq] = m.arriving[i]
	}
	m.loading, m.arriving = nil, nil
	if n := m.c.Totals(); n.Streaming != (m.ld != nil) || n.Rows != uint64(len(m.people)) {
		m.t.Fatalf("%d rows came in, load %v: %+v", len(m.people), m.ld != nil, n)
	}
}

// goOn continues a load that a crash cut short: the rows since the last segment
// come again.
func (m *model) goOn() {
	if n := m.c.Totals(); n.Streaming != (m.ld != nil) || n.Rows != uint64(len(m.people)) {
		m.t.Fatalf("%d rows are there, load %v: %+v", len(m.people), m.ld != nil, n)
	}
	if m.ld == nil {
		return
	}
	var rows uint64
	var err error
	if m.ld, rows, err = m.l.Continue("model"); err != nil || rows != uint64(len(m.people)) {
		m.t.Fatalf("continue behind %d: %d, %v", len(m.people), rows, err)
	}
	for i, seq := range m.loading {
		m.row(seq, m.arriving[i])
	}
}

// queued tells whether a recipient has a mark of having been handed back.
func (m *model) queued(p *person, seq Seq) bool {
	v, err := m.l.get(appendHistoryKey(nil, m.c.number, p.domain, seq, 1))
	if err != nil {
		m.t.Fatal(err)
	}
	return v != nil
}

func TestLedgerAgreesWithAModelThroughCrashes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			t: t, fs: vfs.NewCrashableMem(), now: day, people: make(map[Seq]*person),
			acked: make(map[Seq]Settlement), handed: make(map[Seq]Settlement),
		}
		m.open()
		var err error
		if m.ld, err = m.l.Create(context.Background(), Meta{Name: "model"}); err != nil {
			t.Fatal(err)
		}
		m.add(t, rapid.IntRange(1, 60).Draw(t, "people"))
		if rapid.Bool().Draw(t, "streams") {
			m.segment()
		} else {
			m.commit()
		}
		if _, err := m.c.Resume(context.Background(), m.now, Retry); err != nil {
			t.Fatal(err)
		}
		defer func() { m.l.Close() }()
		steps := rapid.IntRange(1, 40).Draw(t, "steps")
		for range steps {
			switch k := rapid.IntRange(0, 25).Draw(t, "do"); {
			case k < 6:
				m.c.Domains(func(d *Domain) bool {
					m.read(d, false, rapid.IntRange(1, 8).Draw(t, "n"))
					return true
				})
			case k < 10:
				m.flush()
				m.c.Domains(func(d *Domain) bool {
					m.read(d, true, rapid.IntRange(1, 8).Draw(t, "n"))
					return true
				})
			case k < 16:
				for seq := Seq(1); seq <= Seq(len(m.people)); seq++ {
					if m.people[seq].inFlight && rapid.Bool().Draw(t, "settle") {
						m.settle(t, seq)
					}
				}
			case k < 18:
				m.now = m.now.Add(time.Duration(rapid.IntRange(-5000, 120_000).Draw(t, "pass")) * time.Millisecond)
			case k < 19:
				m.flush()
				m.c.Domains(func(d *Domain) bool {
					if rapid.Bool().Draw(t, "hasten") {
						m.hasten(d)
					}
					return true
				})
				m.verify()
			case k < 20:
				m.crash(t)
			case m.ld == nil:
			case k < 22:
				m.add(t, rapid.IntRange(1, 20).Draw(t, "more"))
			case k < 25:
				m.segment()
			default:
				m.commit()
			}
		}
		m.verify()
	})
}

// The model must be able to say no.
func TestVerifySeesDamage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(l *Ledger, c *Campaign, g *group) error
	}{
		{"outcome gone", func(l *Ledger, c *Campaign, g *group) error {
			return g.batch.Delete(appendHistoryKey(nil, c.number, "d0.example", 1, 1), nil)
		}},
		{"outcome twice", func(l *Ledger, c *Campaign, g *group) error {
			e := event{state: Delivered, attempted: true, at: day}
			return g.batch.Set(appendHistoryKey(nil, c.number, "d0.example", 1, 2), e.append(nil), nil)
		}},
		{"outcome of nobody", func(l *Ledger, c *Campaign, g *group) error {
			e := event{state: Delivered, at: day}
			return g.batch.Set(appendHistoryKey(nil, c.number, "d0.example", 999, 1), e.append(nil), nil)
		}},
		{"recipient gone", func(l *Ledger, c *Campaign, g *group) error {
			return g.batch.Delete(appendSeqKey(nil, spaceRecipient, c.number, "d0.example", 3), nil)
		}},
		{"index entry gone", func(l *Ledger, c *Campaign, g *group) error {
			return g.batch.Delete(appendIndexKey(nil, c.number, hashAddress([]byte("user2"), []byte("d0.example")), 3), nil)
		}},
		{"index entry too many", func(l *Ledger, c *Campaign, g *group) error {
			return g.batch.Set(appendIndexKey(nil, c.number, 5, 5), nil, nil)
		}},
		{"queue entry gone", func(l *Ledger, c *Campaign, g *group) error {
			return g.batch.Delete(appendQueueKey(nil, c.number, "d0.example", place{bucketOf(day), 2}), nil)
		}},
		{"queue entry too many", func(l *Ledger, c *Campaign, g *group) error {
			w := waiting{was: Deferred, attempts: 1, due: day}
			return g.batch.Set(appendQueueKey(nil, c.number, "d0.example", place{bucketOf(day) + 9, 1}), w.append(nil), nil)
		}},
		{"wrong counts", func(l *Ledger, c *Campaign, g *group) error {
			r := domainRecord{loaded: 4, fresh: 2}
			return g.batch.Set(appendDomainKey(nil, spaceDomain, c.number, "d0.example"), r.append(nil), nil)
		}},
		{"event gone", func(l *Ledger, c *Campaign, g *group) error {
			return g.batch.DeleteRange([]byte{spaceEvents}, []byte{spaceEvents + 1}, nil)
		}},
		{"reply uncounted", func(l *Ledger, c *Campaign, g *group) error {
			lower, upper := campaignBounds(spaceReply, c.number)
			return g.batch.DeleteRange(lower, upper, nil)
		}},
		{"ghost of a campaign", func(l *Ledger, c *Campaign, g *group) error {
			return g.batch.Set(appendDomainKey(nil, spaceDomain, 77, "d0.example"), (&domainRecord{}).append(nil), nil)
		}},
		{"name that leads nowhere", func(l *Ledger, c *Campaign, g *group) error {
			return g.batch.Set(appendNameKey(nil, "ghost"), []byte{77}, nil)
		}},
		{"event of a campaign that never was", func(l *Ledger, c *Campaign, g *group) error {
			g.events.add(77, "d0.example", 1, 1)
			return nil
		}},
		{"reject from nowhere", func(l *Ledger, c *Campaign, g *group) error {
			return g.batch.Set(append(appendCampaignKey(nil, spaceReject, c.number), 0, 0, 0, 9), appendReject(nil, &Reject{Reason: "x"}), nil)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, err := Open("data", Options{fs: vfs.NewMem()})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			camp := load(t, l, "c", people(4, 1))
			resume(t, camp, day, Retry)
			d := camp.domain("d0.example")
			var b Batch
			if err := d.ReadFresh(&b, 2); err != nil {
				t.Fatal(err)
			}
			leaseNow(t, l, &b)
			l.Settle(&Settlement{Domain: d, Seq: 1, State: Delivered, Attempted: true, At: day, Code: 250, Text: "ok"})
			l.Settle(&Settlement{Domain: d, Seq: 2, State: Deferred, Attempted: true, At: day, Due: day, Code: 450, Text: "later"})
			verify(t, l)
			if err := l.writer.do(t.Context(), func(g *group) error { return c.damage(l, camp, g) }); err != nil {
				t.Fatal(err)
			}
			r, err := l.Verify(t.Context())
			if err == nil && r.OK() {
				t.Error("verify found nothing wrong")
			}
			if err != nil && !errors.Is(err, errDamaged) && !errors.Is(err, errOrphan) {
				t.Errorf("verify: %v", err)
			}
		})
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }
