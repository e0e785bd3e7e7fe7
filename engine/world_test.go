package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-mail/penstock/bench/nameserver"
	"github.com/penstock-mail/penstock/bench/sink"
	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/ledger"
)

func TestMain(m *testing.M) {
	// gnet's worker pool keeps two goroutines for the life of the process.
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

// patience is how long a test waits for what must come: a bound for hangs.
const patience = time.Minute

// world is an engine with all that it deals with: a data directory, servers
// and a log. At the end the engine is drained and the ledger's proof is asked
// for, whatever the test did.
type world struct {
	*testing.T
	dir    string
	config *config.Config
	log    *logbook
	engine *Engine // nil: not open
	mail   mailbag
	tuning tuning
}

// newWorld makes a world. settings is what penstock.yaml says beyond what suits
// all tests.
func newWorld(t *testing.T, settings string) *world {
	t.Helper()
	t.Parallel()
	return newWorldAlone(t, settings)
}

// newWorldAlone is one whose test does not run beside others of its parent.
func newWorldAlone(t *testing.T, settings string) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir(), log: new(logbook)}
	w.config = w.configuration(settings)
	w.mail.arrived = make(map[string][]letter)
	t.Cleanup(w.close)
	return w
}

func (w *world) configuration(settings string) *config.Config {
	w.Helper()
	c, problems := config.Parse(filepath.Join(w.dir, "penstock.yaml"), []byte("hostname: sender.test\ndata: data\n"+settings))
	if err := problems.Err(); err != nil {
		w.Fatal(err)
	}
	if c.Ledger.MinFree == 256e6 {
		c.Ledger.MinFree = 0
	}
	c.DNS.Concurrency = min(c.DNS.Concurrency, 8)
	// Shorter than a file may ask for: what is deferred comes back at once.
	c.Retry = config.Retry{First: 20 * time.Millisecond, Factor: 1, Max: 20 * time.Millisecond, Expire: time.Hour}
	return c
}

// write makes a file of the world.
func (w *world) write(name, content string) string {
	w.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		w.Fatal(err)
	}
	return path
}

// serve starts a receiving server that the domains are routed to; script is
// one server's lines of a sink script.
func (w *world) serve(script string, domains ...string) *sink.Sink {
	w.Helper()
	s := w.sink("127.0.0.1:0", "servers:\n"+listed(script))
	for _, d := range domains {
		w.config.Routes[d] = s.Addrs()[0]
	}
	return s
}

// listed makes a script's lines an element of a list.
func listed(lines string) string {
	if lines == "" {
		lines = "name: mx.test\n"
	}
	return "  - " + strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\n    ") + "\n"
}

// sink starts a receiving server with a whole script, whose mail goes into the
// world's bag.
func (w *world) sink(listen, script string) *sink.Sink {
	w.Helper()
	parsed, err := sink.ParseScript("script", []byte(script))
	if err != nil {
		w.Fatal(err)
	}
	s, err := sink.Start(sink.Options{Listen: []string{listen}, Script: parsed, Accept: w.mail.accept, Loops: 1, LocalOnly: true})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		w.close() // the engine says goodbye first
		if err := s.Close(); err != nil {
			w.Error(err)
		}
	})
	return s
}

// names starts a name server and has the engine ask it. MX hosts are at any
// address of 127.0.0.0/8, all behind the one server that script describes.
func (w *world) names(zone map[string]nameserver.Name, script string) (*nameserver.Server, *sink.Sink) {
	w.Helper()
	s := w.sink("0.0.0.0:0", script)
	ns, err := nameserver.Start("", &nameserver.Zone{Names: zone})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		w.close()
		if err := ns.Close(); err != nil {
			w.Error(err)
		}
	})
	w.config.DNS.Servers = []string{ns.Addr()}
	w.config.SMTP.Port = portOf(w, s.Addrs()[0])
	return ns, s
}

