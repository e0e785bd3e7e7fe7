package pool

import "time"

// finishing says whether the connection is to take nothing more.
func (c *Connection) finishing() bool {
	if p := c.lane.site.pool; p.draining.Load() || p.frozen[c.source].Load() {
		return true
	}
	if c.begun >= c.nextLook {
		c.limit = c.gate.MessagesPerConnection()
		if m := c.session.Capabilities().MailMax; m > 0 && (c.limit == 0 || m < c.limit) {
			c.limit = m
		}
		if c.nextLook > 0 && c.crowding() {
			return true
		}
		c.nextLook = c.begun + lookEvery
	}
	return c.limit > 0 && c.begun >= c.limit
}

// crowding says whether the lane has several places while others have none, or
// one that it has had for longer than its share: it then gives one up, so that no
// lane waits for another's whole backlog.
func (c *Connection) crowding() bool {
	s := c.lane.site
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.othersWait(c.lane) && (c.lane.places() > 1 || s.line.Ahead(c.lane))
}

// lookEvery is how often, in messages, a connection asks for its limit, which
// may be changed while sending, and looks who waits for its place.
const lookEvery = 64

// maxUnsent is how many octets may wait for the socket before no further
// message is begun.
const maxUnsent = 1 << 20

// pull fills the window as far as gate and queue allow.
func (c *Connection) pull(b *bench, now time.Time) {
	if c.quitting || c.ended {
		return
	}
	if c.finishing() || c.dismissed.Load() {
		c.quit()
		return
	}
	if c.hungry.Load() || !c.grantAt.IsZero() {
		return // Wake or the timer comes first
	}
	l := c.lane
	marked := false
	for {
		n := c.session.Room()
		if c.limit > 0 {
			n = min(n, c.limit-c.begun)
		}
		if n <= 0 || c.wc.Unsent() > maxUnsent {
			break
		}
		granted, wait := c.gate.Grant(now, n)
		got := 0
		if granted > 0 {
			b.messages = l.queue.Pull(b.messages[:0], c, granted)
			got = len(b.messages)
			for _, m := range b.messages {
				c.flights = append(c.flights, flight{m, now})
				c.session.Send(m)
			}
			clear(b.messages)
			c.begun += got
			c.flying.Store(int32(len(c.flights)))
			if got < granted {
				c.gate.Refund(now, granted-got)
			}
		}
		if got == granted && granted < n && wait > 0 {
			c.grantAt = now.Add(wait)
			l.heldTo[c.source].Store(c.grantAt.Add(heldAfter).UnixNano())
			break
		}
		if got < n {
			// Hungry first, and then the question once more: a Wake that came
			// in between found nobody.
			if marked {
				return
			}
			l.site.mu.Lock()
			l.starved(c)
			l.site.mu.Unlock()
			marked, c.restDue = true, true
			continue
		}
		l.busy(now)
	}
	if marked {
		l.site.mu.Lock()
		l.sated(c)
		l.site.unidle(c)
		l.site.mu.Unlock()
	}
}

// drained says whether the queue has nothing more for it: lists with many small
// sites would otherwise hold each one's connection for the whole idle time. While
// messages are in flight a young connection looks, too, so that QUIT goes out with
// the last of them; an old one need not save the round trip.
func (c *Connection) drained() bool {
	if c.quitting || c.session.InFlight() == 0 && !c.restDue || c.session.InFlight() > 0 && c.begun > lookEvery {
		return false
	}
	return c.lane.queue.Backlog() < 0
}

// busy is called when a pull was answered in full: there may be work for
// others. Wake is not called while the queue never runs dry.
func (l *Lane) busy(now time.Time) {
	if l.nHungry.Load() > 0 {
		l.wakeOne()
		return
	}
	if l.stuck.Load() {
		return
	}
	at, last := now.UnixNano(), l.sized.Load()
	if at-last < int64(sizeEvery) || !l.sized.CompareAndSwap(last, at) {
		return
	}
	l.grow()
}

// heldAfter is how long after a wait for the gate no connection is added: the
// rate is the limit, and one more would only wait with the others.
const heldAfter = time.Second

// sizeEvery is how often a busy lane looks whether it wants more connections.
const sizeEvery = 20 * time.Millisecond
