package engine

import (
	"fmt"
	"strings"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/problem"
	"github.com/penstock-mail/penstock/throttle"
)

// Reload is another configuration's part that can be taken while sending goes
// on, read and found right.
type Reload struct {
	engine *Engine
	config *config.Config
	rules  throttle.Rules
	never  *campaign.Suppression
}

// PrepareReload reads what Apply takes: limits and suppression lists. Mistakes
// are in the list, and then nothing may be applied. Any goroutine.
func (e *Engine) PrepareReload(c *config.Config) (*Reload, problem.List) {
	r := &Reload{engine: e, config: c, rules: rules(c)}
	never, problems := campaign.ReadSuppression(c.Suppress...)
	r.never = never
	if err := r.rules.Check(); err != nil {
		problems.Add(c.File, 0, 0, "limits", "%v", err)
	}
	return r, problems
}

// Suppressed is how many entries the suppression lists have.
func (r *Reload) Suppressed() int { return r.never.Len() }

// Apply puts it in force: limits at once, those that persons have set over them;
// suppression for every recipient that is read from now on. Any goroutine.
func (r *Reload) Apply() error {
	e := r.engine
	o := &e.siteLimits
	o.mu.Lock() // a person's limits are set before or after, never between
	defer o.mu.Unlock()
	merged := r.rules
	for site, set := range o.byName {
		merged.Sites[site] = set.over(merged.Sites[site])
	}
	if err := e.throttle.SetRules(e.now(), merged); err != nil {
		return fmt.Errorf("reload limits: %w", err)
	}
	e.latest.Store(r.config)
	e.never.Store(r.never)
	return nil
}

// Reloads reports that Apply puts a setting in force: suppression and limits, but
// for gears, and for domains that had none when the engine was opened, as they
// are no sites of their own.
func (e *Engine) Reloads(key string) bool {
	if key == "suppress" {
		return true
	}
	if !strings.HasPrefix(key, "limits.") || strings.HasSuffix(key, ".gear") {
		return false
	}
	rest, ofDomain := strings.CutPrefix(key, "limits.domains.")
	if !ofDomain {
		return true
	}
	domain := rest[:max(0, strings.LastIndexByte(rest, '.'))]
	_, known := e.config.Limits.Domains[domain]
	return known
}
