package pause

import (
	"slices"
	"strings"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
)

// A source that is held stops nothing, as long as there are others. When the last
// of them is held nothing can go out, and that is a pause like any other: a page
// of its own, which follows from those of the sources.

// everySource is the scope of that page. No source has this name.
var everySource = Scope{Source: "*"}

// Cover says which sources there are: what is held with all of them is held, and
// its time does not run, from here on. Another call may follow. at is now.
func (b *Book) Cover(sources []string, at time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sources = slices.Clone(sources)
	return b.cover(at)
}

// SourceHeld reports whether a source is held.
func (b *Book) SourceHeld(name string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.held(Scope{Source: name})
}

// held reports whether exactly this scope is. REQUIRES: mu held.
func (b *Book) held(s Scope) bool {
	p := b.pages[s]
	return p != nil && len(p.Holds) > 0
}

// cover brings the page of all sources in line with those of each. A book that
// does not know which there are takes it that those once held are all. REQUIRES:
// mu held.
func (b *Book) cover(now time.Time) error {
	free := func(source string) bool { return !b.held(Scope{Source: source}) }
	anyFree := slices.ContainsFunc(b.sources, free)
	if b.sources == nil {
		for s := range b.pages {
			anyFree = anyFree || s.Source != "" && s != everySource && !b.held(s)
		}
	}
	covered := b.held(everySource)
	p := b.pages[everySource]
	switch {
	case !covered && len(b.sources) > 0 && !anyFree:
		if p == nil {
			p = new(page)
			b.pages[everySource] = p
		}
		for _, source := range b.sources {
			if since := b.pages[Scope{Source: source}].Since; since.After(p.Since) {
				p.Since = since
			}
		}
		p.Holds = []holder{{Who: everySource.Source, Since: p.Since}}
	case covered && anyFree:
		p.Holds = nil
		p.end(now)
	default:
		return nil
	}
	return b.save(everySource, p, ledger.Notice{})
}

// key is what a scope is called in the store.
func (s Scope) key() string {
	key := s.Campaign + "\x00" + s.Site
	if s.Source != "" {
		key += "\x00" + s.Source
	}
	return key
}

// scopeOf is the opposite of key.
func scopeOf(key string) (s Scope) {
	var rest string
	s.Campaign, rest, _ = strings.Cut(key, "\x00")
	s.Site, s.Source, _ = strings.Cut(rest, "\x00")
	return s
}
