package engine

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/throttle"
)

// breaker keeps an address block from turning a list into bounces: when a site
// gives one campaign the same policy refusal for so many recipients in a row,
// it is us that the site refuses, not them.
//
// Until the row is long enough or broken, its settlements are held back: they
// become bounces when it breaks, and deferrals when the breaker trips. They are
// leased on disk meanwhile, so at worst they are tried again after a crash.
// They take no place under max_in_doubt, or a row longer than that could never
// form: their number is bounded by the breaker's own.
type breaker struct {
	throttle.Breaker
	held      []ledger.Settlement
	restUntil time.Time
	reason    string // why it rests, for people
	// rests: the event log tells of the rest, and not of its end yet.
	rests   bool
	release *time.Timer
}

const (
	// breakerPatience is how often a row is looked at whether it can still grow.
	breakerPatience = 5 * time.Second
	// breakerRest is how long a site rests for the campaign.
	breakerRest = time.Hour

	learnedBreaker = "breaker"
)

// hold takes a policy refusal into the row of its campaign and site. It reports
// whether it took charge of the settlement.
func (e *Engine) hold(f *flow, key string, s ledger.Settlement, now time.Time) bool {
	if e.config.Breaker <= 0 {
		return false
	}
	r, site := f.run, f.lane.site
	r.mu.Lock()
	b := r.breakers[site.name]
	if b == nil {
		b = &breaker{Breaker: throttle.Breaker{Limit: e.config.Breaker}}
		r.breakers[site.name] = b
	}
	if now.Before(b.restUntil) {
		until := b.restUntil
		r.mu.Unlock()
		e.settleResting([]ledger.Settlement{s}, until)
		return true
	}
	tripped := b.Refused(key)
	if !tripped {
		f.lane.heldBack(s.Tag.(*envelope))
	}
	b.held = append(b.held, s)
	r.streaks.Store(true)
	if !tripped {
		if b.release == nil {
			b.release = time.AfterFunc(e.patience(), func() { e.rowStands(r, site) })
		} else {
			b.release.Reset(e.patience())
		}
		r.mu.Unlock()
		f.lane.offer()
		return true
	}
	held := b.held
	b.held = nil
	b.restUntil, b.rests = now.Add(breakerRest), true
	b.reason = "resting: refused " + s.Text
	until, reason := b.restUntil, b.reason
	r.mu.Unlock()

	e.settleResting(held, until)
	e.log.Warn("breaker tripped: the site refuses this campaign", "campaign", r.campaign.Name(), "site", site.name,
		"recipients", len(held), "reply", s.Text, "until", until)
	site.replies.note(Reply{At: now, Code: int(s.Code), Text: reason})
	e.tell(learnedBreaker, r.campaign.Name()+"\x00"+site.name, append(binary.BigEndian.AppendUint64(nil, uint64(until.UnixMilli())), reason...),
		restedNotice(r.campaign.Name(), site.name, &s, until))
	for _, l := range e.lanesOf(site) {
		e.rest(l, r, reason, until)
	}
	return true
}

func (e *Engine) patience() time.Duration {
	if p := e.tuning.breakerPatience; p > 0 {
		return p
	}
	return breakerPatience
}

// lanesOf is a site's lanes as of now.
func (e *Engine) lanesOf(s *site) []*lane {
	e.routing.Lock()
	defer e.routing.Unlock()
	return slices.Collect(maps.Keys(s.lanes))
}

// rowStands looks at a row that has not grown for a while: where nothing more
// can come it ends here, and what was held back are bounces.
func (e *Engine) rowStands(r *Run, s *site) {
	if e.ctx.Err() != nil {
		return // Drain lets go of all rows
	}
	for _, l := range e.lanesOf(s) {
		if l.busyWith(r) {
			r.mu.Lock()
			if b := r.breakers[s.name]; len(b.held) > 0 {
				b.release.Reset(e.patience())
			}
			r.mu.Unlock()
			return
		}
	}
	e.releaseRow(r, s.name)
}

