package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/throttle"
)

// What changes at sites is told in the event log, with the change itself. The
// texts of replies stay out of it: they may quote an address, and whoever erases
// one need not look here.

// tell is learn, with what the event log tells of it.
func (e *Engine) tell(kind, key string, value []byte, n ledger.Notice) {
	if err := e.ledger.Tell(kind, key, value, n); err != nil {
		e.log.Warn("cannot save what was learned", "kind", kind, "error", err)
	}
}

// backoffs are the limiters whose back-off the event log has told of, and whose
// recovery it has not.
type backoffs struct {
	mu   sync.Mutex
	told map[string]struct{} // by limitsKey; guarded by mu
}

// limitsKey is what a limiter's lessons are kept under.
func limitsKey(l *throttle.Limiter) string { return l.Site() + "\x00" + l.Source() }

// began notes that a back-off is told of.
func (b *backoffs) began(l *throttle.Limiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told == nil {
		b.told = make(map[string]struct{})
	}
	b.told[limitsKey(l)] = struct{}{}
}

// ended reports whether a back-off that was told of is over, and forgets it.
func (b *backoffs) ended(l *throttle.Limiter, now time.Time) bool {
	key := limitsKey(l)
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, told := b.told[key]; !told || lowered(l.Snapshot(now)) {
		return false
	}
	delete(b.told, key)
	return true
}

// lowered reports whether a site is sent less than its limits say.
func lowered(s throttle.Snapshot) bool { return s.Learned || s.Probing || !s.RestsUntil.IsZero() }

// tellBackoff tells that a site objected.
func (e *Engine) tellBackoff(l *throttle.Limiter, s throttle.Snapshot, now time.Time) {
	if !lowered(s) {
		return
	}
	e.backoffs.began(l)
	e.tell(learnedLimits, limitsKey(l), l.AppendState(nil), ledger.Notice{
		Change: ledger.ChangeBackoff, At: now, Site: l.Site(), Source: l.Source(), Reason: s.Reason,
		Until: s.RestsUntil, Connections: s.Connections, MessageRate: s.MessageRate,
	})
}

// saveLimits saves what a limiter learned, and tells if that was the last of a
// back-off.
func (e *Engine) saveLimits(l *throttle.Limiter, now time.Time) {
	if !e.backoffs.ended(l, now) {
		e.learn(learnedLimits, limitsKey(l), l.AppendState(nil))
		return
	}
	e.tell(learnedLimits, limitsKey(l), l.AppendState(nil), ledger.Notice{
		Change: ledger.ChangeRecovered, At: now, Site: l.Site(), Source: l.Source(),
	})
}

// restedNotice tells that the breaker keeps a campaign from a site.
func restedNotice(campaign, site string, refusal *ledger.Settlement, until time.Time) ledger.Notice {
	reason := fmt.Sprintf("refused %d", refusal.Code)
	if c := refusal.Enhanced; c[0] != 0 {
		reason += fmt.Sprintf(" %d.%d.%d", c[0], c[1], c[2])
	}
	return ledger.Notice{Change: ledger.ChangeRested, At: refusal.At, Campaign: campaign, Site: site, Reason: reason, Until: until}
}

// notice tells what a person holds a site, or a source, to.
func (l SiteLimits) notice(what, name string, now time.Time) ledger.Notice {
	n := ledger.Notice{Change: ledger.ChangeLimits, At: now, Connections: l.Connections, MessageRate: l.MessageRate, Until: l.Until}
	if what == "source" {
		n.Source = name
	} else {
		n.Site = name
	}
	return n
}

// trimEvents forgets events that are older, or more, than the configuration
// keeps.
func (e *Engine) trimEvents(ctx context.Context) {
	keep := e.config.Events
	n, err := e.ledger.TrimEvents(ctx, e.now(), keep.Keep, keep.MaxSize)
	switch {
	case err != nil && ctx.Err() == nil:
		e.log.Warn("cannot trim the event log", "error", err)
	case n > 0:
		e.log.Info("old events forgotten", "events", n)
	}
}
