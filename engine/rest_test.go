package engine

import (
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
)

// TestSiteThatSendsUsAwayRestsAsAWhole: a reputation reply asks for a rest of
// minutes. Until then nobody is pending with a lease, nor shown as if about to
// be tried, and a run that only waits for it is idle.
func TestSiteThatSendsUsAwayRestsAsAWhole(t *testing.T) {
	w := newWorld(t, "")
	w.serve(`rules: [{at: rcpt, reply: "550 5.7.1 Mail from your IP was refused, poor IP reputation"}]`, "sour.test")
	w.serve("", "fine.test")
	w.open()
	r := w.start(w.campaign("c", "", people(60, "sour.test", "fine.test")...))
	w.idle(r)
	w.once(people(60, "fine.test")...)
	report := w.has(r, "60 deferred, 60 delivered")
	if s := report.Sites[0]; s.Trouble+report.Sites[1].Trouble != 1 {
		t.Errorf("sites: %+v", report.Sites)
	}
	c := w.reopenedCounts(r)
	if c != 0 {
		t.Errorf("%d attempts were in doubt after an orderly end in a rest", c)
	}
}

// reopenedCounts is how many attempts a restart finds in doubt.
func (w *world) reopenedCounts(r *Run) uint64 {
	w.Helper()
	name := r.campaign.Name()
	e := w.reopen()
	c, err := e.Ledger().Campaign(name)
	if err != nil {
		w.Fatal(err)
	}
	n, err := c.Resume(w.Context(), time.Now(), ledger.Retry)
	if err != nil {
		w.Fatal(err)
	}
	return uint64(n)
}

// TestLineBreaksInHeaderValuesAreCounted: they become spaces, and the report
// says how often.
func TestLineBreaksInHeaderValuesAreCounted(t *testing.T) {
	w := newWorld(t, "")
	w.serve("", "fine.test")
	w.open()
	all := people(3, "fine.test")
	r := w.start(w.campaign("c", "subject: \"To {{ name | append: '%0Ab' | url_decode }}\"\n", all...))
	w.finish(r)
	w.once(all...)
	if report := w.has(r, "3 delivered"); report.Anomalies[ledger.AnomalyLineBreaks] != 3 {
		t.Errorf("anomalies: %v", report.Anomalies)
	}
}

// TestDomainMovesToItsNewRoute: a domain that never runs dry follows its MX
// records all the same.
func TestDomainMovesToItsNewRoute(t *testing.T) {
	t.Parallel()
	b := newWorkbench(t)
	was, is := b.lane(), b.lane()
	defer was.pool.Close()
	defer is.pool.Close()
	r, ds := b.run(t, 40, 1, 500)
	d, now := ds[0], time.Now()
	d.setExpires(now.Add(time.Hour))
	f := was.flowOf(r)
	d.setFlow(f)
	if !was.activate(f, d, now) {
		t.Fatal("not active")
	}
	was.connections.Store(1)
	got, from, n, ok := was.reserve()
	if !ok {
		t.Fatal("nothing reserved")
	}
	d.setFlow(is.flowOf(r)) // a look-up answered meanwhile
	w := &worker{engine: b.engine}
	task := newTask(was, got, from)
	more, err := w.read(&task.batch, from, n)
	if err != nil || !more {
		t.Fatal(more, err)
	}
	was.release(task, n, more)
	if len(was.flows) != 0 || len(is.flows) != 1 || !d.active.Load() {
		t.Errorf("%d flows in the old lane, %d in the new one", len(was.flows), len(is.flows))
	}
}