func portOf(w *world, addr string) int {
	w.Helper()
	n, err := strconv.Atoi(addr[strings.LastIndexByte(addr, ':')+1:])
	if err != nil {
		w.Fatal(err)
	}
	return n
}

// open opens the engine.
func (w *world) open() *Engine {
	w.Helper()
	e, err := openTuned(w.config, slog.New(slog.NewTextHandler(w.log, nil)), w.tuning)
	if err != nil {
		w.Fatal(err)
	}
	w.engine = e
	return e
}

// close ends the engine in order and asks for the proof.
func (w *world) close() { w.shut(true) }

func (w *world) shut(sound bool) {
	w.Helper()
	e := w.engine
	if e == nil {
		return
	}
	w.engine = nil
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := e.Drain(ctx); err != nil && sound {
		w.Errorf("drain: %v", err)
	}
	if sound {
		proof(w, e.ledger)
	}
	if err := e.Close(); err != nil && sound {
		w.Errorf("close: %v", err)
	}
}

func proof(w *world, l *ledger.Ledger) {
	w.Helper()
	r, err := l.Verify(context.Background())
	if err != nil {
		w.Errorf("verify: %v", err)
	}
	if !r.OK() {
		w.Errorf("the ledger is not sound: %s", strings.Join(r.Problems, "\n"))
	}
}

// reopen is what a new process would do.
func (w *world) reopen() *Engine {
	w.Helper()
	w.close()
	return w.open()
}

// campaign writes a campaign's files and reads them. more is lines of the
// campaign file.
func (w *world) campaign(id, more string, addresses ...string) *campaign.Campaign {
	w.Helper()
	var people strings.Builder
	people.WriteString("email,name\n")
	for i, a := range addresses {
		fmt.Fprintf(&people, "%s,Name %d\n", a, i+1)
	}
	w.write(id+".csv", people.String())
	text := "id: " + id + "\nfrom: \"News <news@sender.test>\"\nrecipients: " + id + ".csv\n" + more
	if !strings.Contains(more, "text:") && !strings.Contains(more, "html:") && !strings.Contains(more, "message:") {
		w.write(id+".txt", "Hello {{ name }},\n\nwater finds its way.\n")
		text += "\ntext: " + id + ".txt\n"
	}
	if !strings.Contains(more, "subject:") && !strings.Contains(more, "message:") {
		text += "\nsubject: \"To {{ name }}\"\n"
	}
	c, problems := campaign.Read(w.write(id+".yaml", text))
	if err := problems.Err(); err != nil {
		w.Fatal(err)
	}
	return c
}

// people is n addresses at each of the domains, taking turns.
func people(n int, domains ...string) []string {
	var all []string
	for i := range n {
		for _, d := range domains {
			all = append(all, fmt.Sprintf("u%d@%s", i+1, d))
		}
	}
	return all
}

// load brings a campaign into the ledger.
func (w *world) load(c *campaign.Campaign) *ledger.Campaign {
	w.Helper()
	loaded, err := w.engine.Load(context.Background(), c, nil, nil)
	if err != nil {
		w.Fatal(err)
	}
	return loaded
}

// start loads a campaign and begins to send it.
func (w *world) start(c *campaign.Campaign) *Run {
	w.Helper()
	r, err := w.engine.Start(context.Background(), w.load(c))
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// finish waits until all runs are finished.
func (w *world) finish(runs ...*Run) {
	w.Helper()
	for _, r := range runs {
		w.waitFor(r, r.Finished(), "finished")
	}
}

// idle waits until nothing of the run is due or in flight.
func (w *world) idle(r *Run) {
	w.Helper()
	w.waitFor(r, r.Idle(), "idle")
}

func (w *world) waitFor(r *Run, c <-chan struct{}, what string) {
	w.Helper()
	select {
	case <-c:
	case err := <-w.engine.Fatal():
		w.Fatalf("campaign %s is to be %s: %v", r.campaign.Name(), what, err)
	case <-time.After(patience):
		counts, _ := r.campaign.Counts()
		w.Fatalf("campaign %s is not %s: %s\n%s", r.campaign.Name(), what, states(counts), w.log)
	}
}

// await waits until ok, which it asks again and again.
func (w *world) await(what string, ok func() bool) {
	w.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			w.Fatalf("timed out waiting until %s\n%s", what, w.log)
		}
	}
}

