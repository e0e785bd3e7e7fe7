package engine

import (
	"slices"

	"github.com/penstock-mail/penstock/engine/share"
)

// Whose recipients a lane reads next. Campaigns share a site by weight and
// priority (package share), and what they share is recipients read: those go out
// in the order in which they were read. Only what somebody else waited for
// counts: a campaign that has a lane for itself, at a site that is not short of
// anything, loses nothing of its share of others.

// limit is how many recipients of all flows may be in doubt at once: what the
// most generous of them allows. One budget for all makes it the turns that
// decide who gets how much. REQUIRES: mu held.
func (l *lane) limit() (most int) {
	for _, f := range l.flows {
		most = max(most, f.limit())
	}
	return most
}

// limit is how many recipients of f may be in doubt at once. Without an open
// connection it is none: what waits for one, perhaps for hours, is neither
// leased nor held in memory.
func (f *flow) limit() int {
	if f.lane.pool == nil {
		return 4 * batchSize // nothing of it goes out, so nothing is in doubt
	}
	return int(f.lane.connections.Load()) * f.run.inDoubt()
}

// contend lists the flows that something may be reserved of, by their own places
// and the lane's, and returns the lane's. REQUIRES: mu held.
func (l *lane) contend() (room int) {
	l.among, l.theirs = l.among[:0], l.theirs[:0]
	if room = l.limit() - l.reserved; room <= 0 || l.readyBytes > maxReadyBytes || l.engine.held() {
		return 0
	}
	for _, f := range l.flows {
		if !f.held && f.limit() > f.reserved && (f.allowed > 0 || !f.paced) {
			l.among = append(l.among, f)
			l.theirs = append(l.theirs, f.turns)
		}
	}
	return room
}

// next is whose turn it is among those that contend lists; nil: nobody's.
// REQUIRES: mu held.
func (l *lane) next() (*flow, share.Turn) {
	switch len(l.among) {
	case 0:
		return nil, share.Turn{}
	case 1:
		return l.among[0], share.Alone
	}
	t := l.site.shares.Next(l.theirs)
	return l.among[t.Index], t
}

// wants is the run that the lane would read recipients of now, and counts the
// lane as queued for it; nil: nothing is to be done, or it is queued already.
// Whatever changes that is followed by an offer. REQUIRES: mu held.
func (l *lane) wants() *Run {
	if l.queued.Load() {
		return nil
	}
	l.contend()
	f, _ := l.next()
	if f == nil || f.destinations.len() == 0 {
		return nil
	}
	l.queued.Store(true)
	return f.run
}

// reserve chooses whose turn it is, takes places for up to batchSize of its
// recipients, and takes the destination that they will be read from; release
// must follow. ok is false when nothing may be read now: also when all that the
// one has whose turn it is is just being read. The next may not go before it
// then, or the shares would be those of who reads faster.
func (l *lane) reserve() (f *flow, d *destination, n int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	room := l.contend()
	contended := l.site.scarce.Load() || len(l.among) > 1
	for {
		f, t := l.next()
		if f == nil || f.destinations.len() == 0 {
			return nil, nil, 0, false
		}
		n = f.pace(min(f.limit()-f.reserved, room, batchSize))
		if n == 0 {
			// It is offered again when its rate allows.
			i := slices.Index(l.among, f)
			l.among, l.theirs = slices.Delete(l.among, i, i+1), slices.Delete(l.theirs, i, i+1)
			continue
		}
		if contended {
			l.site.shares.Take(f.turns, n, t)
		}
		d, _ = f.destinations.pop()
		f.reading++
		f.reserved += n
		l.reserved += n
		f.run.activity.Add(int64(n))
		return f, d, n, true
	}
}
