package engine

import (
	"github.com/penstock-mail/penstock/engine/share"
	"github.com/penstock-mail/penstock/pool"
)

// places is the line (pool.Line) in which the lanes of a site wait for
// connections that its limits do not leave. Campaigns share the site there, too:
// a campaign with ten thousand routes in line holds up one that joins by no more
// than its share. A lane stands there for one of its campaigns; what is sent
// while a line is there counts for whose it is.
//
// The pool calls it with its site's lock held, and so under no other but that.
type places struct {
	site *site
	line *share.Line[*Run, *pool.Lane]
	// last is the lane that was taken out last and is not yet counted: it may
	// come back refused.
	last   *pool.Lane
	member *share.Member
	turn   share.Turn
}

func newPlaces(s *site) *places {
	return &places{site: s, line: share.NewLine[*Run, *pool.Lane](s.shares)}
}

// Len implements pool.Line.
func (p *places) Len() int { return p.line.Len() }

// Push implements pool.Line.
func (p *places) Push(l *pool.Lane, front bool) {
	p.site.scarce.Store(true)
	m := p.of(l)
	if !front {
		p.line.Push(m, l)
		return
	}
	if p.last == l {
		p.last = nil // it got nothing
	}
	p.line.PushFront(m, l)
}

// Pop implements pool.Line. A place counts as one recipient, so that those that
// become free at once go to all; the rest counts when it is read.
func (p *places) Pop() *pool.Lane {
	if p.last != nil {
		p.site.shares.Take(p.member, 1, p.turn)
	}
	p.last, p.member, p.turn, _ = p.line.Pop()
	p.site.scarce.Store(p.line.Len() > 0)
	return p.last
}

// First implements pool.Line.
func (p *places) First() *pool.Lane {
	l, _, _ := p.line.First()
	return l
}

// Ahead implements pool.Line.
func (p *places) Ahead(l *pool.Lane) bool {
	_, m, ok := p.line.First()
	return ok && p.site.shares.Ahead(p.of(l), m)
}

// of is whom a lane stands in line for.
func (p *places) of(l *pool.Lane) *share.Member {
	if ours, ok := l.Data.(*lane); ok {
		if m := ours.stands.Load(); m != nil {
			return m
		}
	}
	return p.site.shares.Member(nil, 1, share.MinWeight) // it has just run dry
}

// foremost sets whom the lane stands in line for: of those with something to
// send, the one of the highest priority and the largest weight. REQUIRES: mu
// held.
func (l *lane) foremost() {
	var first *flow
	for _, f := range l.flows {
		if f.held {
			continue
		}
		if s := &f.run.settings; first == nil || s.Priority > first.run.settings.Priority ||
			s.Priority == first.run.settings.Priority && s.Weight > first.run.settings.Weight {
			first = f
		}
	}
	if first == nil {
		l.stands.Store(nil)
		return
	}
	l.stands.Store(first.turns)
}
