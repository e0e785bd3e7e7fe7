package peers

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/bench/sink"
	"github.com/penstock-mail/penstock/bench/trial"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

func TestMain(m *testing.M) {
	// The tests wait most of the time, so many may run at once.
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	trial.Main(m)
}

// id is the campaign of every test.
const id = "peers"

// people is how many recipients each site has.
const people = 30

// stage is a bad site and a good one with a campaign for both.
type stage struct {
	t         *testing.T
	place     *trial.Place
	people    int // at each site
	addresses []string

	mu     sync.Mutex
	copies map[string]int // guarded by mu; what the sinks accepted
	served chan struct{}  // closed when everybody at the good site has a copy
	good   int            // guarded by mu
}

func newStage(t *testing.T) *stage { return newStageFor(t, people) }

// newStageFor has n recipients at each site.
func newStageFor(t *testing.T, n int) *stage {
	s := &stage{t: t, place: trial.New(t), people: n, copies: map[string]int{}, served: make(chan struct{})}
	s.addresses = s.place.People("people.csv", 2*n, "bad.test", "good.test")
	s.place.Write("body.txt", "Hello {{ first_name }}\n"+strings.Repeat("Water finds its way through the gate.\n", 20))
	s.place.Write("campaign.yaml", "id: "+id+"\nfrom: news@sender.test\nsubject: 'Number {{ id }}'\ntext: body.txt\nrecipients: people.csv\n")
	return s
}

