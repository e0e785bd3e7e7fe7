package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// events implements penstock.v1.EventService.
type events struct {
	desk  *desk
	feeds *feeds
}

const (
	// mostValues is how many values a list of the filter may have.
	mostValues = 100
	// fromNow is the cursor that leaves out all that has happened.
	fromNow = "now"
	// liveEvery is how often at most a reader at the end of the log is given
	// what came, so that he costs little while much happens.
	liveEvery = 50 * time.Millisecond
	// silentEvents is how many events may go by unseen before a reader is told
	// how far his cursor has come.
	silentEvents = 64 * pageEvents
)

func (s *events) StreamEvents(ctx context.Context, req *pb.StreamEventsRequest, stream *connect.ServerStream[pb.StreamEventsResponse]) error {
	if req.Follow && s.desk.engine == nil {
		return errNotSending
	}
	filter, err := filterOf(req)
	if err != nil {
		return err
	}
	from, err := s.position(req.Cursor)
	if err != nil {
		return err
	}
	feed, leave, ok, err := s.feeds.join(filter)
	switch {
	case err != nil:
		return connect.NewError(connect.CodeInvalidArgument, err)
	case !ok:
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%d streams of events are open already: end some", mostReaders))
	}
	defer leave()
	r := &eventReader{
		feed: feed, stream: stream, from: from, skip: req.SkipMissing, oldest: req.Cursor == "",
		binary: !isJSON(ctx),
	}
	if !req.Follow {
		return status(r.backlog(ctx, s.desk.ledger.NextEvent()))
	}
	return status(r.follow(ctx))
}

// isJSON reports whether the caller is answered in JSON.
func isJSON(ctx context.Context) bool {
	call, ok := connect.CallInfoForHandlerContext(ctx)
	return ok && strings.Contains(call.RequestHeader().Get("Content-Type"), "json")
}

func filterOf(req *pb.StreamEventsRequest) (ledger.EventFilter, error) {
	for name, list := range map[string][]string{
		"kinds": req.Kinds, "campaign_ids": req.CampaignIds, "states": req.States, "sites": req.Sites, "domains": req.Domains,
	} {
		if len(list) > mostValues {
			return ledger.EventFilter{}, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%s has %d values, at most %d may be", name, len(list), mostValues))
		}
	}
	return ledger.EventFilter{Kinds: req.Kinds, Words: req.States, Campaigns: req.CampaignIds, Sites: req.Sites, Domains: req.Domains}, nil
}

// position is the number of the first event behind a cursor.
func (s *events) position(cursor string) (uint64, error) {
	next := s.desk.ledger.NextEvent()
	switch cursor {
	case "":
		return 1, nil // the reader moves on to the oldest
	case fromNow:
		return next, nil
	}
	last, err := strconv.ParseUint(cursor, 10, 64)
	if err != nil {
		return 0, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(`cursor %q is none: give one that a stream gave, %q, or leave it empty`, cursor, fromNow))
	}
	if last >= next {
		return 0, connect.NewError(connect.CodeOutOfRange, fmt.Errorf("cursor %d lies behind the last event, %d: it is of another data directory, or this one is an older copy", last, next-1))
	}
	return last + 1, nil
}

// eventReader is one stream.
type eventReader struct {
	feed         *feed
	stream       *connect.ServerStream[pb.StreamEventsResponse]
	binary       bool
	skip, oldest bool // go on with the oldest event when earlier ones are asked for

	from    uint64 // the next event to be looked at
	told    uint64 // as the caller knows it; 0: he knows nothing yet
	missing uint64 // not told yet
}

// backlog sends what there is up to a number.
func (r *eventReader) backlog(ctx context.Context, until uint64) error {
	for r.from < until {
		if _, err := r.send(ctx); err != nil {
			return err
		}
	}
	return r.tell()
}

// follow sends what there is and what comes. A caller who is slow finds what he
// missed in the ledger: nothing is kept for him, and nothing waits for him.
func (r *eventReader) follow(ctx context.Context) error {
	for {
		p, err := r.send(ctx)
		if err != nil {
			return err
		}
		if p.next-p.from == pageEvents {
			continue // there is more
		}
		if p.next > p.from {
			if err := pass(ctx, liveEvery); err != nil {
				return err
			}
		}
		if r.told == 0 {
			if err := r.tell(); err != nil {
				return err
			}
		}
		if err := r.await(ctx); err != nil {
			return err
		}
	}
}

// await waits for the next event, and lets the caller know that it does.
func (r *eventReader) await(ctx context.Context) error {
	for {
		wait, cancel := context.WithTimeout(ctx, heartbeat)
		err := r.feed.ledger.AwaitEvent(wait, r.from)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, context.DeadlineExceeded):
			return err
		}
		if err := r.stream.Send(&pb.StreamEventsResponse{Cursor: cursorOf(r.from)}); err != nil {
			return err
		}
		r.told = r.from
	}
}

// send sends the next page, if there is anything in it.
func (r *eventReader) send(ctx context.Context) (*page, error) {
	if err := r.feed.share.yield(ctx); err != nil {
		return nil, err
	}
	p, err := r.feed.page(ctx, r.from)
	var gone *ledger.MissingEvents
	if errors.As(err, &gone) {
		return r.skipTo(ctx, gone)
	}
	if err != nil {
		return nil, err
	}
	r.from = p.next
	if p.events == 0 && r.missing == 0 {
		if r.from-r.told >= silentEvents {
			return p, r.tell()
		}
		return p, nil
	}
	m, err := p.response(r.binary)
	if err != nil {
		return nil, err
	}
	m.Missing, r.missing = r.missing, 0
	r.told = r.from
	r.feed.share.spend(p.events, time.Now())
	return p, r.stream.Send(m)
}

// tell sends the cursor alone, unless the caller has it.
func (r *eventReader) tell() error {
	if r.told == r.from {
		return nil
	}
	r.told = r.from
	return r.stream.Send(&pb.StreamEventsResponse{Cursor: cursorOf(r.from)})
}

// skipTo goes on with the oldest event, or says that those before are missing.
func (r *eventReader) skipTo(ctx context.Context, gone *ledger.MissingEvents) (*page, error) {
	missing := gone.Oldest - gone.From
	if !r.skip && !r.oldest {
		cursor := cursorOf(gone.Oldest)
		err := connect.NewError(connect.CodeOutOfRange, fmt.Errorf("%w: go on behind cursor %s, or with skip_missing; %d are missing", gone, cursor, missing))
		if detail, derr := connect.NewErrorDetail(&pb.MissingEvents{Missing: missing, OldestCursor: cursor}); derr == nil {
			err.AddDetail(detail)
		}
		return nil, err
	}
	if !r.oldest {
		r.missing += missing
	}
	r.from = gone.Oldest
	return r.send(ctx)
}
