package trace

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a hub and its tracers.
const (
	// MaxTracers is how many there may be at once.
	MaxTracers = 16
	// bufferLines and bufferBytes are what a tracer holds that nobody has taken.
	bufferLines = 4096
	bufferBytes = 4 << 20
	// Patience is how long lines may be dropped without any being taken.
	Patience = 10 * time.Second
)

// Errors that callers branch on.
var (
	// ErrTooMany: there are MaxTracers already.
	ErrTooMany = errors.New("too many traces are running")
	// ErrSlow: lines were dropped for Patience, and none was taken.
	ErrSlow = errors.New("trace is not read fast enough")
	// ErrClosed: the tracer or its hub was closed.
	ErrClosed = errors.New("trace has ended")
)

// Hub has the tracers of a process.
type Hub struct {
	// Switch is told when the first tracer comes and the last one goes: whoever
	// hears lines need not listen while there is none. Called with the hub locked.
	Switch func(on bool)

	mu     sync.Mutex
	closed bool // guarded by mu
	// all is what Wanted reads; replaced under mu.
	all atomic.Pointer[[]*Tracer]
}

// Tracer is one who wants to see lines.
type Tracer struct {
	hub    *Hub
	filter Filter
	wake   chan struct{}

	mu      sync.Mutex
	lines   []Line // guarded by mu, as all below
	bytes   int
	dropped uint64
	since   time.Time // since when lines are dropped and none is taken; zero: not
	err     error
}

// Open adds a tracer, which must be closed. ErrInvalid, ErrTooMany, ErrClosed.
func (h *Hub) Open(f Filter) (*Tracer, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.tracers()
	switch {
	case h.closed:
		return nil, ErrClosed
	case len(all) >= MaxTracers:
		return nil, ErrTooMany
	}
	t := &Tracer{hub: h, filter: f, wake: make(chan struct{}, 1)}
	h.set(append(slices.Clone(all), t))
	return t, nil
}

func (h *Hub) tracers() []*Tracer {
	if all := h.all.Load(); all != nil {
		return *all
	}
	return nil
}

// set replaces the tracers. REQUIRES: mu held.
func (h *Hub) set(all []*Tracer) {
	was := len(h.tracers())
	h.all.Store(&all)
	if h.Switch != nil && (was == 0) != (len(all) == 0) {
		h.Switch(len(all) > 0)
	}
}

// Close ends all tracers, and lets none begin.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	all := h.tracers()
	h.set(nil)
	h.mu.Unlock()
	for _, t := range all {
		t.end(ErrClosed)
	}
}

// Wanted calls give for every tracer that wants a line about this. Event loops may
// call it.
func (h *Hub) Wanted(a *About, give func(*Tracer)) {
	for _, t := range h.tracers() {
		if t.filter.matches(a) {
			give(t)
		}
	}
}

// Content is how many octets of a content the tracer wants.
func (t *Tracer) Content() int { return t.filter.Content }

// Give puts a line into the buffer, or drops it. It masks secrets. Event loops may
// call it.
func (t *Tracer) Give(l Line) {
	l.Text = mask(l.Kind, l.Command, l.Text)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return
	}
	if len(t.lines) >= bufferLines || t.bytes+len(l.Text) > bufferBytes {
		t.dropped++
		switch {
		case t.since.IsZero():
			t.since = l.At
		case l.At.Sub(t.since) >= Patience:
			t.err = ErrSlow
			t.lines = nil
			t.signal()
		}
		return
	}
	l.Dropped, t.dropped = t.dropped, 0
	t.lines = append(t.lines, l)
	t.bytes += len(l.Text)
	if len(t.lines) == 1 {
		t.signal()
	}
}

// signal wakes Take. REQUIRES: mu held.
func (t *Tracer) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Take waits for lines and gives all that there are, in order. ErrSlow, ErrClosed,
// or ctx's error.
func (t *Tracer) Take(ctx context.Context) ([]Line, error) {
	for {
		t.mu.Lock()
		lines, err := t.lines, t.err
		t.lines, t.bytes, t.since = nil, 0, time.Time{}
		t.mu.Unlock()
		switch {
		case len(lines) > 0:
			return lines, nil
		case err != nil:
			return nil, err
		}
		select {
		case <-t.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends the tracer. Any goroutine; more than once.
func (t *Tracer) Close() {
	h := t.hub
	h.mu.Lock()
	if all := h.tracers(); slices.Contains(all, t) {
		h.set(slices.DeleteFunc(slices.Clone(all), func(o *Tracer) bool { return o == t }))
	}
	h.mu.Unlock()
	t.end(ErrClosed)
}

func (t *Tracer) end(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = why
	}
	t.signal()
}