// serve starts a sink with a script; "" is a plain one.
func (s *stage) serve(script string) (addr string) {
	s.t.Helper()
	parsed, err := sink.ParseScript("script", []byte(script))
	if err != nil {
		s.t.Fatal(err)
	}
	k, err := sink.Start(sink.Options{Script: parsed, Loops: 1, Accept: func(m *sink.Message) {
		if len(m.Content) == 0 {
			return // the lone dot after a refusal, taken all the same
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, to := range m.To {
			s.copies[string(to)]++
			if s.copies[string(to)] == 1 && strings.HasSuffix(string(to), "@good.test") {
				if s.good++; s.good == s.people {
					close(s.served)
				}
			}
		}
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { k.Close() })
	return k.Addrs()[0]
}

// patience is the time-outs of the configuration.
const patience = 700 * trial.Slower * time.Millisecond

// send sends until the campaign is finished; or, where it cannot be, until
// everybody at the good site has been served and the bad one has had its
// time-outs, and then stops. It wants that exit code, 0 or 3.
func (s *stage) send(code int) {
	s.t.Helper()
	p := s.place.Start("send", "campaign.yaml", "--quiet")
	if code == 3 {
		select {
		case <-s.served:
		case <-p.Done():
		case <-time.After(30 * patience):
			s.t.Error("the good site was not served")
		}
		select {
		case <-time.After(patience * 3 / 2):
		case <-p.Done():
		}
		p.Signal(syscall.SIGTERM)
	}
	if r := p.Wait(); r.Code != code {
		s.t.Errorf("want exit code %d: %v", code, r)
	}
}

// configure writes penstock.yaml with time-outs that a test can wait for; more
// is appended.
func (s *stage) configure(gear, more string) {
	s.place.Write("penstock.yaml", fmt.Sprintf(`hostname: sender.test
smtp:
  gear: %[1]s
  tls: none
  drain: 1s
  timeouts: {connect: %[2]s, greeting: %[2]s, hello: %[2]s, mail: %[2]s, rcpt: %[2]s, data: %[2]s, end: %[2]s, quit: 100ms}
limits: {default: {connections: 4}}
breaker: {threshold: 0}
ledger: {min_free: 0}
%[3]s`, gear, patience, more))
}

// outcome counts the bad site's recipients by state, once every promise that
// does not depend on the case has been checked.
func (s *stage) outcome() map[string]int {
	s.t.Helper()
	s.place.Verify()
	bad := map[string]int{}
	s.place.Histories(id, s.addresses, func(a string, h *pb.GetRecipientResponse) {
		state := h.Recipient.State
		delivered, uncertain := 0, 0
		for _, attempt := range h.Attempts {
			switch attempt.State {
			case "delivered":
				delivered++
			case "uncertain":
				uncertain++
			}
		}
		s.mu.Lock()
		copies := s.copies[a]
		s.mu.Unlock()
		if copies < delivered || copies > delivered+uncertain {
			s.t.Errorf("%s arrived %d times, with %d attempts delivered and %d uncertain", a, copies, delivered, uncertain)
		}
		if strings.HasSuffix(a, "@good.test") {
			if state != "delivered" {
				s.t.Errorf("%s is %s, beside a site that misbehaves", a, state)
			}
			return
		}
		bad[state]++
	})
	return bad
}

// only fails the test unless all recipients of the bad site are in these states.
func (s *stage) only(got map[string]int, states ...string) {
	s.t.Helper()
	total := 0
	for state, n := range got {
		total += n
		if !slices.Contains(states, state) {
			s.t.Errorf("%d recipients are %s; only %v would do", n, state, states)
		}
	}
	if total != s.people {
		s.t.Errorf("%d of %d recipients are known: %v", total, s.people, slices.Sorted(maps.Keys(got)))
	}
}

var gears = []string{"lock-step", "pipelining", "chunking"}

// What may become of the recipients of a site that cannot be talked to: it is
// the site's trouble, so nobody bounces.
var waiting = []string{"pending", "deferred"}

// badSites are scripts with the states that their recipients may be in a few
// seconds later.
var badSites = []struct {
	name, script string
	states       []string
	code         int
}{
	{"refuses connections", `rules: [{at: connect, reply: "554 5.7.1 not you"}]`, waiting, 3},
	{"busy", `rules: [{at: connect, reply: "421 4.3.2 later"}]`, waiting, 3},
	{"stalls at the greeting", `rules: [{at: connect, do: stall}]`, waiting, 3},
	{"stalls at EHLO", `rules: [{at: ehlo, do: stall}]`, waiting, 3},
	{"stalls at MAIL", `rules: [{at: mail, do: stall}]`, append(waiting, "uncertain"), 3},
	{"stalls at RCPT", `rules: [{at: rcpt, do: stall}]`, append(waiting, "uncertain"), 3},
	{"stalls at the end", `rules: [{at: end, do: stall}]`, append(waiting, "uncertain"), 3},
	{"takes it and hangs up", `rules: [{at: end, do: close, take: true}]`, append(waiting, "uncertain"), 3},
	{"floods at EHLO", `rules: [{at: ehlo, do: flood}]`, waiting, 3},
	{"floods at RCPT", `rules: [{at: rcpt, do: flood}]`, append(waiting, "uncertain"), 3},
	{"closes in the middle of messages", `rules: [{at: content, after: 100, do: close}]`, append(waiting, "uncertain"), 3},
	{"resets in the middle of messages", `rules: [{at: content, after: 100, do: reset}]`, append(waiting, "uncertain"), 3},
	{"answers nonsense to EHLO", `rules: [{at: ehlo, do: garbage}]`, waiting, 3},
	{"answers nonsense to MAIL", `rules: [{at: mail, do: garbage}]`, append(waiting, "uncertain"), 3},
	{"answers nonsense at the end", `rules: [{at: end, do: garbage}]`, append(waiting, "uncertain"), 3},
	{"refuses the sender", `rules: [{at: mail, reply: "550 5.7.1 not you"}]`, waiting, 3},
	{"refuses every recipient", `rules: [{at: rcpt, reply: "550 5.1.1 No such user"}]`, []string{"bounced"}, 0},
	{"refuses every message", `rules: [{at: end, reply: "554 5.6.0 Not this one"}]`, []string{"bounced"}, 0},
	{"defers every recipient", `rules: [{at: rcpt, reply: "450 4.2.1 Busy"}]`, waiting, 3},
	{"accepts after refusing the recipient", "servers: [{accept_after_refusal: true, rules: [{at: rcpt, reply: \"550 5.1.1 No such user\"}]}]", []string{"bounced", "delivered"}, 0},
	{"one reply in three lines, octet by octet", `servers: [{multiline: 3, drip: 1ms}]`, []string{"delivered"}, 0},
}

func TestBadSites(t *testing.T) {
	t.Parallel()
	for i, c := range badSites {
		for j, gear := range gears {
			// Each script in one gear always, and in all of them on request: a
			// case takes seconds, most of them waiting.
			if i%len(gears) != j && !thorough {
				continue
			}
			t.Run(c.name+" "+gear, func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				s.configure(gear, fmt.Sprintf("routes: {bad.test: %q, good.test: %q}\n", s.serve(c.script), s.serve("")))
				s.send(c.code)
				s.only(s.outcome(), c.states...)
			})
		}
	}
}
