package crash

import (
	"os"
	"strings"
	"testing"

	"github.com/penstock-mail/penstock/bench/sink"
	"github.com/penstock-mail/penstock/bench/trial"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// evidence is what is known of one recipient from both ends.
type evidence struct {
	// state and the attempts by what they ended with, from the ledger.
	state                string
	delivered, uncertain int
	// copies that the sink accepted; same is whether all were equal, Date and
	// Message-ID with the rest.
	copies int
	same   bool
}

// fault says what is wrong with a recipient at the end of a campaign; "" is
// nothing.
func (e evidence) fault() string {
	switch {
	case e.state != "delivered" && e.state != "bounced":
		return "has no final outcome"
	case e.state == "delivered" && e.copies == 0:
		return "is lost: delivered, and never arrived"
	case e.state == "bounced" && e.delivered > 0:
		return "bounced after it was delivered"
	case e.delivered > 1:
		return "was sent to again after it was delivered"
	case e.copies < e.delivered:
		return "arrived less often than it was delivered"
	case e.copies > 1 && e.uncertain == 0:
		return "arrived more than once without an uncertain attempt"
	case e.copies > e.delivered+e.uncertain:
		return "arrived more often than attempts explain"
	case e.copies > 1 && !e.same:
		return "arrived in copies that differ"
	}
	return ""
}

// TestTheJudge shows that it knows what is wrong when it sees it.
func TestTheJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		e    evidence
		ok   bool
	}{
		{"delivered once", evidence{state: "delivered", delivered: 1, copies: 1, same: true}, true},
		{"twice, and known to be", evidence{state: "delivered", delivered: 1, uncertain: 1, copies: 2, same: true}, true},
		{"bounced", evidence{state: "bounced", same: true}, true},
		{"bounced after a doubt", evidence{state: "bounced", uncertain: 1, copies: 1, same: true}, true},
		{"lost", evidence{state: "delivered", delivered: 1}, false},
		{"left behind", evidence{state: "pending"}, false},
		{"twice", evidence{state: "delivered", delivered: 1, copies: 2, same: true}, false},
		{"thrice, one doubt", evidence{state: "delivered", delivered: 1, uncertain: 1, copies: 3, same: true}, false},
		{"changed", evidence{state: "delivered", delivered: 1, uncertain: 1, copies: 2}, false},
		{"sent on", evidence{state: "delivered", delivered: 2, uncertain: 1, copies: 2, same: true}, false},
	} {
		if got := c.e.fault(); (got == "") != c.ok {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// judge holds the ledger against the sink's record, recipient by recipient.
func (k *killing) judge() {
	all := k.collect()
	uncertain, repeated, faults := 0, 0, 0
	counts := map[string]int{}
	for _, a := range k.addresses {
		e := all[a]
		if e == nil {
			e = new(evidence)
		}
		counts[e.state]++
		uncertain += e.uncertain
		if e.copies > 1 {
			repeated++
		}
		if fault := e.fault(); fault != "" {
			if faults++; faults <= 20 {
				k.Errorf("%s %s: %+v", a, fault, *e)
			}
		}
	}
	if faults > 0 {
		k.Errorf("%d recipients are not as they should be", faults)
	}
	if len(all) != len(k.addresses) {
		k.Errorf("%d recipients are known at either end, of %d", len(all), len(k.addresses))
	}
	k.judgeReport(counts, uncertain)
	k.Logf("%v, %d attempts uncertain (bound for crashes: %d), %d recipients got more than one copy", counts, uncertain, k.doubt, repeated)
}

// judgeReport compares the report with what was counted here.
func (k *killing) judgeReport(counts map[string]int, uncertain int) {
	r, ok := k.place.Report(id)
	if !ok {
		k.Fatal("there is no report")
	}
	want := trial.Counts{Rows: k.size.recipients, Loaded: k.size.recipients, Delivered: counts["delivered"], Bounced: counts["bounced"]}
	if r.Counts != want {
		k.Errorf("the report counts %+v, and there are %+v", r.Counts, want)
	}
	if r.UncertainAttempts != uncertain {
		k.Errorf("the report counts %d uncertain attempts, the histories have %d", r.UncertainAttempts, uncertain)
	}
	if n := k.sink.Stats().Totals.Improper; n != 0 {
		k.Errorf("%d commands came before they might", n)
	}
}

// collect reads the sink's record and every recipient's history.
func (k *killing) collect() map[string]*evidence {
	all := map[string]*evidence{}
	k.place.Histories(id, k.addresses, func(a string, h *pb.GetRecipientResponse) {
		e := &evidence{state: h.Recipient.State, same: true}
		for _, attempt := range h.Attempts {
			switch attempt.State {
			case "delivered":
				e.delivered++
			case "uncertain":
				e.uncertain++
			}
		}
		all[a] = e
	})
	f, err := os.Open(k.record)
	if err != nil {
		k.Fatal(err)
	}
	defer f.Close()
	first := map[string]sink.Arrival{}
	for a, err := range sink.ReadArrivals(f) {
		if err != nil {
			k.Fatal(err)
		}
		to := strings.ToLower(a.To)
		if all[to] == nil {
			all[to] = new(evidence)
		}
		if all[to].copies++; all[to].copies == 1 {
			first[to] = a
		} else if was := first[to]; was.ID != a.ID || was.Hash != a.Hash {
			all[to].same = false
		}
		if len(a.Notes) > 0 || a.HeaderTo != a.To || a.ID == "" {
			k.Errorf("%s arrived with %v, To %s, Message-ID %s", a.To, a.Notes, a.HeaderTo, a.ID)
		}
	}
	return all
}
