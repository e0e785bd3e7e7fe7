package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/throttle"
)

// SiteLimits is what a person holds a site to while sending, for each source.
// The zero value of a field leaves the configured limit.
type SiteLimits struct {
	// Connections is the most open at once, up to 100,000.
	Connections int `json:"connections,omitempty"`
	// MessageRate is in messages a second.
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
	case !(l.MessageRate >= 0) || math.IsInf(l.MessageRate, 1):
		return fmt.Errorf("%w: message rate %v, it must be above 0", ErrInvalidLimits, l.MessageRate)
	}
	return nil
}

func (l SiteLimits) empty() bool { return l.Connections == 0 && l.MessageRate == 0 }

// learnedOverrides is what site limits are kept as; key: site.
const learnedOverrides = "site_limits"

// overrides are the site limits that persons have set.
type overrides struct {
	mu     sync.Mutex
	bySite map[string]override // guarded by mu
}

type override struct {
	SiteLimits
	end *time.Timer // nil: for good
}

// SetSiteLimits holds a site to other limits than configured, from now on and
// after restarts; empty ones take earlier ones back. On disk when it returns.
// ErrInvalidLimits: out of range, or over already. ErrDraining: too late.
func (e *Engine) SetSiteLimits(ctx context.Context, site string, l SiteLimits) error {
	if err := l.check(); err != nil {
		return err
	}
	if !l.Until.IsZero() && !l.Until.After(e.now()) {
		return fmt.Errorf("%w: they would have ended at %v", ErrInvalidLimits, l.Until)
	}
	if e.ctx.Err() != nil {
		return fmt.Errorf("set limits of site %s: %w", site, ErrDraining)
	}
	if err := e.override(site, l); err != nil {
		return err
	}
	var kept []byte
	if !l.empty() {
		var err error
		if kept, err = json.Marshal(l); err != nil {
			return fmt.Errorf("keep limits of site %s: %w", site, err)
		}
	}
	if err := e.ledger.Tell(learnedOverrides, site, kept, l.notice(site, e.now())); err != nil {
		return fmt.Errorf("keep limits of site %s: %w", site, err)
	}
	if err := e.ledger.Flush(ctx); err != nil {
		return fmt.Errorf("keep limits of site %s: %w", site, err)
	}
	e.log.Info("site limits set", "site", site, "connections", l.Connections, "message_rate", l.MessageRate, "until", l.Until)
	return nil
}

// SiteLimits is what SetSiteLimits holds a site to now; ok is false when it is
// held to what is configured.
func (e *Engine) SiteLimits(site string) (l SiteLimits, ok bool) {
	e.overrides.mu.Lock()
	defer e.overrides.mu.Unlock()
	o, ok := e.overrides.bySite[site]
	return o.SiteLimits, ok
}

// override puts limits over those configured, or takes them back.
func (e *Engine) override(site string, l SiteLimits) error {
	o := &e.overrides
	o.mu.Lock()
	defer o.mu.Unlock()
	rule := configured(e.config, site)
	if l.Connections > 0 {
		rule.Connections = l.Connections
	}
	if l.MessageRate > 0 {
		rule.MessageRate = throttle.Rate{Count: l.MessageRate, Per: time.Second}
	}
	if err := e.throttle.SetLimits(e.now(), site, "", rule); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidLimits, err)
	}
	if end := o.bySite[site].end; end != nil {
		end.Stop()
	}
	delete(o.bySite, site)
	if l.empty() {
		return nil
	}
	set := override{SiteLimits: l}
	if !l.Until.IsZero() {
		set.end = time.AfterFunc(l.Until.Sub(e.now()), func() { e.endOverride(site, l) })
	}
	if o.bySite == nil {
		o.bySite = make(map[string]override)
	}
	o.bySite[site] = set
	return nil
}

// configured is the rule that the configuration has for a site, if any.
func configured(c *config.Config, site string) throttle.Limits { return rules(c).Sites[site] }

// endOverride takes limits back whose time is over, unless others were set.
func (e *Engine) endOverride(site string, ended SiteLimits) {
	if now, ok := e.SiteLimits(site); !ok || now != ended {
		return
	}
	if err := e.override(site, SiteLimits{}); err != nil {
		e.log.Error("site limits do not end", "site", site, "error", err)
		return
	}
	e.tell(learnedOverrides, site, nil, SiteLimits{}.notice(site, e.now()))
	e.log.Info("site limits ended", "site", site)
}

// restoreOverrides takes up the limits that an earlier process was given.
func (e *Engine) restoreOverrides() error {
	return e.ledger.ForEachLearned(learnedOverrides, func(site string, value []byte) error {
		var l SiteLimits
		err := json.Unmarshal(value, &l)
		switch {
		case err != nil:
		case !l.Until.IsZero() && !l.Until.After(e.now()):
			e.tell(learnedOverrides, site, nil, SiteLimits{}.notice(site, l.Until))
		default:
			err = e.override(site, l)
		}
		if err != nil {
			e.log.Warn("cannot restore the limits of a site", "site", site, "error", err)
		}
		return nil
	})
}

// stop has nothing end any more.
func (o *overrides) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, set := range o.bySite {
		if set.end != nil {
			set.end.Stop()
		}
	}
}