// report is what the ledger says when all that was handed in is on disk.
func (w *world) report(r *Run) *ledger.Report {
	w.Helper()
	if err := w.engine.ledger.Flush(context.Background()); err != nil {
		w.Fatal(err)
	}
	report, err := r.campaign.Report(context.Background())
	if err != nil {
		w.Fatal(err)
	}
	return report
}

// states shows counts that are not 0, such as "2 bounced, 3 delivered".
func states(c ledger.Counts) string {
	var parts []string
	for i, n := range c {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %v", n, ledger.State(i)))
		}
	}
	slices.SortFunc(parts, func(a, b string) int {
		return strings.Compare(a[strings.IndexByte(a, ' '):], b[strings.IndexByte(b, ' '):])
	})
	return strings.Join(parts, ", ")
}

// has fails unless the campaign's report shows these counts.
func (w *world) has(r *Run, want string) *ledger.Report {
	w.Helper()
	report := w.report(r)
	if got := states(report.Counts); got != want {
		w.Errorf("campaign %s: %s; want %s\n%s", r.campaign.Name(), got, want, w.log)
	}
	return report
}

// history is what became of one address.
func (w *world) history(r *Run, address string) *ledger.Record {
	w.Helper()
	if err := w.engine.ledger.Flush(context.Background()); err != nil {
		w.Fatal(err)
	}
	local, domain, _ := strings.Cut(address, "@")
	record, err := r.campaign.Lookup(local, domain)
	if err != nil {
		w.Fatalf("%s: %v", address, err)
	}
	return record
}

// ended fails unless the address has the state and its last entry these codes.
func (w *world) ended(r *Run, address string, state ledger.State, code int, enhanced [3]uint16) *ledger.Attempt {
	w.Helper()
	record := w.history(r, address)
	if len(record.Attempts) == 0 {
		w.Fatalf("%s: nothing is recorded, want %v", address, state)
	}
	last := &record.Attempts[len(record.Attempts)-1]
	if record.State != state || last.Code != code || last.Enhanced != enhanced {
		w.Errorf("%s: %v %d %v %q; want %v %d %v", address, record.State, last.Code, last.Enhanced, last.Text, state, code, enhanced)
	}
	return last
}

// reread reads a campaign's files anew.
func (w *world) reread(c *campaign.Campaign) *campaign.Campaign {
	w.Helper()
	c, problems := campaign.Read(c.Path)
	if err := problems.Err(); err != nil {
		w.Fatal(err)
	}
	return c
}

// tenants makes one.test and two.test two routes of one site, behind one server
// with the lines of script.
func (w *world) tenants(script string) {
	w.Helper()
	w.names(map[string]nameserver.Name{
		"one.test":    {MX: []string{"10 one.mx.test"}},
		"two.test":    {MX: []string{"10 two.mx.test"}},
		"one.mx.test": {A: []string{"127.0.0.2"}},
		"two.mx.test": {A: []string{"127.0.0.3"}},
		"fine.test":   {MX: []string{"10 fine.test"}, A: []string{"127.0.0.4"}},
	}, "servers:\n"+listed("listen: [127.0.0.2, 127.0.0.3]\n"+script)+listed("name: fine.test"))
	w.config.MX.Rules = w.write("sites.txt", "mx.test tenants\n")
}

// tried is those of the addresses that were tried at least once.
func (w *world) tried(r *Run, addresses []string) (all []string) {
	w.Helper()
	for _, a := range addresses {
		if slices.ContainsFunc(w.history(r, a).Attempts, func(a ledger.Attempt) bool { return a.Attempted }) {
			all = append(all, a)
		}
	}
	return all
}
