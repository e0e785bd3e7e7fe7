package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/bench/sink"
	"github.com/penstock-mail/penstock/bench/trial"
)

func TestMain(m *testing.M) { trial.Main(m) }

// size is how large a proof is.
type size struct {
	recipients int
	// loadKills fall while the campaign is being read, kills while it is sent.
	loadKills, kills int
	// life is how long a process lives before it is killed, on the average.
	life time.Duration
}

// TestKilledAtRandom is the durability proof: a campaign is sent by processes
// that are killed at random moments, and continued by the same command, until
// it is finished.
func TestKilledAtRandom(t *testing.T) {
	s := size{recipients: 4_000, loadKills: 2, kills: 8, life: 250 * time.Millisecond}
	if os.Getenv("PENSTOCK_CRASH") != "" {
		s = size{recipients: 200_000, loadKills: 12, kills: 100, life: 700 * time.Millisecond}
	}
	prove(t, s, seed(t))
}

// seed is a new one, or PENSTOCK_SEED's.
func seed(t *testing.T) uint64 {
	t.Helper()
	if s := os.Getenv("PENSTOCK_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("PENSTOCK_SEED: %v", err)
		}
		return n
	}
	return rand.Uint64()
}

// killing is one proof under way.
type killing struct {
	*testing.T
	size  size
	rand  *rand.Rand
	place *trial.Place
	sink  *sink.Sink
	// record is where the sink writes what it accepts.
	record    string
	addresses []string
	killed    int
	// doubt bounds the recipients that crashes can have left uncertain.
	doubt int
}

const id = "killed"

func prove(t *testing.T, s size, seed uint64) {
	t.Logf("PENSTOCK_SEED=%d: %d recipients, %d kills while loading, %d while sending", seed, s.recipients, s.loadKills, s.kills)
	k := &killing{T: t, size: s, rand: rand.New(rand.NewPCG(seed, 1)), place: trial.New(t)}
	k.startSink(seed)
	k.writeCampaign()
	k.killLoading()
	k.killSending()
	k.finish()
	k.judge()
}

