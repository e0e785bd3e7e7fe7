package mx

import (
	"context"
	"sync"
	"time"
)

// cache keeps answers by name, a bounded number of them, the least recently
// used falling out first, and lets only one look-up run for a name: at the
// start of a campaign thousands of recipients ask for the same few.
//
// The lock covers maps and list only; a look-up runs without it. Where a caller may
// give up, it has a goroutine of its own, so that this does not take the answer from
// the others. Safe for concurrent use.
type cache[V any] struct {
	max int

	mu      sync.Mutex
	entries map[string]*entry[V]  // guarded by mu
	flights map[string]*flight[V] // guarded by mu
	ring    entry[V]              // guarded by mu: ring.next is the most recently used
}

type entry[V any] struct {
	key        string
	value      V
	expires    time.Time
	prev, next *entry[V]
}

// flight is a look-up under way; value is set before done is closed.
type flight[V any] struct {
	done  chan struct{}
	value V
}

func newCache[V any](max int) *cache[V] {
	c := &cache[V]{max: max, entries: make(map[string]*entry[V]), flights: make(map[string]*flight[V])}
	c.ring.prev, c.ring.next = &c.ring, &c.ring
	return c
}

// load looks a name up; old is what was known, past its time, if had. The
// value is kept until expires.
type load[V any] func(old V, had bool) (value V, expires time.Time)

// get answers from memory, or waits for the one look-up of key. spawn runs it; nil:
// the caller does, who never gives up. The error is ctx's, or spawn's refusal.
func (c *cache[V]) get(ctx context.Context, key string, now time.Time, spawn func(func()) error, look load[V]) (V, error) {
	c.mu.Lock()
	e := c.entries[key]
	if e != nil {
		e.unlink()
		c.ring.insert(e)
		if now.Before(e.expires) {
			v := e.value
			c.mu.Unlock()
			return v, nil
		}
	}
	f := c.flights[key]
	if f != nil {
		c.mu.Unlock()
		return f.wait(ctx)
	}
	f = &flight[V]{done: make(chan struct{})}
	var old V
	if e != nil {
		old = e.value
	}
	if spawn == nil {
		c.flights[key] = f
		c.mu.Unlock()
		c.land(key, f, look, old, e != nil)
		return f.value, nil
	}
	if err := spawn(func() { c.land(key, f, look, old, e != nil) }); err != nil {
		c.mu.Unlock()
		var none V
		return none, err
	}
	c.flights[key] = f
	c.mu.Unlock()
	return f.wait(ctx)
}

// land looks key up and tells all that wait.
func (c *cache[V]) land(key string, f *flight[V], look load[V], old V, had bool) {
	value, expires := look(old, had)
	c.mu.Lock()
	c.put(key, value, expires)
	delete(c.flights, key)
	c.mu.Unlock()
	f.value = value
	close(f.done)
}

// wait is for the answer, or ctx's end.
func (f *flight[V]) wait(ctx context.Context) (V, error) {
	select {
	case <-f.done:
		return f.value, nil
	case <-ctx.Done():
		var none V
		return none, context.Cause(ctx)
	}
}

// put keeps a value. REQUIRES: mu.
func (c *cache[V]) put(key string, value V, expires time.Time) {
	e := c.entries[key]
	if e == nil {
		e = &entry[V]{key: key}
		c.entries[key] = e
	} else {
		e.unlink()
	}
	e.value, e.expires = value, expires
	c.ring.insert(e)
	for len(c.entries) > c.max {
		last := c.ring.prev
		last.unlink()
		delete(c.entries, last.key)
	}
}

func (c *cache[V]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

func (e *entry[V]) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
}

// insert puts e behind at, the ring's head.
func (at *entry[V]) insert(e *entry[V]) {
	e.prev, e.next = at, at.next
	at.next.prev = e
	at.next = e
}
