package engine

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/share"
	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/pool/smtp"
)

// closedGate never lets a connection be made: tests pull by hand.
type closedGate struct{}

func (closedGate) Connect(time.Time) (bool, time.Duration)   { return false, 0 }
func (closedGate) Disconnect(time.Time)                      {}
func (closedGate) Grant(time.Time, int) (int, time.Duration) { return 0, 0 }
func (closedGate) Refund(time.Time, int)                     {}
func (closedGate) MessagesPerConnection() int                { return 0 }

// workbench is an engine without goroutines, whose lanes are worked by hand.
type workbench struct {
	engine *Engine
	ledger *ledger.Ledger
	site   *pool.Site
	loads  int
}

func newWorkbench(t testing.TB) *workbench {
	t.Helper()
	led, err := ledger.Open(t.TempDir(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	p, err := pool.New(pool.Options{Sources: []pool.Source{{Name: "s", Hello: "sender.test"}}, Loops: 1, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	b := &workbench{ledger: led}
	b.site = p.Site("a", func(pool.Source) pool.Gate { return closedGate{} }, pool.SiteOptions{})
	b.engine = &Engine{
		log: log, ledger: led, now: time.Now, work: newTurns[*lane](), lookups: newTurns[*destination](),
		timetable: newTimetable(), sites: map[string]*site{}, lanes: map[string]*lane{},
	}
	b.engine.refusals = &lane{engine: b.engine, site: &site{name: "(refused)", shares: share.New[*Run](batchSize)}}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := led.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// lane is one without a connection.
func (b *workbench) lane() *lane {
	l := &lane{engine: b.engine, site: &site{name: "a", pool: b.site, shares: share.New[*Run](batchSize)}}
	l.pool = b.site.Lane([]pool.Host{{Name: "a", Addrs: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}}}, l, pool.LaneOptions{})
	l.pool.Data = l
	return l
}

// run is a campaign with so many recipients at each of its domains.
func (b *workbench) run(t interface{ Fatal(args ...any) }, inDoubt, weight int, sizes ...int) (*Run, []*destination) {
	b.loads++
	ctx := context.Background()
	loader, err := b.ledger.Create(ctx, ledger.Meta{Name: fmt.Sprint("c", b.loads)})
	if err != nil {
		t.Fatal(err)
	}
	seq := ledger.Seq(0)
	for i, n := range sizes {
		for range n {
			seq++
			if err := loader.Add(ledger.Row{Seq: seq, Local: fmt.Append(nil, seq), Domain: fmt.Appendf(nil, "d%d.test", i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	c, err := loader.Commit(ctx, []byte("[]"), uint64(seq))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Resume(ctx, time.Now(), ledger.Retry); err != nil {
		t.Fatal(err)
	}
	r := &Run{engine: b.engine, campaign: c, idle: make(chan struct{}, 1), breakers: map[string]*breaker{}}
	r.settings.MaxInDoubt, r.settings.Priority, r.settings.Weight = inDoubt, 10, weight
	var ds []*destination
	for i := range sizes {
		d, err := c.Domain(fmt.Sprintf("d%d.test", i))
		if err != nil {
			t.Fatal(err)
		}
		ds = append(ds, newDestination(r, d))
	}
	return r, ds
}

// TestLaneKeepsOrderAndCount works a lane by hand, its steps in any order: who is
// read comes out once, in file order within a domain, and places are neither
// lost nor given twice.
func TestLaneKeepsOrderAndCount(t *testing.T) {
	t.Parallel()
	b := newWorkbench(t)
	rapid.Check(t, func(t *rapid.T) {
		l := b.lane()
		defer l.pool.Close()
		w := &worker{engine: b.engine}
		now := time.Now()
		var all []*destination
		total := 0
		for range rapid.IntRange(1, 2).Draw(t, "runs") {
			sizes := rapid.SliceOfN(rapid.IntRange(1, 100), 1, 3).Draw(t, "sizes")
			r, ds := b.run(t, rapid.IntRange(1, 40).Draw(t, "max_in_doubt"), rapid.IntRange(1, 300).Draw(t, "weight"), sizes...)
			f := l.flowOf(r)
			for i, d := range ds {
				d.setFlow(f)
				d.setExpires(now.Add(time.Hour))
				for range 2 { // the second time nothing happens
					if !l.activate(f, d, now) {
						t.Fatal("a lane in use takes no destination")
					}
				}
				total += sizes[i]
			}
			all = append(all, ds...)
		}
		var preparing []*task
		var pulled []*envelope
		last := map[*destination]ledger.Seq{}
		out, reserved := 0, 0
		take := func(e *envelope) {
			if e.seq <= last[e.destination] {
				t.Fatalf("%d of %s came after %d", e.seq, e.destination.domain.Name(), last[e.destination])
			}
			last[e.destination] = e.seq
			out++
			pulled = append(pulled, e)
		}
		settle := func(i int) {
			e := pulled[i]
			pulled = append(pulled[:i], pulled[i+1:]...)
			l.mu.Lock()
			e.flow.reserved--
			l.reserved--
			l.mu.Unlock()
			e.flow.run.left(1)
			reserved--
		}
		fill := func() bool {
			f, d, n, ok := l.reserve()
			if !ok {
				return false
			}
			if n < 1 || n > batchSize || f.reserved > f.limit() {
				t.Fatalf("reserved %d, the flow has %d of %d", n, f.reserved, f.limit())
			}
			task := newTask(l, f, d)
			more, err := w.read(&task.batch, d, n)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range task.batch.Recipients {
				task.envelopes = append(task.envelopes, &envelope{Message: smtp.Message{Size: 100}, flow: f, destination: d, seq: r.Seq})
			}
			for _, e := range task.envelopes {
				e.Tag = e
			}
			reserved += len(task.envelopes)
			task.waits.Store(leasing)
			preparing = append(preparing, task)
			l.release(task, n, more)
			return true
		}
		t.Repeat(map[string]func(*rapid.T){
			"fill":    func(*rapid.T) { fill() },
			"prepare": func(t *rapid.T) { preparing = b.prepare(t, preparing) },
			"connect": func(t *rapid.T) { l.connections.Store(int32(rapid.IntRange(0, 4).Draw(t, "connections"))) },
			"pull": func(t *rapid.T) {
				n := rapid.IntRange(1, 16).Draw(t, "n")
				got := l.pull(nil, "default", &smtp.Capabilities{EightBitMIME: true}, n)
				if len(got) > n {
					t.Fatalf("pulled %d, asked for %d", len(got), n)
				}
				for _, m := range got {
					take(m.Tag.(*envelope))
				}
			},
			"settle": func(t *rapid.T) {
				if len(pulled) > 0 {
					settle(rapid.IntRange(0, len(pulled)-1).Draw(t, "which"))
				}
			},
			"empty": func(*rapid.T) {
				idle, unsent := l.empty(nil)
				for _, e := range unsent {
					take(e)
				}
				for _, d := range idle {
					d.run.left(1)
					if !l.activate(d.currentFlow(), d, now) {
						t.Fatal("a lane in use takes no destination")
					}
				}
			},
			"": func(t *rapid.T) {
				sum := 0
				for _, f := range l.byRun {
					sum += f.reserved
				}
				if sum != reserved || l.reserved != reserved {
					t.Fatalf("flows have %d places, the lane %d; want %d", sum, l.reserved, reserved)
				}
				if l.readyBytes != 100*l.ready.len() {
					t.Fatalf("%d messages of 100 octets are ready, counted %d", l.ready.len(), l.readyBytes)
				}
			},
		})
		// Let it run to its end.
		l.connections.Store(2)
		for out < total || len(pulled) > 0 {
			before, waiting := out, len(pulled)
			for fill() {
			}
			for len(preparing) > 0 {
				preparing = b.prepare(t, preparing)
			}
			for _, m := range l.pull(nil, "default", &smtp.Capabilities{EightBitMIME: true}, 1000) {
				take(m.Tag.(*envelope))
			}
			for len(pulled) > 0 {
				settle(0)
			}
			if out == before && waiting == 0 {
				t.Fatalf("%d of %d came out, and no more", out, total)
			}
		}
		fill()
		if out != total || reserved != 0 || l.waiting != 0 || len(l.flows) != 0 || l.ready.len() != 0 || l.Backlog() >= 0 {
			t.Fatalf("%d of %d came out, %d reserved, %d waiting, %d flows, %d ready, backlog %d", out, total, reserved, l.waiting, len(l.flows), l.ready.len(), l.Backlog())
		}
		for _, d := range all {
			if d.active.Load() {
				t.Fatalf("%s is still active", d.domain.Name())
			}
			if n := d.run.activity.Load(); n != 0 {
				t.Fatalf("the run's activity is %d at the end", n)
			}
		}
		if l.retire() {
			t.Fatal("a lane with connections was retired")
		}
		l.connections.Store(0)
		if !l.retire() || l.retire() || l.flowOf(all[0].run) != nil {
			t.Fatal("a lane without work is retired once")
		}
	})
}

// prepare finishes one of the tasks, which makes it ready once those before it
// are.
func (b *workbench) prepare(t *rapid.T, tasks []*task) []*task {
	if len(tasks) == 0 {
		return tasks
	}
	i := rapid.IntRange(0, len(tasks)-1).Draw(t, "task")
	task := tasks[i]
	tasks = append(tasks[:i], tasks[i+1:]...)
	task.done(leasing)
	return tasks
}

// TestLaneHoldsBackWhatDoesNotFit: one composed for 8BITMIME is not given to
// a connection without it.
func TestLaneHoldsBackWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	b := newWorkbench(t)
	l := b.lane()
	defer l.pool.Close()
	rapid.Check(t, func(t *rapid.T) {
		r, ds := b.run(t, 10, 1, 3)
		var batch ledger.Batch
		if err := ds[0].domain.ReadFresh(&batch, 3); err != nil {
			t.Fatal(err)
		}
		f := l.flowOf(r)
		eight := rapid.SliceOfN(rapid.Bool(), 3, 3).Draw(t, "eight")
		misfits := 0
		for i, rcpt := range batch.Recipients {
			e := &envelope{flow: f, destination: ds[0], seq: rcpt.Seq}
			e.Tag, e.EightBit = e, eight[i]
			l.ready.push(e)
			if eight[i] {
				misfits++
			}
		}
		got := l.pull(nil, "default", new(smtp.Capabilities), 10)
		if len(got) != 3-misfits {
			t.Fatalf("pulled %d, want %d", len(got), 3-misfits)
		}
		for _, m := range got {
			if m.EightBit {
				t.Fatal("an 8-bit message for a host without 8BITMIME")
			}
		}
		if misfits > 0 && !l.composesSevenBit() {
			t.Fatal("the lane goes on composing 8-bit messages")
		}
	})
}
