package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/problem"
)

// ErrPartly says that only the first rows of a campaign are loaded.
var ErrPartly = errors.New("only a part of it is loaded")

// Stream is a load that goes on while its campaign is sent. The rows come in
// segments, the first one small, so that sending begins at once, and each three
// times as large as all before it. So there are few of them, a domain's
// recipients come in few batches, and reading, about four times as fast as the
// fastest sending, still stays ahead of it.
type Stream struct {
	engine   *Engine
	campaign *ledger.Campaign
	in       *intake
	there    uint64      // rows that an earlier stream has loaded
	begun    atomic.Bool // Start or Close has it

	// news has an element when a segment was taken in since it was emptied.
	news chan struct{}
	done chan struct{}
	err  error // set before done is closed
	// stop ends the load; set by read, before the run has the stream.
	stop context.CancelFunc

	// destinations of the run, so that a domain that grows is not routed a
	// second time. Owned by the goroutine that walks over the run's domains.
	destinations map[*ledger.Domain]*destination
}

// firstSegment is how many rows are read before sending begins.
const firstSegment = 1 << 14

// Stream begins to load a campaign beside sending it, or goes on where that was
// cut short: it returns once the first rows are in the ledger. Start then sends
// them, and reads on until the last row. A campaign that is there as a whole
// needs no stream: it is nil. Close must follow otherwise.
//
// Its files must be regular ones with a header line, or problem.List says why
// not: after a crash they are read again, and the template must know all
// columns before the last row was seen.
func (e *Engine) Stream(ctx context.Context, c *campaign.Campaign, progress LoadProgress) (_ *ledger.Campaign, _ *Stream, err error) {
	loaded, err := e.found(ctx, c)
	fresh := errors.Is(err, ledger.ErrNoCampaign)
	switch {
	case fresh:
		if err := streamable(c); err != nil {
			return nil, nil, err
		}
	case err != nil:
		return nil, nil, err
	case !loaded.Totals().Streaming:
		return loaded, nil, nil
	}
	in, err := e.openRows(c, nil, progress)
	if err != nil {
		return nil, nil, err
	}
	s := &Stream{
		engine: e, campaign: loaded, in: in,
		news: make(chan struct{}, 1), done: make(chan struct{}),
		destinations: make(map[*ledger.Domain]*destination),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if in.rows.Grows() {
		var problems problem.List
		problems.Add(c.Path, 0, 0, "recipients", "JSON lines have no header, so their columns are known only when all were read: load them without --stream, or as CSV")
		return nil, nil, problems.Err()
	}
	if fresh {
		err = s.begin(ctx, c)
	} else {
		err = s.goOn()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("load campaign %s: %w", c.ID, err)
	}
	e.streams.Store(s.campaign, s)
	return s.campaign, s, nil
}

func streamable(c *campaign.Campaign) error {
	var problems problem.List
	for _, f := range c.Recipients {
		if !f.Regular {
			problems.Add(c.Path, 0, 0, "recipients", "%s can be read only once, so a load from it could not go on after a crash: write it to a file first, or load it without --stream", f.Name)
		}
	}
	return problems.Err()
}

// begin takes the first segment in.
func (s *Stream) begin(ctx context.Context, c *campaign.Campaign) error {
	if err := s.engine.create(ctx, c, s.in); err != nil {
		return err
	}
	rows := uint64(firstSegment)
	if n := s.engine.tuning.firstSegment; n > 0 {
		rows = n
	}
	if _, err := s.in.copy(ctx, rows); err != nil {
		return err
	}
	columns, err := json.Marshal(s.in.rows.Columns())
	if err != nil {
		return err
	}
	s.campaign, err = s.in.loader.Segment(ctx, columns)
	return err
}

// goOn takes up a load that was cut short. The rows that are there are passed
// over while they are being sent.
func (s *Stream) goOn() (err error) {
	s.in.loader, s.there, err = s.engine.ledger.Continue(s.campaign.Name())
	s.in.rejected = s.campaign.Totals().Rejected
	return err
}

func (s *Stream) passOver(ctx context.Context) error {
	for n := range s.there {
		if _, _, err := s.in.rows.Next(); errors.Is(err, io.EOF) {
			return fmt.Errorf("its files have %d rows, but %d were loaded", n, s.there)
		} else if err != nil {
			return err
		}
		if n%firstSegment == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// Done is closed when no more rows come, also because the campaign was cancelled.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Err is why rows are missing, once Done is closed; nil: none are. What was
// loaded before stays and is sent; the next Stream reads on behind it.
func (s *Stream) Err() error { return s.err }

// Close gives up what was not taken in. After Start it does nothing: Drain ends
// a load that is under way.
func (s *Stream) Close() error {
	if !s.begun.CompareAndSwap(false, true) {
		return nil
	}
	s.engine.streams.Delete(s.campaign)
	return s.end()
}

func (s *Stream) end() (err error) {
	s.in.rows.Close()
	if s.in.loader != nil {
		err = s.in.loader.Abort()
	}
	return err
}

// readOn reads the rest, on a goroutine of its own.
func (s *Stream) readOn(ctx context.Context) {
	defer close(s.done)
	err := s.segments(ctx)
	s.engine.streams.Delete(s.campaign)
	if err = errors.Join(err, s.end()); err != nil && ctx.Err() == nil {
		s.err = fmt.Errorf("load campaign %s: %w", s.campaign.Name(), err)
	}
}

func (s *Stream) segments(ctx context.Context) error {
	if err := s.passOver(ctx); err != nil {
		return err
	}
	for {
		end, err := s.in.copy(ctx, 4*s.in.rows.Rows())
		if err != nil {
			return err
		}
		if end {
			_, err = s.in.commit(ctx)
			return err
		}
		if _, err := s.in.loader.Segment(ctx, nil); err != nil {
			return err
		}
		select {
		case s.news <- struct{}{}:
		default:
		}
	}
}

// read has the run's stream, if it has one, read on.
func (r *Run) read() {
	s, ok := r.engine.streams.Load(r.campaign)
	if !ok || !s.(*Stream).begun.CompareAndSwap(false, true) {
		return
	}
	r.stream = s.(*Stream)
	var ctx context.Context
	ctx, r.stream.stop = context.WithCancel(r.engine.ctx)
	r.engine.tasks.Go(func() {
		defer r.stream.stop()
		r.stream.readOn(ctx)
		r.check() // a cancelled campaign may have waited for it alone
	})
}

// reading reports whether rows are still being loaded.
func (r *Run) reading() bool {
	if r.stream == nil {
		return false
	}
	select {
	case <-r.stream.done:
		return false
	default:
		return true
	}
}

// follow routes what comes in, segment by segment, until the last.
func (r *Run) follow(ctx context.Context) {
	for more := true; more; {
		select {
		case <-r.stream.news:
		case <-r.stream.done:
			more = false
		case <-ctx.Done():
			return
		}
		if err := r.campaign.Domains(func(domain *ledger.Domain) bool {
			if domain.Fresh() > 0 {
				r.arrived(ctx, domain)
			}
			return ctx.Err() == nil && !r.cancelled.Load()
		}); err != nil {
			r.engine.fail(err)
			return
		}
	}
	r.stream.destinations = nil
	r.check() // all that came may have been settled before it was the last
}

// destination makes a domain's, and remembers it while the domain may grow.
func (r *Run) destination(domain *ledger.Domain) *destination {
	d := newDestination(r, domain)
	if r.stream != nil && r.stream.destinations != nil {
		r.stream.destinations[domain] = d
	}
	return d
}

// arrived has a domain looked at that has somebody new.
func (r *Run) arrived(ctx context.Context, domain *ledger.Domain) {
	d := r.stream.destinations[domain]
	if d == nil {
		r.engine.aheadEnough(ctx)
		r.engine.route(r.destination(domain))
		return
	}
	// What is active is read until it has run dry, and what is in trouble comes
	// back when its rest is over.
	if _, troubled := domain.Trouble(); !troubled && !d.active.Load() {
		r.engine.fire(d)
	}
}
