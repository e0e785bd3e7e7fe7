package pause

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
)

// Scope is what is held. An empty Campaign stands for all campaigns, an empty
// Site for all sites; the zero value is everything. A Source stands alone: what
// would go out from it goes out from others.
type Scope struct{ Campaign, Site, Source string }

// String says what the scope is, for people.
func (s Scope) String() string {
	switch {
	case s == Scope{}:
		return "everything"
	case s.Source != "":
		return "source " + s.Source
	case s.Site == "":
		return "campaign " + s.Campaign
	case s.Campaign == "":
		return "site " + s.Site
	default:
		return "campaign " + s.Campaign + " at site " + s.Site
	}
}

// Hold is one pause by one person.
type Hold struct {
	Scope Scope
	// Who holds it, 1 to 200 octets, and Why, for people, up to 1,000.
	Who, Why string
	Since    time.Time
}

// Bounds of what a hold is made of, in octets.
const (
	maxWho  = 200
	maxWhy  = 1000
	maxName = 1000
)

// Errors that callers branch on.
var (
	// ErrInvalid is a hold that cannot be kept; the text says what is wrong.
	ErrInvalid = errors.New("invalid pause")
	// ErrNotHeld is the release of what its caller does not hold; the text says
	// who does.
	ErrNotHeld = errors.New("not paused by you")
)

// Kind is what the book's entries are called in its Store.
const Kind = "pause"

// Store keeps a value for a key of a kind, nil forgets it, together with what
// the event log tells of it; Learn has nothing to tell. The ledger is one.
type Store interface {
	Tell(kind, key string, value []byte, n ledger.Notice) error
	Learn(kind, key string, value []byte) error
	ForEachLearned(kind string, fn func(key string, value []byte) error) error
}

// remembered is how long a pause that is over is kept: no recipient waits for
// as long.
const remembered = 2 * 366 * 24 * time.Hour

// page is all that is known of one scope. It is kept as JSON.
type page struct {
	Holds []holder `json:"holds,omitempty"`
	// Since is when the first of the holds began that overlap until now.
	Since time.Time `json:"since,omitzero"`
	// Past is the times that are over, in order and apart from one another.
	Past []span `json:"past,omitempty"`
}

type holder struct {
	Who   string    `json:"who"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since"`
}

type span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Book is what is paused now and was before. Any goroutine may use it; what
// Add and Release change is known to Held at once, and is in the Store, though
// perhaps not yet on disk, when they return. In a nil Book nothing is held.
type Book struct {
	store Store

	mu      sync.RWMutex
	pages   map[Scope]*page // guarded by mu
	sources []string        // all there are; nil: not known. Guarded by mu
}

