package campaign

import (
	"fmt"
	"slices"
	"strings"
)

// Origin is where the recipients of a copied campaign came from.
type Origin struct {
	// Campaign is the id of the campaign that was copied, and Number what its
	// ledger calls it: another one may bear the id by now.
	Campaign string `json:"campaign"`
	Number   uint32 `json:"number"`
	// States are those that its recipients were in, sorted.
	States []string `json:"states"`
}

// Copied is the error that a campaign of that id is there already, and was not
// made as it is to be made now.
type Copied struct {
	ID string
	// What differs, a phrase each.
	What []string
}

func (e *Copied) Error() string {
	return fmt.Sprintf("campaign %q is there already, and differs: %s; give the copy another id, or delete that campaign", e.ID, strings.Join(e.What, "; "))
}

// CompareOrigin holds a copy that is asked for against the snapshot of its id:
// nil when that is the copy, *Copied when it is another campaign.
func (s *Snapshot) CompareOrigin(from string, states []string) error {
	var what []string
	switch {
	case s.Origin == nil:
		what = append(what, "it is no copy")
	case s.Origin.Campaign != from:
		what = append(what, fmt.Sprintf("it is a copy of %s, not of %s", s.Origin.Campaign, from))
	}
	if s.Origin != nil && !slices.Equal(s.Origin.States, states) {
		what = append(what, fmt.Sprintf("it has those who were %s, not %s", strings.Join(s.Origin.States, ", "), strings.Join(states, ", ")))
	}
	if len(what) == 0 {
		return nil
	}
	return &Copied{ID: s.ID, What: what}
}

// CopyAs is the snapshot of a copy, which has no recipient files.
func (s *Snapshot) CopyAs(id string, from Origin) *Snapshot {
	c := *s
	c.ID, c.Origin, c.Recipients = id, &from, nil
	return &c
}

// CheckID says what is wrong with a campaign's id, nil when nothing is.
func CheckID(id string) error {
	if validID(id) {
		return nil
	}
	return fmt.Errorf("id %q is not 1 to 64 letters, digits, dots, hyphens or underscores, beginning with a letter or digit", id)
}
