package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/compose"
	"github.com/penstock-mail/penstock/engine/compose/dkim/rsa8"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/pause"
	"github.com/penstock-mail/penstock/engine/share"
	"github.com/penstock-mail/penstock/engine/trace"
	"github.com/penstock-mail/penstock/mx"
	"github.com/penstock-mail/penstock/pool"
	"github.com/penstock-mail/penstock/throttle"
)

// Engine sends campaigns from one data directory.
type Engine struct {
	config   *config.Config
	log      *slog.Logger
	ledger   *ledger.Ledger
	resolver *mx.Resolver
	throttle *throttle.Throttle
	pool     *pool.Pool
	rsa      *rsa8.Batcher
	never    atomic.Pointer[campaign.Suppression] // the configuration's
	latest   atomic.Pointer[config.Config]        // whose limits are in force
	pauses   *pause.Book
	now      func() time.Time

	work      *turns[*lane]
	lookups   *turns[*destination]
	timetable *timetable
	opening   chan struct{} // has an element when openings is to look anew
	starving  starved
	refusals  *lane // where domains flow that accept no mail

	ctx     context.Context
	stop    context.CancelFunc
	tasks   sync.WaitGroup
	holding atomic.Bool // nothing new is read: draining, or too little space
	fatal   chan error  // the first failure of the ledger

	// steering is held while runs begin, are paused, resumed or cancelled, so
	// that what a caller is told still holds when he is told it.
	steering sync.Mutex

	routing sync.Mutex
	sites   map[string]*site // guarded by routing
	lanes   map[string]*lane // guarded by routing
	runs    []*Run           // guarded by routing

	// streams are those that wait for Start, or read on: *Stream by
	// *ledger.Campaign.
	streams sync.Map

	traits                   traits
	siteLimits, sourceLimits overrides
	// heldSources are those that nothing may begin from; nil: none.
	heldSources atomic.Pointer[map[string]bool]
	backoffs    backoffs
	meters      *meters
	outlooks    outlooks
	resolving   atomic.Int32 // look-ups under way
	names       names
	counted     census
	traces      trace.Hub
	tuning      tuning
}

// tuning is times that tests shorten; a zero value is the usual one.
type tuning struct {
	// breakerPatience stands for the constant.
	breakerPatience time.Duration
	// hostRest is how long a failing host rests at first.
	hostRest time.Duration
	// firstSegment stands for the constant.
	firstSegment uint64
	// now stands for time.Now.
	now func() time.Time
}

// Open makes an engine on the configuration's data directory. ledger.ErrHeld
// and ledger.ErrNewerFormat tell a person what to do. Close must follow.
func Open(c *config.Config, log *slog.Logger) (*Engine, error) { return openTuned(c, log, tuning{}) }

func openTuned(c *config.Config, log *slog.Logger, t tuning) (*Engine, error) {
	never, problems := campaign.ReadSuppression(c.Suppress...)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	e := &Engine{
		config:    c,
		log:       log,
		now:       time.Now,
		work:      newTurns[*lane](),
		lookups:   newTurns[*destination](),
		timetable: newTimetable(),
		opening:   make(chan struct{}, 1),
		ctx:       ctx,
		stop:      stop,
		fatal:     make(chan error, 1),
		sites:     make(map[string]*site),
		lanes:     make(map[string]*lane),
		tuning:    t,
		meters:    newMeters(sourceNames(c)...),
	}
	if t.now != nil {
		e.now = t.now
	}
	e.never.Store(never)
	e.latest.Store(c)
	e.refusals = &lane{engine: e, site: &site{name: "(refused)", shares: share.New[*Run](batchSize)}}
	if err := e.open(); err != nil {
		stop()
		return nil, err
	}
	return e, nil
}

func (e *Engine) open() (err error) {
	c := e.config
	e.ledger, err = ledger.Open(c.Data, ledger.Options{
		SyncEvery:  c.Ledger.SyncEvery,
		CacheBytes: c.Ledger.Cache,
		MinFree:    uint64(c.Ledger.MinFree),
		Durable:    e.durable,
		Committed:  e.meters.committed,
		LowSpace:   e.lowSpace,
		Fatal:      e.fail,
	})
	if err != nil {
		return fmt.Errorf("open data directory %s: %w", c.Data, err)
	}
	if err := e.equip(); err != nil {
		return errors.Join(err, e.ledger.Close())
	}
	for range runtime.GOMAXPROCS(0) {
		w := &worker{engine: e, composers: make(map[*Run]*compose.Composer), signer: newSigner(e.rsa)}
		e.tasks.Go(w.run)
	}
	for range c.DNS.Concurrency {
		e.tasks.Go(func() { e.lookup(e.ctx) })
	}
	e.tasks.Go(func() { e.timetable.run(e.fire) })
	e.tasks.Go(func() { e.openings(e.ctx) })
	e.tasks.Go(func() { e.housekeep(e.ctx) })
	e.tasks.Go(func() { e.watch(e.ctx) })
	return nil
}

