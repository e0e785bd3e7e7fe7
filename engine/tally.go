package engine

import (
	"time"

	"github.com/penstock-mail/penstock/engine/forecast"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// tally counts what was settled of a flow since its lane was opened.
type tally struct {
	// settled is every outcome, with a try or without.
	settled uint64
	// last is when the last of them came.
	last time.Time
	// tried is first tries, again retries.
	tried, again forecast.Tally
}

// count takes in one settlement that is on disk.
func (t *tally) count(s *ledger.Settlement) {
	if s.State == ledger.Pending {
		return // handed back
	}
	t.settled++
	t.last = s.At
	if !s.Attempted {
		return
	}
	kind := &t.tried
	if s.Attempts > 0 {
		kind = &t.again
	}
	kind.All++
	if s.State == ledger.Deferred {
		kind.Deferred++
	}
}

func (t *tally) add(o *tally) {
	t.settled += o.settled
	if o.last.After(t.last) {
		t.last = o.last
	}
	t.tried = t.tried.Plus(o.tried)
	t.again = t.again.Plus(o.again)
}
