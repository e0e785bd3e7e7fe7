package pool

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// health is what dialling a host showed lately. The zero value: nothing known.
type health struct {
	fails int
	// until is when the rest ends.
	until time.Time
}

// failed sends the host to rest: first, doubled with each failure, at most
// longest, shortened by up to a fifth so that hosts that failed together are
// not tried together.
func (h *health) failed(now time.Time, first, longest time.Duration) {
	d := longest
	if h.fails < 20 {
		d = min(first<<h.fails, longest)
	}
	if d <= 0 {
		d = longest
	}
	h.fails++
	h.until = now.Add(d - rand.N(d/5+1))
}

// hostState is a host within a site, shared by the lanes that lead to it. All
// fields but the atomic one are under Site.mu.
//
// A failure without a reply (no connect, a time-out, a close) is the host's,
// whatever the source. A refusal in words concerns the source it was said to:
// the host may be glad to hear from another.
type hostState struct {
	name string
	refs int // lanes that lead to it
	// proven: a connection became ready, and none has failed since.
	proven bool
	silent health
	words  []health // by source
	// open and connecting are connections of all lanes.
	open, connecting int
	since            time.Time // when connecting was last 0 before
	last             Failure
	// blocked lanes wait for the probe that is under way.
	blocked []*Lane
	// trip is the shortest time that it took for an EHLO, in nanoseconds, and so
	// about what a round trip takes; 0: not known.
	trip atomic.Int64
}

// tripped takes in how long an EHLO took. Any goroutine.
func (h *hostState) tripped(took time.Duration) {
	for {
		shortest := h.trip.Load()
		if shortest != 0 && shortest <= int64(took) || h.trip.CompareAndSwap(shortest, max(1, int64(took))) {
			return
		}
	}
}

// standing is what a host and source are good for now.
type standing uint8

const (
	// usable: a connection may be tried.
	usable standing = iota
	// probing: one try is under way, and its end is awaited: a host that is
	// not known to answer is not tried twenty-fold.
	probing
	// rests until standing's time.
	rests
)

func (h *hostState) standing(source int, now time.Time) (standing, time.Time) {
	until := h.silent.until
	if w := h.words[source].until; w.After(until) {
		until = w
	}
	if now.Before(until) {
		return rests, until
	}
	if (!h.proven || h.words[source].fails > 0) && h.connecting > 0 {
		return probing, time.Time{}
	}
	return usable, time.Time{}
}

// fail takes a failure to make use of the host.
func (h *hostState) fail(f Failure, source int, now time.Time, o *Options) {
	h.last = f
	h.proven = false
	if f.Reply.Code != 0 {
		h.words[source].failed(now, o.RestFirst, o.RestMax)
	} else {
		h.silent.failed(now, o.RestFirst, o.RestMax)
	}
}

// ready takes a connection that became ready. What was said to the source is
// forgiven only when a message was answered.
func (h *hostState) ready() {
	h.proven = true
	h.silent.until = time.Time{}
}

// answered takes a message's answer: the host does its work for this source.
func (h *hostState) answered(source int) {
	h.silent = health{}
	h.words[source] = health{}
}
