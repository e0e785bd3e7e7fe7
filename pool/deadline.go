package pool

import "time"

// setTimer sets the next deadline: the awaited reply's, the end of being idle,
// or the gate's next grant.
func (c *Connection) setTimer(now time.Time) {
	o := &c.lane.site.pool.opts
	if cmd, waiting := c.session.Waiting(); waiting {
		r, unsent := c.session.Replies(), c.wc.Unsent()
		if r != c.replies || c.idling || c.deadline.IsZero() || unsent < c.unsent {
			c.replies = r
			c.idling = false
			wait := o.Timeouts.For(cmd)
			if unsent > 0 {
				wait = o.Timeouts.Block
			}
			c.deadline = now.Add(wait)
		}
		c.unsent = unsent
	} else if c.grantAt.IsZero() {
		if !c.idling || c.deadline.IsZero() {
			c.idling = true
			c.deadline = now.Add(o.IdleTimeout)
		}
		if c.restDue {
			c.restDue = false
			c.rest()
		}
	} else {
		c.idling, c.deadline = false, time.Time{} // the gate decides
	}
	next := c.deadline
	if !c.grantAt.IsZero() && (next.IsZero() || c.grantAt.Before(next)) {
		next = c.grantAt
	}
	if next.IsZero() {
		c.wc.SetTimer(0)
		return
	}
	c.wc.SetTimer(max(next.Sub(now), 1))
}

// rest puts an idle connection where others can send it away; at once if its
// place is wanted now.
func (c *Connection) rest() {
	s := c.lane.site
	s.mu.Lock()
	wanted := s.othersWait(c.lane) || s.pool.dial.pressed.Load()
	if !wanted && c.hungryAt != 0 {
		s.idled(c)
	}
	s.mu.Unlock()
	if wanted {
		c.deadline = c.lane.site.pool.opts.Now() // the timer quits
	}
}
