package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Position is a place in a campaign's order, by domain and then as the rows
// came: behind one recipient. The zero Position is the beginning.
type Position struct {
	Domain string
	Seq    Seq
}

// Listing is what Outcomes lists.
type Listing struct {
	Filter Filter
	// After is where to begin.
	After Position
	// Erased has those in it, too, who were erased: without address and fields.
	Erased bool
	// Bare leaves Outcome.Last out.
	Bare bool
	// Passed, unless nil, is told now and then how far the listing has come while
	// nobody is chosen; its error ends it.
	Passed func(Position) error
}

// Outcome is one recipient with where it stands. It dies with the call.
type Outcome struct {
	Seq           Seq
	Local, Domain string
	Fields        []byte
	State         State
	Attempts      int
	// Last is the last attempt, or the end without one; nil if there is none.
	Last *Attempt
	// Erased: there is no address any more.
	Erased bool
}

// passedOften is after how many recipients passed over a listing looks up.
const passedOften = 1 << 14

// Outcomes calls fn for everybody chosen, in the campaign's order, as of the
// moment of the call, until fn returns an error (ErrStop ends without one).
//
// The order never changes, so a listing that goes on after the last recipient
// that another one gave tells of nobody twice, whatever happened between, and
// of everybody who stayed as he was. Who has got another outcome meanwhile is
// told of with the one that the second call finds, if he lies ahead of it.
func (c *Campaign) Outcomes(ctx context.Context, list Listing, fn func(*Outcome) error) (err error) {
	snap, end, err := c.view()
	if err != nil {
		return err
	}
	defer end()
	o := &outcomes{campaign: c, snap: snap, Listing: list, fn: fn}
	o.choice, err = newChoice(&list.Filter, c.cancelled())
	if err == nil {
		err = o.run(ctx)
	}
	if errors.Is(err, ErrStop) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list campaign %s: %w", c.name, err)
	}
	return nil
}

// outcomes is a listing under way.
type outcomes struct {
	campaign *Campaign
	snap     *pebble.Snapshot
	choice   *choice
	fn       func(*Outcome) error
	Listing
}

func (o *outcomes) run(ctx context.Context) (err error) {
	w, err := newWalker(o.snap, o.campaign.number)
	if err != nil {
		return err
	}
	defer w.close(&err)
	domains, err := newDomainWalk(o.snap, o.campaign.number, o.choice)
	if err != nil {
		return err
	}
	defer domains.close(&err)
	domain, ok, err := domains.from(o.After.Domain)
	if err != nil || !ok {
		return err
	}
	if domain == o.After.Domain {
		w.seek(domain, o.After.Seq)
	} else {
		w.seek(domain, 0)
	}
	for passed := 1; ; passed++ {
		ok, err := w.next()
		if err != nil || !ok {
			return err
		}
		if passed%passedOften == 0 {
			if err := errors.Join(ctx.Err(), o.campaign.exists()); err != nil {
				return err
			}
			if o.Passed != nil {
				if err := o.Passed(Position{string(w.domain), w.seq - 1}); err != nil {
					return err
				}
			}
		}
		if string(w.domain) != domain {
			there := string(w.domain)
			if domain, ok, err = domains.from(there); err != nil || !ok {
				return err
			}
			if domain != there {
				w.seek(domain, 0)
				continue
			}
		}
		if err := o.look(w, domain, domains.show); err != nil {
			return err
		}
	}
}

// look gives the recipient to fn if it is chosen.
func (o *outcomes) look(w *walker, domain string, show showing) error {
	state, last := Pending, -1
	out := Outcome{Seq: w.seq, Domain: domain, Fields: w.fields, Erased: w.flags&rowErased != 0}
	if n := len(w.walked.history); n > 0 {
		e := &w.walked.history[n-1]
		state = e.state
		out.Attempts = int(e.attempts(w.walked.first + uint16(n) - 1))
		for last = n - 1; last >= 0 && w.walked.history[last].returned; {
			last--
		}
	}
	out.State = show.of(state)
	var event *event
	if last >= 0 {
		event = &w.walked.history[last]
	}
	if out.Erased && !o.Erased || !o.choice.chosen(out.State, event) {
		return nil
	}
	if event != nil && !o.Bare {
		a, err := o.campaign.ledger.attempt(o.snap, w.walked.first+uint16(last), w.records[last])
		if err != nil {
			return err
		}
		out.Last = &a
	}
	out.Local = string(w.local)
	return o.fn(&out)
}