// Open reads the book that a store holds.
func Open(store Store) (*Book, error) {
	b := &Book{store: store, pages: make(map[Scope]*page)}
	err := store.ForEachLearned(Kind, func(key string, value []byte) error {
		s := scopeOf(key)
		p := new(page)
		if err := json.Unmarshal(value, p); err != nil {
			return fmt.Errorf("pause of %s: %w", s, err)
		}
		b.pages[s] = p
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read pauses: %w", err)
	}
	return b, nil
}

// Add holds a scope. Once more by the same one changes Why and keeps Since.
// ErrInvalid: something is missing or too long.
func (b *Book) Add(h Hold) error {
	if err := h.check(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pages[h.Scope]
	if p == nil {
		p = new(page)
		b.pages[h.Scope] = p
	}
	if i := slices.IndexFunc(p.Holds, h.by); i >= 0 {
		p.Holds[i].Why = h.Why
		return b.save(h.Scope, p, h.notice())
	}
	if len(p.Holds) == 0 {
		p.Since = h.Since
	}
	p.Holds = append(p.Holds, holder{h.Who, h.Why, h.Since})
	if err := b.save(h.Scope, p, h.notice()); err != nil {
		return err
	}
	return b.cover(h.Since)
}

func (h Hold) notice() ledger.Notice {
	n := h.Scope.notice(ledger.ChangePaused)
	n.At, n.By, n.Reason = h.Since, h.Who, h.Why
	return n
}

func (s Scope) notice(c ledger.Change) ledger.Notice {
	return ledger.Notice{Change: c, Campaign: s.Campaign, Site: s.Site, Source: s.Source}
}

func (h Hold) by(other holder) bool { return h.Who == other.Who }

func (h Hold) check() error {
	for _, f := range []struct {
		what, text string
		most       int
	}{
		{"who pauses", h.Who, maxWho}, {"reason", h.Why, maxWhy},
		{"campaign", h.Scope.Campaign, maxName}, {"site", h.Scope.Site, maxName}, {"source", h.Scope.Source, maxName},
	} {
		switch {
		case len(f.text) > f.most:
			return fmt.Errorf("%w: %s has %d octets, at most %d may be", ErrInvalid, f.what, len(f.text), f.most)
		case strings.ContainsRune(f.text, 0):
			return fmt.Errorf("%w: %s has a zero byte", ErrInvalid, f.what)
		}
	}
	switch s := h.Scope; {
	case h.Who == "":
		return fmt.Errorf("%w: who pauses is not said", ErrInvalid)
	case s.Source != "" && s != Scope{Source: s.Source}:
		return fmt.Errorf("%w: a source is paused for all campaigns and sites", ErrInvalid)
	case s == everySource:
		return fmt.Errorf("%w: %q is no source", ErrInvalid, s.Source)
	}
	return nil
}

// Release ends who's hold on a scope, or with force everybody's. ErrNotHeld:
// there is none. The scope may be held by others still, and by wider scopes.
func (b *Book) Release(s Scope, who string, force bool, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pages[s]
	switch {
	case p == nil || len(p.Holds) == 0:
		return b.nothingHeld(s)
	case force:
		p.Holds = nil
	default:
		i := slices.IndexFunc(p.Holds, Hold{Who: who}.by)
		if i < 0 {
			return fmt.Errorf("%s: %w: it is paused by %s; --force (force over the API) ends that, too", s, ErrNotHeld, names(p.Holds))
		}
		p.Holds = slices.Delete(p.Holds, i, i+1)
	}
	if len(p.Holds) == 0 {
		p.end(now)
	}
	n := s.notice(ledger.ChangeResumed)
	n.At, n.By, n.Held = now, who, len(p.Holds) > 0
	if err := b.save(s, p, n); err != nil {
		return err
	}
	return b.cover(now)
}

// Forget drops what is known of a campaign that was deleted, from memory alone:
// whoever deleted it has emptied the Store of it.
func (b *Book) Forget(campaign string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.pages, func(s Scope, _ *page) bool { return s.Campaign == campaign })
}

// nothingHeld is the refusal to release what nobody holds; it names the narrower
// scopes within that somebody does. b.mu is held.
func (b *Book) nothingHeld(s Scope) error {
	var within []string
	for other, p := range b.pages {
		if len(p.Holds) > 0 && s.Campaign != "" && s.Site == "" && other.Campaign == s.Campaign {
			within = append(within, other.String())
		}
	}
	if len(within) == 0 {
		return fmt.Errorf("%s is %w nor by anybody else", s, ErrNotHeld)
	}
	slices.Sort(within)
	return fmt.Errorf("%s is %w as a whole; what is paused: %s", s, ErrNotHeld, strings.Join(within, ", "))
}

func names(holds []holder) string {
	all := make([]string, len(holds))
	for i, h := range holds {
		all[i] = h.Who
	}
	return strings.Join(all, ", ")
}

// end closes the time that is open. A clock that was set back has no time go by.
func (p *page) end(now time.Time) {
	past := slices.DeleteFunc(p.Past, func(s span) bool { return now.Sub(s.To) > remembered })
	from := p.Since
	if n := len(past); n > 0 && from.Before(past[n-1].To) {
		from = past[n-1].To
	}
	if now.After(from) {
		past = append(past, span{from, now})
	}
	p.Past, p.Since = past, time.Time{}
}

// save hands a page to the store, with what it tells of it. REQUIRES: mu held.
func (b *Book) save(s Scope, p *page, news ledger.Notice) error {
	var value []byte
	if len(p.Holds) == 0 && len(p.Past) == 0 {
		delete(b.pages, s)
	} else {
		var err error
		if value, err = json.Marshal(p); err != nil {
			return fmt.Errorf("keep pause of %s: %w", s, err)
		}
	}
	var err error
	if s == everySource { // it follows from what was told
		err = b.store.Learn(Kind, s.key(), value)
	} else {
		err = b.store.Tell(Kind, s.key(), value, news)
	}
	if err != nil {
		return fmt.Errorf("keep pause of %s: %w", s, err)
	}
	return nil
}

// concerning is the scopes that hold what a campaign has for a site, the widest
// first, each once.
func concerning(campaign, site string) []Scope {
	all := []Scope{{}, everySource, {Campaign: campaign}, {Site: site}, {Campaign: campaign, Site: site}}
	return slices.Compact(all[:numScopes(campaign, site)])
}

// numScopes: with an empty site, or campaign, the later scopes say the same as
// earlier ones.
func numScopes(campaign, site string) int {
	switch {
	case campaign == "" && site == "":
		return 2
	case site == "":
		return 3
	default:
		return 5
	}
}

// Held reports whether what a campaign has for a site is held, by whatever
// scope. An empty site asks for the campaign as a whole.
func (b *Book) Held(campaign, site string) bool {
	if b == nil {
		return false
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if len(b.pages) == 0 {
		return false
	}
	return slices.ContainsFunc(concerning(campaign, site), func(s Scope) bool {
		p := b.pages[s]
		return p != nil && len(p.Holds) > 0
	})
}

// Paused is for how long, between the two times, what a campaign has for a site
// was held: the union of all that held it, so nothing counts twice.
func (b *Book) Paused(campaign, site string, from, to time.Time) (sum time.Duration) {
	if b == nil {
		return 0
	}
	b.mu.RLock()
	var spans []span
	if len(b.pages) > 0 {
		for _, s := range concerning(campaign, site) {
			p := b.pages[s]
			if p == nil {
				continue
			}
			spans = append(spans, p.Past...)
			if len(p.Holds) > 0 {
				spans = append(spans, span{p.Since, to})
			}
		}
	}
	b.mu.RUnlock()
	slices.SortFunc(spans, func(a, b span) int { return a.From.Compare(b.From) })
	for _, s := range spans {
		if s.From.Before(from) {
			s.From = from
		}
		if s.To.After(to) {
			s.To = to
		}
		if s.To.After(s.From) {
			sum += s.To.Sub(s.From)
			from = s.To
		}
	}
	return sum
}

// Holds is who holds exactly this scope, the first first.
func (b *Book) Holds(s Scope) []Hold {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.holds(s)
}

// holds as Holds. REQUIRES: mu held.
func (b *Book) holds(s Scope) []Hold {
	p := b.pages[s]
	if p == nil {
		return nil
	}
	list := make([]Hold, len(p.Holds))
	for i, h := range p.Holds {
		list[i] = Hold{s, h.Who, h.Why, h.Since}
	}
	return list
}

// All is every hold, by source, site and campaign: first those of everything.
func (b *Book) All() []Hold {
	b.mu.RLock()
	defer b.mu.RUnlock()
	scopes := slices.SortedFunc(maps.Keys(b.pages), func(a, b Scope) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Campaign, b.Campaign))
	})
	var list []Hold
	for _, s := range scopes {
		if s == everySource {
			continue // it follows from the others
		}
		list = append(list, b.holds(s)...)
	}
	return list
}
