package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Filter chooses recipients by where they stand and by what their last record
// says. The zero Filter chooses everybody; each field that is set narrows it.
type Filter struct {
	// States, Domains (lower-case A-labels) and Sites: in one of these.
	States         []State
	Domains, Sites []string
	// Codes are reply codes, 200 to 599; 2, 4 and 5 stand for all that begin so.
	Codes []int
	// Enhanced is an enhanced status code (RFC 3463) or its beginning, such as
	// "5.1" for 5.1.1 and 5.1.10.
	Enhanced string
	// From and Until bound when the last record was made: not before From, and
	// before Until. Who has no record is in no such time.
	From, Until time.Time
}

// choice is a Filter made ready.
type choice struct {
	states    [NumStates]bool
	cancelled bool     // the campaign is
	domains   []string // sorted; empty: all
	sites     map[string]bool
	// codes has the whole classes below 10.
	codes       map[int]bool
	enhanced    []uint16
	from, until time.Time
}

// ErrFilter is a Filter that makes no sense; the text says why.
var ErrFilter = errors.New("wrong filter")

func newChoice(f *Filter, cancelled bool) (*choice, error) {
	c := &choice{cancelled: cancelled, from: f.From, until: f.Until}
	for _, s := range f.States {
		c.states[s] = true
	}
	if len(f.States) == 0 {
		for s := range c.states {
			c.states[s] = true
		}
	}
	c.domains = slices.Compact(slices.Sorted(slices.Values(f.Domains)))
	if len(f.Sites) > 0 {
		c.sites = make(map[string]bool)
		for _, s := range f.Sites {
			c.sites[s] = true
		}
	}
	for _, code := range f.Codes {
		if code < 200 && code != 2 && code != 4 && code != 5 || code > 599 {
			return nil, fmt.Errorf("%w: reply code %d; want 200 to 599, or 2, 4 or 5 for all that begin so", ErrFilter, code)
		}
		if c.codes == nil {
			c.codes = make(map[int]bool)
		}
		c.codes[code] = true
	}
	if f.Enhanced != "" {
		parts := strings.Split(f.Enhanced, ".")
		for _, p := range parts {
			n, err := strconv.ParseUint(p, 10, 16)
			if err != nil || len(parts) > 3 {
				return nil, fmt.Errorf("%w: enhanced code %q; want one such as 5.1.1, or its beginning", ErrFilter, f.Enhanced)
			}
			c.enhanced = append(c.enhanced, uint16(n))
		}
	}
	if !f.From.IsZero() && !f.Until.IsZero() && !f.From.Before(f.Until) {
		return nil, fmt.Errorf("%w: from %s is not before until %s", ErrFilter, f.From.Format(time.RFC3339), f.Until.Format(time.RFC3339))
	}
	return c, nil
}

// chosen judges a recipient by its state and its last record, nil if there is
// none.
func (c *choice) chosen(state State, e *event) bool {
	if !c.states[state] {
		return false
	}
	if c.codes == nil && c.enhanced == nil && c.from.IsZero() && c.until.IsZero() {
		return true
	}
	switch {
	case e == nil:
		return false
	case c.codes != nil && !c.codes[int(e.code)] && !c.codes[int(e.code/100)]:
		return false
	case !c.from.IsZero() && e.at.Before(c.from), !c.until.IsZero() && !e.at.Before(c.until):
		return false
	case len(c.enhanced) > 0 && (e.enhanced[0] == 0 || !slices.Equal(c.enhanced, e.enhanced[:len(c.enhanced)])):
		return false
	}
	return true
}

// domain judges a whole domain by its record: false when nobody in it can be
// chosen.
func (c *choice) domain(r *domainRecord, site []byte) bool {
	if c.sites != nil && !c.sites[string(site)] {
		return false
	}
	show := showing{c.cancelled, r.trouble != nil}
	for s, n := range r.counts {
		if n > 0 && c.states[show.of(State(s))] {
			return true
		}
	}
	return false
}

// domainWalk finds the domains in which somebody may be chosen, so that others
// are leapt over.
type domainWalk struct {
	*choice
	campaign uint32
	iter     *pebble.Iterator
	key      []byte
	// show is for the domain that was found last.
	show showing
}

func newDomainWalk(r pebble.Reader, campaign uint32, c *choice) (*domainWalk, error) {
	lower, upper := campaignBounds(spaceDomain, campaign)
	iter, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, err
	}
	iter.First()
	return &domainWalk{choice: c, campaign: campaign, iter: iter}, nil
}

func (d *domainWalk) close(err *error) { closeIter(d.iter, err) }

// from is the first such domain at or behind name; ok false when there is none.
// Names must not go back.
func (d *domainWalk) from(name string) (_ string, ok bool, err error) {
	for {
		if len(d.domains) > 0 {
			i, found := slices.BinarySearch(d.domains, name)
			if i == len(d.domains) {
				return "", false, nil
			}
			if !found {
				name = d.domains[i]
			}
		}
		if !d.goTo(name) {
			return "", false, d.iter.Error()
		}
		at, _, err := splitKey(d.iter.Key(), 0)
		if err != nil {
			return "", false, err
		}
		if len(d.domains) > 0 && string(at) != name {
			name = string(at) // not in this campaign
			continue
		}
		r, site, err := decodeDomain(d.iter.Value())
		if err != nil {
			return "", false, fmt.Errorf("domain %s: %w", at, err)
		}
		if d.domain(&r, site) {
			d.show = showing{d.cancelled, r.trouble != nil}
			return string(at), true, nil
		}
		name = string(at) + "\x01" // behind its zero byte, and before all others
	}
}

// goTo has the iterator stand at the first domain at or behind name: mostly the
// next, so a few steps come before a search.
func (d *domainWalk) goTo(name string) bool {
	d.key = append(appendCampaignKey(d.key[:0], spaceDomain, d.campaign), name...)
	const steps = 4
	for range steps {
		if !d.iter.Valid() || string(d.iter.Key()) >= string(d.key) {
			return d.iter.Valid()
		}
		d.iter.Next()
	}
	return d.iter.SeekGE(d.key)
}
