package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/throttle"
)

// SiteLimits is what a person holds a site to while sending, for each source, or
// a source over all sites. The zero value of a field leaves the configured limit.
type SiteLimits struct {
	// Connections is the most open at once, up to 100,000.
	Connections int `json:"connections,omitempty"`
	// MessageRate is in messages a second, up to 1,000,000.
	MessageRate float64 `json:"message_rate,omitempty"`
	// Until is when they end; the zero time: never.
	Until time.Time `json:"until,omitzero"`
}

// ErrInvalidLimits is limits out of range; the text says which.
var ErrInvalidLimits = errors.New("invalid limits")

// maxConnections is that of the configuration's limits.
const maxConnections = 100_000

func (l SiteLimits) check() error {
	switch {
	case l.Connections < 0 || l.Connections > maxConnections:
		return fmt.Errorf("%w: connections %d, 1 to %d may be", ErrInvalidLimits, l.Connections, maxConnections)
	case !(l.MessageRate >= 0 && l.MessageRate <= mostRate):
		return fmt.Errorf("%w: message rate %v, above 0 to %.0f a second may be", ErrInvalidLimits, l.MessageRate, mostRate)
	}
	return nil
}

// over is a rule with l in place of what it says.
func (l SiteLimits) over(rule throttle.Limits) throttle.Limits {
	if l.Connections > 0 {
		rule.Connections = l.Connections
	}
	if l.MessageRate > 0 {
		rule.MessageRate = throttle.Rate{Count: l.MessageRate, Per: time.Second}
	}
	return rule
}

// mostRate is the highest rate that can be set, in messages a second: more than
// any wire carries.
const mostRate = 1e6

// attributes are the limits for the log.
func (l SiteLimits) attributes() (all []any) {
	if l.empty() {
		return []any{"limits", "as configured"}
	}
	if l.Connections > 0 {
		all = append(all, "connections", l.Connections)
	}
	if l.MessageRate > 0 {
		all = append(all, "message_rate", l.MessageRate)
	}
	if !l.Until.IsZero() {
		all = append(all, "until", l.Until)
	}
	return all
}

func (l SiteLimits) empty() bool { return l.Connections == 0 && l.MessageRate == 0 }

// overrides are the limits that persons have set, of sites or of sources.
type overrides struct {
	// what they are limits of, for people, and kind, as what they are kept; key:
	// its name.
	what, kind string
	// apply puts limits over those configured; empty ones take them back.
	apply func(name string, l SiteLimits) error

	mu     sync.Mutex
	byName map[string]override // guarded by mu
}

type override struct {
	SiteLimits
	end *time.Timer // nil: for good
}

// SetSiteLimits holds a site to other limits than configured, from now on and
// after restarts; empty ones take earlier ones back. On disk when it returns.
// ErrInvalidLimits: out of range, or over already. ErrDraining: too late.
func (e *Engine) SetSiteLimits(ctx context.Context, site string, l SiteLimits) error {
	return e.setLimits(ctx, &e.siteLimits, site, l)
}

// SetSourceLimits is the same for a source, over all sites and on top of the limits
// at each. ErrNoSource: there is none of that name.
func (e *Engine) SetSourceLimits(ctx context.Context, source string, l SiteLimits) error {
	if !e.hasSource(source) {
		return fmt.Errorf("set limits of source %s: %w", source, ErrNoSource)
	}
	return e.setLimits(ctx, &e.sourceLimits, source, l)
}

func (e *Engine) setLimits(ctx context.Context, o *overrides, name string, l SiteLimits) error {
	if err := l.check(); err != nil {
		return err
	}
	if !l.Until.IsZero() && !l.Until.After(e.now()) {
		return fmt.Errorf("%w: they would have ended at %v", ErrInvalidLimits, l.Until)
	}
	if e.ctx.Err() != nil {
		return fmt.Errorf("set limits of %s %s: %w", o.what, name, ErrDraining)
	}
	if err := e.override(o, name, l); err != nil {
		return err
	}
	var kept []byte
	if !l.empty() {
		var err error
		if kept, err = json.Marshal(l); err != nil {
			return fmt.Errorf("keep limits of %s %s: %w", o.what, name, err)
		}
	}
	if err := e.ledger.Tell(o.kind, name, kept, l.notice(o.what, name, e.now())); err != nil {
		return fmt.Errorf("keep limits of %s %s: %w", o.what, name, err)
	}
	if err := e.ledger.Flush(ctx); err != nil {
		return fmt.Errorf("keep limits of %s %s: %w", o.what, name, err)
	}
	e.log.Info("limits set", append([]any{o.what, name}, l.attributes()...)...)
	return nil
}