// startSink starts one server per site, each with manners of its own.
func (k *killing) startSink(seed uint64) {
	listen := make([]string, len(sites))
	for i := range listen {
		listen[i] = "127.0.0.1:0"
	}
	k.record = filepath.Join(k.place.Dir, "arrived.tsv")
	// The ports that the script needs are known only once a sink has had them.
	probe, err := sink.Start(sink.Options{Listen: listen})
	if err != nil {
		k.Fatal(err)
	}
	listen = probe.Addrs()
	if err := probe.Close(); err != nil {
		k.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seed: %d\nservers:\n", seed>>1)
	for i, s := range sites {
		fmt.Fprintf(&b, "  - listen: %q\n", listen[i])
		for line := range strings.Lines(s.manners) {
			b.WriteString("    " + line)
		}
	}
	script, err := sink.ParseScript("script", []byte(b.String()))
	if err != nil {
		k.Fatal(err)
	}
	k.sink, err = sink.Start(sink.Options{Listen: listen, Script: script, Record: k.record})
	if err != nil {
		k.Fatal(err)
	}
	k.Cleanup(func() { k.sink.Close() })
}

// sites are the servers of the proof: their domain and a script's lines.
var sites = []struct{ domain, manners string }{
	{"fast.test", "name: mx.fast.test\n"},
	{"slow.test", "name: mx.slow.test\nlatency: 20ms\n"},
	{"plain.test", "name: mx.plain.test\nextensions: none\n"},
	{"grey.test", "greylist: {after: 1s}\n"},
	{"deferring.test", `rules:
  - {at: rcpt, share: 0.1, times: 1, reply: "450 4.2.1 Mailbox busy"}
  - {at: end, share: 0.1, times: 2, reply: "451 4.3.0 Try again"}
`},
	{"bouncing.test", `rules:
  - {at: rcpt, share: 0.1, reply: "550 5.1.1 No such user"}
  - {at: end, share: 0.05, reply: "554 5.6.0 Not this one"}
`},
	{"dropping.test", `rules:
  - {at: content, every: 300, after: 200, do: reset}
  - {at: end, every: 150, do: close, take: true}
  - {at: rcpt, every: 400, do: close}
`},
}

// writeCampaign writes what never changes.
func (k *killing) writeCampaign() {
	domains := make([]string, len(sites))
	for i, s := range sites {
		domains[i] = s.domain
	}
	k.addresses = k.place.People("people.csv", k.size.recipients, domains...)
	k.place.Write("body.txt", "Hello {{ first_name }},\n\nyour number is {{ id }}.\n.a line that begins with a dot\n")
	k.place.Write("body.html", "<p>Hello {{ first_name }}, your number is <b>{{ id }}</b>.</p>\n"+strings.Repeat("<p>Water finds its way through the gate.</p>\n", 10))
	k.place.Write("campaign.yaml", `id: `+id+`
from: "News <news@sender.test>"
envelope_from: "b+{{ penstock.verp }}@sender.test"
subject: "Number {{ id }}"
html: body.html
text: body.txt
recipients: people.csv
on_uncertain: retry
retry: {first: 1s, factor: 1, max: 2s}
`)
}

// configure writes a configuration with which about rate messages a second go
// out, by chance in this gear or that.
func (k *killing) configure(rate float64) {
	gear := pick(k.rand, "auto", "auto", "lock-step", "pipelining", "chunking")
	tls := pick(k.rand, "none", "none", "opportunistic")
	connections, inDoubt := 1+k.rand.IntN(10), pick(k.rand, 1, 4, 16, 16, 64)
	k.doubt += connections * inDoubt * len(sites)
	messages := fmt.Sprintf("%d/m", max(60, int(rate*60/float64(len(sites)))))
	k.write(gear, tls, messages, connections, pick(k.rand, 3, 50, 1000), inDoubt)
}

// write writes the configuration.
func (k *killing) write(gear, tls, rate string, connections, perConnection, inDoubt int) {
	var routes strings.Builder
	for i, addr := range k.sink.Addrs() {
		fmt.Fprintf(&routes, "  %s: %q\n", sites[i].domain, addr)
	}
	k.place.Write("penstock.yaml", fmt.Sprintf(`hostname: sender.test
smtp: {gear: %s, tls: %s, drain: 2s}
routes:
%slimits: {default: {connections: %d, message_rate: %s, messages_per_connection: %d}}
retry: {first: 1s, factor: 1, max: 2s}
ledger: {min_free: 0}
max_in_doubt: %d
`, gear, tls, &routes, connections, rate, perConnection, inDoubt))
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// killLoading kills processes while they read the recipients. A load is all or
// nothing.
func (k *killing) killLoading() {
	// Nothing goes out meanwhile, so that a load that was quick is seen as one.
	whole := time.Duration(k.size.recipients) * 5 * time.Microsecond
	for range k.size.loadKills {
		k.configure(1)
		if !k.live(k.upTo(60*time.Millisecond + 2*whole)) {
			return
		}
		if r, ok := k.place.Report(id); ok && r.Counts.Loaded != k.size.recipients {
			k.Fatalf("a killed load left a campaign of %d recipients: %+v", r.Counts.Loaded, r.Counts)
		}
	}
}

// killSending kills processes while they send, at a pace that leaves something
// for the last of them.
func (k *killing) killSending() {
	for n := range k.size.kills {
		left := float64(k.size.recipients - int(k.sink.Stats().Totals.Accepted))
		lives := float64(k.size.kills-n+1) * k.size.life.Seconds()
		k.configure(max(left/lives, 1))
		if !k.live(k.upTo(2 * k.size.life)) {
			return
		}
		if n%10 == 9 {
			k.place.Verify()
		}
	}
}

func (k *killing) upTo(d time.Duration) time.Duration { return time.Duration(k.rand.Int64N(int64(d))) }

// live lets a process send for about so long, then kills it; false when it
// ended by itself, which is a failure.
func (k *killing) live(d time.Duration) bool {
	p := k.place.Start("send", "campaign.yaml", "--quiet")
	select {
	case <-time.After(d):
	case <-p.Done():
	}
	if k.rand.IntN(8) == 0 {
		// Asked to stop, and killed while it does.
		p.Signal(syscall.SIGTERM)
		select {
		case <-time.After(k.upTo(50 * time.Millisecond)):
		case <-p.Done():
		}
	}
	killed := p.Kill()
	r := p.Wait()
	// A process so young that it does not listen to SIGTERM yet is killed by it
	// (an exit code of -1 is a death by a signal).
	if killed || r.Code == -1 {
		k.killed++
		return true
	}
	if r.Code == 3 {
		return true // it was quick to stop: in order, and no kill
	}
	k.Errorf("a process that was to be killed ended by itself after %d kills: %v", k.killed, r)
	return false
}

// finish sends the rest without being killed.
func (k *killing) finish() {
	k.write("auto", "none", "none", 20, 1000, 16)
	if r := k.place.Run("send", "campaign.yaml", "--quiet"); r.Code != 0 {
		k.Errorf("the last process: %v", r)
	}
	k.place.Verify()
	if err := k.sink.Close(); err != nil {
		k.Error(err)
	}
	k.Logf("%d processes were killed", k.killed)
}
