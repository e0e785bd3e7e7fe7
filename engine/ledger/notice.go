package ledger

import (
	"slices"
	"time"
)

// Change is what a [Notice] tells of. Closed set; the values are on disk.
type Change uint8

const (
	ChangeUnset Change = iota
	// ChangeCreated: the campaign exists; more rows may follow.
	ChangeCreated
	// ChangeLoaded: all its rows are there.
	ChangeLoaded
	// ChangeStarted: it is being sent for the first time.
	ChangeStarted
	ChangePaused
	ChangeResumed
	ChangeCancelled
	// ChangeFinished: every recipient has a final outcome.
	ChangeFinished
	// ChangeReopened takes ChangeFinished back.
	ChangeReopened
	ChangeDeleted
	// ChangeLimits: a person holds a site to other limits; with neither
	// connections nor rate, to those configured again.
	ChangeLimits
	// ChangeBackoff: a site objects, and is sent less, or nothing until Until.
	ChangeBackoff
	// ChangeRecovered: nothing is left of a back-off; of a campaign at a site: it
	// is tried there again after ChangeRested.
	ChangeRecovered
	// ChangeRested: the breaker keeps a campaign from a site until Until;
	// ChangeRecovered follows, unless the campaign ends before.
	ChangeRested

	numChanges = int(ChangeRested) + 1
)

var changeNames = [numChanges]string{
	"unset", "created", "loaded", "started", "paused", "resumed", "cancelled", "finished", "reopened", "deleted",
	"limits", "backoff", "recovered", "rested",
}

// String is the change's word, such as "paused".
func (c Change) String() string {
	if int(c) < numChanges {
		return changeNames[c]
	}
	return "unknown"
}

// ChangeNames are the words of all changes.
func ChangeNames() []string { return slices.Clone(changeNames[1:]) }

// Notice is a change of a campaign or of a site, as the event log tells of it.
// It is written in the same group as the change itself.
type Notice struct {
	Change Change `json:"change"`
	// At is when it happened; zero: when it is written.
	At time.Time `json:"at"`
	// What changed: a campaign, a site, a campaign at a site, what goes out
	// from a source, or with all of them empty everything.
	Campaign string `json:"campaign,omitempty"`
	Site     string `json:"site,omitempty"`
	Source   string `json:"source,omitempty"`
	// By is who changed it, Reason why, for people.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Held: others hold what was resumed still.
	Held bool `json:"held,omitempty"`
	// Until is when it ends by itself; zero: not.
	Until time.Time `json:"until,omitzero"`
	// Connections and MessageRate (a second) are the limits from now on; 0:
	// not changed, or none.
	Connections int     `json:"connections,omitempty"`
	MessageRate float64 `json:"message_rate,omitempty"`
	// Rows, Rejected and Suppressed are how many there are of a campaign. Who was
	// suppressed when it was loaded has no event of his own.
	Rows       uint64 `json:"rows,omitempty"`
	Rejected   uint64 `json:"rejected,omitempty"`
	Suppressed uint64 `json:"suppressed,omitempty"`
}

// tell adds a notice to the group: it is on disk with all else in it.
func (g *group) tell(n Notice) error {
	if n.At.IsZero() {
		n.At = g.now
	}
	return g.events.notice(&n)
}

// tellLoaded tells of rows that came into a campaign, and of those that did
// not: of the first rows also that there is the campaign, of the last that
// there are all.
func (l *eventLog) tellLoaded(c *campaignRecord, rejected rejectRanges, first bool, now time.Time) error {
	n := Notice{At: now, Campaign: c.Name, Rows: c.Rows, Rejected: c.Rejected, Suppressed: c.Suppressed}
	if first {
		n.Change = ChangeCreated
		if err := l.notice(&n); err != nil {
			return err
		}
	}
	l.rejects(c.Number, rejected, now)
	if c.Streaming {
		return nil
	}
	n.Change = ChangeLoaded
	return l.notice(&n)
}