// rest holds what a lane has for a run back until the given time.
func (e *Engine) rest(l *lane, r *Run, reason string, until time.Time) {
	idle, unsent := l.empty(r)
	for _, d := range idle {
		d.domain.SetTrouble(reason, e.now(), until)
		e.timetable.add(d, until)
		d.run.left(1)
	}
	for _, u := range unsent {
		e.handBack(u)
	}
}

// settleResting defers refusals that were about us.
func (e *Engine) settleResting(held []ledger.Settlement, until time.Time) {
	for i := range held {
		s := &held[i]
		s.State, s.Due = ledger.Deferred, until
		e.record(s)
	}
}

// streakEnds is called when a recipient of f got another answer: the row is
// broken, and what was held back are bounces after all.
func (e *Engine) streakEnds(f *flow) {
	if f.run.streaks.Load() {
		e.releaseRow(f.run, f.lane.site.name)
	}
}

func (e *Engine) releaseRow(r *Run, site string) {
	r.mu.Lock()
	b := r.breakers[site]
	if b == nil || len(b.held) == 0 {
		r.mu.Unlock()
		return
	}
	held := b.held
	b.held = nil
	b.Delivered()
	r.mu.Unlock()
	for i := range held {
		e.record(&held[i])
	}
}

// endRest forgets the rest of a run's breaker at a site, and tells of its end.
func (e *Engine) endRest(campaign, site string, now time.Time) {
	e.tell(learnedBreaker, campaign+"\x00"+site, nil, ledger.Notice{
		Change: ledger.ChangeRecovered, At: now, Campaign: campaign, Site: site,
	})
}

// tellRestsOver tells of rests of breakers that are over by now.
func (e *Engine) tellRestsOver(now time.Time) {
	for _, r := range e.allRuns() {
		if r.Done() {
			continue
		}
		var over []string
		r.mu.Lock()
		for at, b := range r.breakers {
			if b.rests && !now.Before(b.restUntil) {
				b.rests = false
				over = append(over, at)
			}
		}
		r.mu.Unlock()
		for _, at := range over {
			e.endRest(r.campaign.Name(), at, now)
		}
	}
}

// restingUntil is until when the run's breaker rests the site, and why.
func (r *Run) restingUntil(s *site) (time.Time, string) { return r.restingUntilAt(s.name) }

// restingUntilAt is the same by the site's name.
func (r *Run) restingUntilAt(site string) (time.Time, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.breakers[site]; b != nil {
		return b.restUntil, b.reason
	}
	return time.Time{}, ""
}

// deferRows lets go of all rows that are held back: the process is ending, and
// what is not recorded would be uncertain. Whether it is them or us that the
// site refuses is not known yet, so they are tried again.
func (e *Engine) deferRows(r *Run) {
	now := e.now()
	r.mu.Lock()
	var held []ledger.Settlement
	for _, b := range r.breakers {
		held = append(held, b.held...)
		b.held = nil
	}
	r.mu.Unlock()
	for i := range held {
		s := &held[i]
		e.deferred(s.Tag.(*envelope), s, 0, now)
		e.record(s)
	}
}

// releaseRows lets go of all rows that are held back, as bounces.
func (e *Engine) releaseRows(r *Run) {
	r.mu.Lock()
	sites := slices.Collect(maps.Keys(r.breakers))
	r.mu.Unlock()
	for _, s := range sites {
		e.releaseRow(r, s)
	}
}

// heldBack frees the place of a recipient whose answer is known and is held back
// by the breaker.
func (l *lane) heldBack(e *envelope) {
	e.held = true
	l.mu.Lock()
	e.flow.reserved--
	l.reserved--
	l.mu.Unlock()
}

// busyWith reports whether more answers for the run may come.
func (l *lane) busyWith(r *Run) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.byRun[r]
	return f != nil && (f.destinations.len() > 0 && !f.held || f.reading > 0 || f.reserved > 0)
}
