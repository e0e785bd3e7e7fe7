package engine

import (
	"errors"
	"time"

	"github.com/penstock-mail/penstock/engine/bounce"
	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/pool/smtp"
)

// settle turns what a connection saw into an outcome: what the reply means, what
// the site's limits learn from it, and what the ledger records. Event loop: all
// it calls only touches memory.
func (e *Engine) settle(via *pool.Connection, env *envelope, out *smtp.Outcome, took time.Duration) {
	now := e.now()
	s := ledger.Settlement{
		Domain:    env.destination.domain,
		Seq:       env.seq,
		Was:       env.was,
		Attempts:  env.attempts,
		Attempted: true,
		Via:       e.peer(via),
		At:        now,
		Took:      took,
		Command:   uint8(out.Command),
		Code:      uint16(out.Reply.Code),
		Enhanced:  out.Reply.Enhanced,
		Text:      out.Reply.Text,
		Anomaly:   anomaly(env, out),
		Tag:       env,
	}
	site := env.flow.lane.site
	switch out.Fate {
	case smtp.Delivered:
		s.State = ledger.Delivered
		site.delivered(via, now)
		e.streakEnds(env.flow)
	case smtp.Uncertain:
		s.State = ledger.Uncertain
		if out.Err != nil {
			s.Text = out.Err.Error()
		}
		if env.flow.run.settings.OnUncertain == campaign.RetryUncertain {
			s.Due = e.retryAt(env.flow.run, int(env.attempts)+1, 0, now)
		}
	case smtp.NotAttempted:
		e.notAttempted(env, &s, out)
		return
	case smtp.Refused:
		facts := bounce.FactsOf(site.name, out)
		facts.Fresh = !via.Answered()
		v := bounce.Judge(facts)
		site.refused(via, now, &v, out)
		switch v.Action {
		case bounce.Requeue:
			e.handBack(env)
			return
		case bounce.Bounce:
			s.State = ledger.Bounced
		default:
			e.deferred(env, &s, v.RetryAfter, now)
		}
		if v.BreakerKey != "" && e.hold(env.flow, v.BreakerKey, s, now) {
			return
		}
	}
	e.record(&s)
}

// anomaly is what was odd about an attempt: what the server did, or else what
// the recipient's values would have done to the header.
func anomaly(env *envelope, out *smtp.Outcome) uint8 {
	if out.Anomaly == smtp.NoAnomaly && env.replaced {
		return ledger.AnomalyLineBreaks
	}
	return uint8(out.Anomaly)
}

// record hands a settlement to the ledger and counts it for the display.
func (e *Engine) record(s *ledger.Settlement) {
	env := s.Tag.(*envelope)
	env.flow.lane.site.count(s.State)
	e.meters.count(s, env.flow.run.begun())
	env.emptied()
	e.ledger.Settle(s)
}

// deferred sets when s is tried again, or that it expires first.
func (e *Engine) deferred(env *envelope, s *ledger.Settlement, hint time.Duration, now time.Time) {
	run := env.flow.run
	s.State = ledger.Deferred
	s.Due = e.retryAt(run, int(env.attempts)+1, hint, now)
	if run.expiresBefore(env.flow.lane.site.name, now, s.Due) {
		s.State, s.Due = ledger.Expired, time.Time{}
	}
}

// notAttempted hands back what this connection could not send, unless no
// connection ever could.
func (e *Engine) notAttempted(env *envelope, s *ledger.Settlement, out *smtp.Outcome) {
	switch {
	case errors.Is(out.Err, smtp.ErrTooLarge):
		e.settleUnsent(env, ledger.Bounced, &unsent{code: 552, enhanced: [3]uint16{5, 3, 4}, text: out.Err.Error()}) // RFC 1870 6.1, RFC 3463 3.4
	case errors.Is(out.Err, smtp.ErrNeedsUTF8):
		e.settleUnsent(env, ledger.Bounced, &unsent{code: 553, enhanced: [3]uint16{5, 6, 7}, text: out.Err.Error()}) // RFC 6531 3.5
	case errors.Is(out.Err, smtp.ErrAddress):
		e.settleUnsent(env, ledger.Bounced, &unsent{code: 553, enhanced: [3]uint16{5, 1, 3}, text: out.Err.Error()})
	case errors.Is(out.Err, smtp.ErrNeedsEightBit):
		env.flow.lane.composeSevenBit()
		e.handBack(env)
	case out.Command != smtp.CommandUnset && env.flow.run.turnedAway(env):
		// The connection ended on it time and again: perhaps it is this message
		// that the server cannot stand. So it is an attempt, and comes later.
		s.Text = out.Err.Error()
		e.deferred(env, s, 0, s.At)
		e.record(s)
	default:
		e.handBack(env)
	}
}

// settleUnsent records an outcome that needed no attempt.
func (e *Engine) settleUnsent(env *envelope, state ledger.State, why *unsent) {
	s := ledger.Settlement{
		Domain:   env.destination.domain,
		Seq:      env.seq,
		Was:      env.was,
		Attempts: env.attempts,
		State:    state,
		At:       e.now(),
		Code:     why.code,
		Enhanced: why.enhanced,
		Text:     why.text,
		Tag:      env,
	}
	e.record(&s)
}

// handBack returns a leased recipient that was not sent: recorded, at no cost
// to it, and due at once.
func (e *Engine) handBack(env *envelope) {
	env.emptied()
	e.ledger.HandBack(env.destination.domain, env.seq, env)
}

// durable is called by the ledger's writer once a group is on disk: the places
// under max_in_doubt become free, retries are scheduled, and lanes go on.
func (e *Engine) durable(group []ledger.Settlement) {
	for len(group) > 0 {
		first, ours := group[0].Tag.(*envelope)
		if !ours {
			// Resume settles whom a crash left leased: nobody here waits for it.
			group = group[1:]
			continue
		}
		f := first.flow
		n, places := 0, 0
		var settled tally
		for n < len(group) {
			env, ours := group[n].Tag.(*envelope)
			if !ours || env.flow != f {
				break
			}
			if s := &group[n]; !s.Due.IsZero() {
				e.scheduleAt(env.destination, s.Due)
			}
			if !env.held {
				places++
			}
			settled.count(&group[n])
			env.free()
			n++
		}
		f.lane.mu.Lock()
		f.reserved -= places
		f.lane.reserved -= places
		f.tally.add(&settled)
		next := f.lane.wants()
		f.lane.mu.Unlock()
		if next != nil {
			e.work.put(next, f.lane)
		}
		e.retire(f.lane)
		f.run.check()
		f.run.left(int64(n))
		group = group[n:]
	}
}
