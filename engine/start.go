package engine

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/compose"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/hours"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/signature"
	"github.com/penstock-mail/penstock/throttle"
)

// Errors of Start and Cancel that callers branch on.
var (
	ErrCancelled = ledger.ErrCancelled
	ErrFinished  = errors.New("campaign is finished")
	ErrDraining  = errors.New("sending is being stopped")
)

// Start begins or continues to send a loaded campaign; one that is being sent
// already goes on. ErrCancelled and ErrDraining say why it does not. Any
// goroutine.
func (e *Engine) Start(ctx context.Context, c *ledger.Campaign) (*Run, error) {
	e.steering.Lock()
	defer e.steering.Unlock()
	if err := e.startable(c); err != nil {
		return nil, err
	}
	return e.start(ctx, c)
}

// startable says why a campaign cannot be started. REQUIRES: steering.
func (e *Engine) startable(c *ledger.Campaign) error {
	switch {
	case e.ctx.Err() != nil:
		return fmt.Errorf("start campaign %s: %w", c.Name(), ErrDraining)
	case !c.Totals().Cancelled.IsZero():
		return fmt.Errorf("start campaign %s: %w", c.Name(), ErrCancelled)
	}
	return nil
}

// start is Start for a campaign that is startable. REQUIRES: steering.
func (e *Engine) start(ctx context.Context, c *ledger.Campaign) (*Run, error) {
	if r := e.Run(c.Name()); r != nil && !r.Done() {
		return r, nil
	}
	e.dropDone()
	if err := asked(ctx, c); err != nil {
		return nil, fmt.Errorf("start campaign %s: %w", c.Name(), err)
	}
	r, err := e.newRun(c)
	if err != nil {
		return nil, fmt.Errorf("start campaign %s: %w", c.Name(), err)
	}
	policy := ledger.Retry
	if r.settings.OnUncertain == campaign.HoldUncertain {
		policy = ledger.Hold
	}
	now := e.now()
	uncertain, err := c.Resume(ctx, now, policy)
	if err != nil {
		return nil, fmt.Errorf("resume campaign %s: %w", c.Name(), err)
	}
	if uncertain > 0 {
		e.log.Warn("the last process died while messages were on the wire: these attempts are uncertain", "campaign", c.Name(), "recipients", uncertain)
	}
	if err := e.restoreBreakers(r); err != nil {
		return nil, err
	}
	r.check()
	if r.Done() {
		return r, nil
	}
	if wait := r.settings.StartAt.Sub(now); wait > 0 {
		e.log.Info("campaign starts later", "campaign", c.Name(), "at", r.settings.StartAt)
	}
	e.routing.Lock()
	e.runs = append(e.runs, r)
	e.routing.Unlock()
	if r.calendar != nil {
		e.lookAtHours()
	}
	r.activity.Add(1)
	r.read()
	e.tasks.Go(func() {
		defer r.left(1)
		r.begin(e.ctx)
	})
	return r, nil
}

func (e *Engine) newRun(c *ledger.Campaign) (*Run, error) {
	meta, err := c.Meta()
	if err != nil {
		return nil, err
	}
	snapshot, err := campaign.DecodeSnapshot(meta.Snapshot)
	if err != nil {
		return nil, err
	}
	settings, err := campaign.DecodeSettings(meta.Settings)
	if err != nil {
		return nil, err
	}
	var columns []string
	if err := json.Unmarshal(meta.Columns, &columns); err != nil {
		return nil, fmt.Errorf("decode columns: %w", err)
	}
	e.complete(&settings)
	never, problems := e.ownSuppression(c.Name(), settings)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	template, problems := compose.Compile(&snapshot.Content, compose.Options{
		Campaign: c.Name(), Number: c.Number(), Columns: columns, Secret: e.ledger.Secret(),
	})
	if err := problems.Err(); err != nil {
		return nil, err
	}
	set, problems := signature.Set(signaturesFor(e.config, settings.DKIM, template))
	if err := problems.Err(); err != nil {
		return nil, err
	}
	r := &Run{
		engine: e, campaign: c, template: template, settings: settings, never: never,
		idle: make(chan struct{}, 1), finished: make(chan struct{}), goOn: make(chan struct{}, 1),
		breakers: make(map[string]*breaker),
	}
	if r.calendar, err = hours.New(settings.Windows); err != nil {
		return nil, err
	}
	r.closed.Store(!r.calendar.Open(e.now()))
	if rate := settings.MaxRate; rate.Count > 0 {
		r.paced = newPaced(throttle.Rate{Count: rate.Count, Per: rate.Per}, e.now)
	}
	if set.Len() > 0 {
		r.signatures = newSignatures(set, template)
	}
	r.loaded = c.Totals().Created
	r.startAt = settings.StartAt
	return r, nil
}

// signaturesFor chooses the campaign's own signatures, or else those that the
// configuration has for its sender.
func signaturesFor(c *config.Config, own []signature.Setting, t *compose.Template) []signature.Setting {
	if len(own) > 0 {
		return own
	}
	return signature.For(c.DKIM, t.SenderDomain())
}

// complete fills what the campaign leaves to the configuration.
func (e *Engine) complete(s *campaign.Settings) {
	or := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	c := e.config
	or(&s.Retry.First, c.Retry.First)
	or(&s.Retry.Max, c.Retry.Max)
	or(&s.ExpireAfter, c.Retry.Expire)
	if s.Retry.Factor == 0 {
		s.Retry.Factor = c.Retry.Factor
	}
	if s.MaxInDoubt == 0 {
		s.MaxInDoubt = c.MaxInDoubt
	}
}

// restoreBreakers takes up rests that an earlier process began.
func (e *Engine) restoreBreakers(r *Run) error {
	return e.ledger.ForEachLearned(learnedBreaker, func(key string, value []byte) error {
		name, at, _ := strings.Cut(key, "\x00")
		if name != r.campaign.Name() || len(value) < 8 {
			return nil
		}
		// Of a rest that ended meanwhile the event log is told soon.
		until := time.UnixMilli(int64(binary.BigEndian.Uint64(value)))
		r.breakers[at] = &breaker{Breaker: throttle.Breaker{Limit: e.config.Breaker}, restUntil: until, reason: string(value[8:]), rests: true}
		return nil
	})
}
