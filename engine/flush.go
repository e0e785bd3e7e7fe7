package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-mail/penstock/engine/ledger"
)

// Errors of FlushSite and ForgetSite that callers branch on.
var (
	// ErrNoSite is a site that nothing is known of.
	ErrNoSite = errors.New("no such site")
	// ErrNotSending is a campaign that is not being sent.
	ErrNotSending = errors.New("campaign is not being sent")
)

// FlushSite has everybody tried now who is deferred at a site, of one campaign or
// with an empty id of all that are being sent: they are due at once with their
// attempts as they are, and the rests of the site, its hosts and the breaker are
// over. What was learned stays, and a limit is kept to. It gives how many were
// not due before, and that is on disk when it returns. ErrNoSite, ErrNotSending.
func (e *Engine) FlushSite(ctx context.Context, site, campaign string) (n int, err error) {
	e.steering.Lock()
	defer e.steering.Unlock()
	if e.ctx.Err() != nil {
		return 0, fmt.Errorf("flush site %s: %w", site, ErrDraining)
	}
	runs := e.allRuns()
	if campaign != "" {
		runs = slices.DeleteFunc(runs, func(r *Run) bool { return r.campaign.Name() != campaign || r.Done() })
		if len(runs) == 0 {
			return 0, fmt.Errorf("flush campaign %s at site %s: %w", campaign, site, ErrNotSending)
		}
	}
	known := e.siteNamed(site) != nil
	now := e.now()
	err = eachDomainAt(site, runs, func(_ *Run, d *ledger.Domain) {
		known = true
		n += d.Hasten(now)
	})
	switch {
	case err != nil:
		return 0, fmt.Errorf("flush site %s: %w", site, err)
	case !known:
		return 0, fmt.Errorf("flush site %s: %w", site, ErrNoSite)
	}
	if err := e.ledger.Flush(ctx); err != nil {
		return 0, fmt.Errorf("flush site %s: %w", site, err)
	}
	for _, l := range e.throttle.Limiters() {
		if l.Site() == site && !l.Snapshot(now).RestsUntil.IsZero() {
			l.Rest(now, now, "")
		}
	}
	e.endBreakerRests(site, runs)
	if err := e.endRests(site, runs); err != nil {
		return 0, fmt.Errorf("flush site %s: %w", site, err)
	}
	e.log.Info("site flushed", "site", site, "campaign", campaign, "recipients", n)
	return n, nil
}

// ForgetSite drops what was learned of a site: lowered limits and back-off, what
// its hosts turned out not to bear (of those that it is known to have now), and
// the rests of the breaker. Configured limits, and those of SetSiteLimits, apply
// again at once. On disk when it returns. ErrNoSite: there is nothing to forget.
func (e *Engine) ForgetSite(ctx context.Context, site string) error {
	e.steering.Lock()
	defer e.steering.Unlock()
	if e.ctx.Err() != nil {
		return fmt.Errorf("forget site %s: %w", site, ErrDraining)
	}
	known := false
	now := e.now()
	for _, l := range e.throttle.Limiters() {
		if l.Site() == site {
			known = true
			l.Forget(now)
		}
	}
	if s := e.siteNamed(site); s != nil {
		known = true
		var hosts []string
		for _, h := range s.pool.Snapshot().Hosts {
			hosts = append(hosts, h.Name)
		}
		e.traits.forget(hosts)
	}
	err := e.ledger.ForEachLearned(learnedBreaker, func(key string, _ []byte) error {
		if _, at, _ := strings.Cut(key, "\x00"); at == site {
			known = true
			e.learn(learnedBreaker, key, nil)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget site %s: %w", site, err)
	}
	if !known {
		return fmt.Errorf("forget site %s: %w", site, ErrNoSite)
	}
	e.saveLearned()
	if err := e.ledger.Flush(ctx); err != nil {
		return fmt.Errorf("forget site %s: %w", site, err)
	}
	e.endBreakerRests(site, e.allRuns())
	if err := e.endRests(site, e.allRuns()); err != nil {
		return fmt.Errorf("forget site %s: %w", site, err)
	}
	e.log.Info("site forgotten: what was learned of it is dropped", "site", site)
	return nil
}

// endBreakerRests ends the rests of runs' breakers at a site; endRests must follow.
func (e *Engine) endBreakerRests(site string, runs []*Run) {
	for _, r := range runs {
		r.mu.Lock()
		b := r.breakers[site]
		ended := b != nil && b.rests
		if ended {
			b.restUntil, b.reason, b.rests = e.now(), "", false
		}
		r.mu.Unlock()
		if ended {
			e.endRest(r.campaign.Name(), site, e.now())
		}
	}
}

// endRests ends what holds a site back: rests of its hosts and lanes. What waited
// for their end goes on at once.
func (e *Engine) endRests(site string, runs []*Run) error {
	if s := e.siteNamed(site); s != nil {
		for _, l := range e.lanesOf(s) {
			l.rest("", e.now())
		}
		s.pool.EndRests()
		e.roomAt(site)
	}
	waits := make(map[*ledger.Domain]struct{})
	err := eachDomainAt(site, runs, func(_ *Run, d *ledger.Domain) {
		if _, troubled := d.Trouble(); troubled {
			d.ClearTrouble()
			waits[d] = struct{}{}
		} else if d.DueCount(e.now()) > 0 {
			waits[d] = struct{}{}
		}
	})
	if err != nil {
		return err
	}
	chosen := e.timetable.standing(func(d *destination) bool {
		_, ok := waits[d.domain]
		return ok
	})
	for _, d := range chosen {
		// Its lane may be retired, and so no lane of the site any more.
		if f := d.currentFlow(); f != nil {
			f.lane.rest("", e.now())
		}
	}
	e.timetable.hasten(e.now(), chosen)
	return nil
}

// eachDomainAt calls fn for the domains of some runs that a site serves, as far as
// they were ever looked up.
func eachDomainAt(site string, runs []*Run, fn func(*Run, *ledger.Domain)) error {
	for _, r := range runs {
		if r.Done() {
			continue
		}
		err := r.campaign.Domains(func(d *ledger.Domain) bool {
			if d.Site() == site {
				fn(r, d)
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}
