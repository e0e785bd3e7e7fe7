package trace

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Filter chooses lines. Each list that is not empty must have the line's; campaigns
// and recipients leave only lines that belong to a message.
type Filter struct {
	Sites, Hosts, Sources, Campaigns, Recipients []string
	// Content is how many octets of each content are wanted, up to MaxContent;
	// 0: none.
	Content int
}

// Bounds of a filter.
const (
	// MaxContent is the most octets of a content, MaxChoices the most names in all
	// lists.
	MaxContent = 64 << 10
	MaxChoices = 1000
)

// ErrInvalid is a filter out of bounds; the text says which.
var ErrInvalid = errors.New("invalid filter")

// Check tells what is out of bounds.
func (f *Filter) Check() error {
	var errs []error
	n := 0
	for _, list := range f.lists() {
		n += len(list)
	}
	if n > MaxChoices {
		errs = append(errs, fmt.Errorf("%w: %d names, at most %d may be", ErrInvalid, n, MaxChoices))
	}
	if f.Content < 0 || f.Content > MaxContent {
		errs = append(errs, fmt.Errorf("%w: %d octets of each content, 0 to %d may be", ErrInvalid, f.Content, MaxContent))
	}
	return errors.Join(errs...)
}

func (f *Filter) lists() [5][]string {
	return [5][]string{f.Sites, f.Hosts, f.Sources, f.Campaigns, f.Recipients}
}

// About is what a filter goes by.
type About struct{ Site, Host, Source, Campaign, Recipient string }

// matches reports whether the filter wants a line. Addresses are compared without
// regard to case: too much is shown rather than too little.
func (f *Filter) matches(a *About) bool {
	return has(f.Sites, a.Site) && has(f.Hosts, a.Host) && has(f.Sources, a.Source) && has(f.Campaigns, a.Campaign) &&
		(len(f.Recipients) == 0 || slices.ContainsFunc(f.Recipients, func(r string) bool { return strings.EqualFold(r, a.Recipient) }))
}

func has(list []string, word string) bool { return len(list) == 0 || slices.Contains(list, word) }
