package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// ErrStop ends a walk early without an error.
var ErrStop = errors.New("stop")

// EventKind is what an event is about. Closed set.
type EventKind uint8

const (
	// EventAttempt: a recipient's attempt, or its end without one.
	EventAttempt EventKind = iota
	// EventReject: a row that was not loaded.
	EventReject
	// EventCampaign: a campaign changed.
	EventCampaign
	// EventSite: a site changed, or a campaign at a site.
	EventSite
	// EventSource: what goes out from a source changed.
	EventSource
	// EventServer: everything changed, as when all is paused.
	EventServer

	numEventKinds = int(EventServer) + 1
)

var eventKindNames = [numEventKinds]string{"attempt", "reject", "campaign", "site", "source", "server"}

// String is the kind's word, such as "attempt".
func (k EventKind) String() string {
	if int(k) < numEventKinds {
		return eventKindNames[k]
	}
	return "unknown"
}

// EventKindNames are the words of all kinds.
func EventKindNames() []string { return slices.Clone(eventKindNames[:]) }

// Event is one thing that happened.
type Event struct {
	// Number rises from event to event, from 1, and never changes. Events of a
	// campaign that was deleted are left out, so there may be gaps.
	Number uint64
	Kind   EventKind
	At     time.Time
	// Campaign is its name; empty for what concerns all.
	Campaign string
	// Site is, for an attempt, the one that its domain belongs to now.
	Site, Domain string
	// Seq and Local are the recipient's, of an attempt; Local is empty when it
	// was erased.
	Seq    Seq
	Local  string
	Erased bool
	// Attempt is set for EventAttempt.
	Attempt Attempt
	// Reject is set for EventReject, Notice for all other kinds.
	Reject *Reject
	Notice *Notice
}

// rejectedWord stands for rejected rows where events are chosen by what
// happened.
const rejectedWord = "rejected"

// Word says what happened in a word: an attempt's state, a notice's change, or
// "rejected".
func (e *Event) Word() string {
	switch {
	case e.Notice != nil:
		return e.Notice.Change.String()
	case e.Reject != nil:
		return rejectedWord
	default:
		return e.Attempt.State.String()
	}
}

// EventWords are all words that Event.Word may give.
func EventWords() []string {
	words := append(StateNames(), rejectedWord)
	for _, w := range ChangeNames() {
		if !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return words
}

// EventFilter chooses events: of each list that is not empty an event must have
// one, and an event that has no such thing is left out. The zero value chooses
// all.
type EventFilter struct {
	// Kinds and Words as in EventKindNames and EventWords.
	Kinds, Words              []string
	Campaigns, Sites, Domains []string
}

// eventFilter is a filter made ready.
type eventFilter struct {
	kinds                     [numEventKinds]bool
	states                    [NumStates]bool
	changes                   [numChanges]bool
	rejected                  bool
	campaigns, sites, domains map[string]bool // nil: all
}

func (f *EventFilter) compile() (c eventFilter, err error) {
	for i := range c.kinds {
		c.kinds[i] = len(f.Kinds) == 0
	}
	for _, k := range f.Kinds {
		i := slices.Index(eventKindNames[:], k)
		if i < 0 {
			return c, fmt.Errorf("kind %q is none of %s", k, strings.Join(eventKindNames[:], ", "))
		}
		c.kinds[i] = true
	}
	all := len(f.Words) == 0
	for _, w := range f.Words {
		if !slices.Contains(EventWords(), w) {
			return c, fmt.Errorf("state %q is none of %s", w, strings.Join(EventWords(), ", "))
		}
	}
	for i, w := range stateNames {
		c.states[i] = all || slices.Contains(f.Words, w)
	}
	for i, w := range changeNames {
		c.changes[i] = all || slices.Contains(f.Words, w)
	}
	c.rejected = all || slices.Contains(f.Words, rejectedWord)
	c.kinds[EventAttempt] = c.kinds[EventAttempt] && slices.Contains(c.states[:], true)
	c.kinds[EventReject] = c.kinds[EventReject] && c.rejected && len(f.Sites)+len(f.Domains) == 0
	c.campaigns, c.sites, c.domains = set(f.Campaigns), set(f.Sites), set(f.Domains)
	return c, nil
}

func set(list []string) map[string]bool {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]bool, len(list))
	for _, s := range list {
		m[s] = true
	}
	return m
}

// notice reports whether the filter chooses a notice.
func (f *eventFilter) notice(n *Notice) bool {
	return f.kinds[n.kind()] && int(n.Change) < numChanges && f.changes[n.Change] && f.domains == nil &&
		(f.campaigns == nil || f.campaigns[n.Campaign]) && (f.sites == nil || f.sites[n.Site])
}

// kind is what the notice is about.
func (n *Notice) kind() EventKind {
	switch {
	case n.Site != "":
		return EventSite
	case n.Campaign != "":
		return EventCampaign
	case n.Source != "":
		return EventSource
	default:
		return EventServer
	}
}

// attempt is a history record as the API shows it.
func (l *Ledger) attempt(r pebble.Reader, n uint16, v []byte) (Attempt, error) {
	e, err := decodeEvent(v)
	if err != nil {
		return Attempt{}, err
	}
	a := Attempt{
		Number: int(e.attempts(n)), Attempted: e.attempted, At: e.at, Took: e.took, State: e.state,
		Command: e.command, Code: int(e.code), Enhanced: e.enhanced, Anomaly: e.anomaly, Due: e.due,
	}
	if a.Text, err = l.shapes.decodeText(e.text); err != nil {
		return a, err
	}
	if e.peer != 0 {
		p, err := l.peerByID(r, e.peer)
		if err != nil {
			return a, err
		}
		a.Host, a.Addr, a.Source, a.TLS = p.Host, p.Addr, p.Source, p.TLS
	}
	return a, nil
}