// SiteLimits is what SetSiteLimits holds a site to now; ok is false when it is
// held to what is configured.
func (e *Engine) SiteLimits(site string) (l SiteLimits, ok bool) { return e.siteLimits.of(site) }

// SourceLimits is what SetSourceLimits holds a source to now.
func (e *Engine) SourceLimits(source string) (l SiteLimits, ok bool) {
	return e.sourceLimits.of(source)
}

func (o *overrides) of(name string) (l SiteLimits, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	set, ok := o.byName[name]
	return set.SiteLimits, ok
}

// equipOverrides says how limits are applied, and takes up those that an earlier
// process was given.
func (e *Engine) equipOverrides() error {
	e.siteLimits = overrides{what: "site", kind: "site_limits", apply: e.limitSite}
	e.sourceLimits = overrides{what: "source", kind: "source_limits", apply: e.limitSource}
	for _, o := range []*overrides{&e.siteLimits, &e.sourceLimits} {
		if err := e.restoreOverrides(o); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) limitSite(site string, l SiteLimits) error {
	return e.throttle.SetLimits(e.now(), site, "", l.over(configured(e.latest.Load(), site)))
}

func (e *Engine) limitSource(source string, l SiteLimits) error {
	return e.throttle.SetSourceLimits(e.now(), source, throttle.SourceLimits{
		Connections: l.Connections, MessageRate: throttle.Rate{Count: l.MessageRate, Per: time.Second},
	})
}

// override applies limits until they end.
func (e *Engine) override(o *overrides, name string, l SiteLimits) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.apply(name, l); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidLimits, err)
	}
	if end := o.byName[name].end; end != nil {
		end.Stop()
	}
	delete(o.byName, name)
	if l.empty() {
		return nil
	}
	set := override{SiteLimits: l}
	if !l.Until.IsZero() {
		set.end = time.AfterFunc(l.Until.Sub(e.now()), func() { e.endOverride(o, name, l) })
	}
	if o.byName == nil {
		o.byName = make(map[string]override)
	}
	o.byName[name] = set
	return nil
}

// configured is the rule that the configuration has for a site, if any.
func configured(c *config.Config, site string) throttle.Limits { return rules(c).Sites[site] }

// endOverride takes limits back whose time is over, unless others were set.
func (e *Engine) endOverride(o *overrides, name string, ended SiteLimits) {
	if now, ok := o.of(name); !ok || now != ended {
		return
	}
	if err := e.override(o, name, SiteLimits{}); err != nil {
		e.log.Error("limits do not end", o.what, name, "error", err)
		return
	}
	e.tell(o.kind, name, nil, SiteLimits{}.notice(o.what, name, e.now()))
	e.log.Info("limits ended", o.what, name)
}

func (e *Engine) restoreOverrides(o *overrides) error {
	return e.ledger.ForEachLearned(o.kind, func(name string, value []byte) error {
		var l SiteLimits
		err := json.Unmarshal(value, &l)
		switch {
		case err != nil:
		case !l.Until.IsZero() && !l.Until.After(e.now()):
			e.tell(o.kind, name, nil, SiteLimits{}.notice(o.what, name, l.Until))
		default:
			err = e.override(o, name, l)
		}
		if err != nil {
			e.log.Warn("cannot restore limits", o.what, name, "error", err)
		}
		return nil
	})
}

// stop has nothing end any more.
func (o *overrides) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, set := range o.byName {
		if set.end != nil {
			set.end.Stop()
		}
	}
}