// equip makes the rooms that a message goes out through.
func (e *Engine) equip() (err error) {
	if e.resolver, err = NewResolver(e.config); err != nil {
		return err
	}
	if e.rsa, err = rsa8.NewBatcher(rsa8.Options{}); err != nil {
		return fmt.Errorf("set up signing: %w", err)
	}
	e.throttle = throttle.New(rules(e.config))
	e.throttle.OnRoom(e.roomAt)
	if err := e.restoreLearned(); err != nil {
		return err
	}
	if err := e.equipOverrides(); err != nil {
		return err
	}
	if err := e.openPauses(); err != nil {
		return err
	}
	e.pool, err = newPool(e.config, pool.Options{
		Window:    e.config.MaxInDoubt,
		RestFirst: e.tuning.hostRest,
		Memory:    &e.traits,
		Observer:  e,
		Log:       e.log,
	})
	if err != nil {
		return err
	}
	e.holdSources()
	e.equipTraces()
	return nil
}

// roomAt wakes a site's connections and lanes when its limits allow more than
// they did.
func (e *Engine) roomAt(name string) {
	s := e.siteNamed(name)
	if s == nil {
		return
	}
	s.pool.AskAgain()
	for _, l := range e.lanesOf(s) {
		l.wake()
	}
}

// Ledger is what the engine keeps its recipients in.
func (e *Engine) Ledger() *ledger.Ledger { return e.ledger }

// Fatal gives the error after which nothing more can be recorded, and so
// nothing more is sent.
func (e *Engine) Fatal() <-chan error { return e.fatal }

// fail takes the first error that makes going on impossible.
func (e *Engine) fail(err error) {
	e.holding.Store(true)
	select {
	case e.fatal <- err:
	default:
	}
}

// held reports whether nothing new may be read.
func (e *Engine) held() bool { return e.holding.Load() }

// lowSpace stops sending while there is too little room on disk.
func (e *Engine) lowSpace(low bool) {
	if low {
		e.log.Error("too little free space: sending stops until there is room", "data", e.config.Data, "min_free", e.config.Ledger.MinFree)
		e.holding.Store(true)
		return
	}
	e.log.Info("there is room again: sending goes on", "data", e.config.Data)
	if e.ctx.Err() != nil {
		return // draining
	}
	e.holding.Store(false)
	for _, t := range e.starving.takeAll() {
		e.lease(t)
	}
	e.offerAll()
}

func (e *Engine) offerAll() {
	e.routing.Lock()
	defer e.routing.Unlock()
	for _, l := range e.lanes {
		l.offer()
	}
	e.refusals.offer()
}

// allLanes is every lane as of now.
func (e *Engine) allLanes() []*lane {
	e.routing.Lock()
	defer e.routing.Unlock()
	return append(slices.Collect(maps.Values(e.lanes)), e.refusals)
}

// allRuns is every run as of now.
func (e *Engine) allRuns() []*Run {
	e.routing.Lock()
	defer e.routing.Unlock()
	return slices.Clone(e.runs)
}

// Drain ends sending: nothing new begins, what is on the wire may finish until
// ctx ends, what was leased and not sent is handed back, and all is on disk
// when it returns. The ledger can still be asked. Once only.
func (e *Engine) Drain(ctx context.Context) error {
	e.holding.Store(true)
	e.steering.Lock() // a run that is being started is one of those below
	e.stop()
	e.steering.Unlock()
	if err := e.pool.Drain(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		e.log.Warn("connections did not close cleanly", "error", err)
	}
	e.work.close()
	e.lookups.close()
	e.timetable.close()
	e.tasks.Wait()
	e.resolver.Close()
	e.rsa.Close()
	// What was being prepared is ready after this flush.
	err := e.ledger.Flush(context.Background())
	e.traces.Close()
	e.siteLimits.stop()
	e.sourceLimits.stop()
	for _, r := range e.allRuns() {
		r.mu.Lock()
		if r.onExpiry != nil {
			r.onExpiry.Stop()
		}
		r.mu.Unlock()
		if r.paced != nil {
			r.paced.stop()
		}
		e.deferRows(r)
	}
	for _, l := range e.allLanes() {
		_, unsent := l.empty(nil)
		for _, u := range unsent {
			e.handBack(u)
		}
	}
	e.saveLearned()
	return errors.Join(err, e.ledger.Flush(context.Background()))
}

// Close closes the ledger. Drain must have been called.
func (e *Engine) Close() error { return e.ledger.Close() }
