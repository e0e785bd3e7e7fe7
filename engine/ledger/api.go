package ledger

import (
	"errors"
	"net/netip"
	"time"
)

// Seq is a recipient's number within its campaign: the ordinal of its row over
// all recipient files, from 1, rejected rows included.
type Seq uint32

// State is where a recipient stands. Closed set.
type State uint8

const (
	// Pending: not tried yet, or leased for its first attempt.
	Pending State = iota
	Delivered
	// Deferred: will be tried again.
	Deferred
	Bounced
	Expired
	Suppressed
	Cancelled
	// Uncertain: the last attempt may have been sent. Final under the policy
	// "hold", tried again under "retry".
	Uncertain

	NumStates = int(Uncertain) + 1
)

// Counts is recipients by State.
type Counts [NumStates]uint64

// Errors that callers branch on.
var (
	ErrNoCampaign  = errors.New("no such campaign")
	ErrExists      = errors.New("campaign is already loaded")
	ErrHeld        = errors.New("data directory is held by another process")
	ErrNewerFormat = errors.New("data directory was written by a newer version")
	ErrLowSpace    = errors.New("too little free space")
	ErrClosed      = errors.New("ledger is closed")
	// ErrCancelled is returned for rows that come after the mark.
	ErrCancelled = errors.New("campaign was cancelled")
)

// Row is one recipient as it is loaded.
type Row struct {
	Seq Seq
	// Local and Domain are the address; Domain in lower-case A-label form.
	Local, Domain []byte
	// Fields are the merge fields, opaque here (see package campaign).
	Fields []byte
	// Suppressed: loaded with that outcome, never tried.
	Suppressed bool
	// File and Line are where the row came from, for its reject should it turn
	// out to be a duplicate.
	File string
	Line int
}

// Reject is one row that was not loaded.
type Reject struct {
	Seq     Seq
	File    string
	Line    int
	Reason  string // one of a small closed set, such as "duplicate"
	Detail  string
	Address string
}

// Recipient is one that is to be tried.
type Recipient struct {
	Seq Seq
	// Local and Fields lie in the batch's memory and die with it.
	Local, Fields []byte
	// Was is the state before this attempt: Pending, Deferred or Uncertain.
	Was State
	// Attempts is how many attempts were made before.
	Attempts uint16
}

// Peer is what a connection leads to, interned: Ledger.Peer gives the same
// pointer for equal values.
type Peer struct {
	Host   string
	Addr   netip.AddrPort
	Source string
	TLS    string // such as "TLS1.3", empty for plain

	id uint32 // guarded by the writer
}

// AnomalyLineBreaks, beside the values of smtp.Anomaly: line breaks in values for
// header fields became spaces.
const AnomalyLineBreaks uint8 = 64

// Settlement is the end of one attempt, or of a recipient without one.
type Settlement struct {
	Domain *Domain
	Seq    Seq
	// Was and Attempts are filled in by the ledger, which remembers them, for
	// Options.Durable: the state before, and the attempts before this one.
	Was      State
	Attempts uint16
	// State is the new state. For Deferred, and Uncertain to be tried again,
	// Due is when.
	State State
	Due   time.Time
	// Attempted: a try was made and counts; the fields below tell of it.
	Attempted bool
	Via       *Peer
	At        time.Time
	Took      time.Duration
	Command   uint8 // smtp.Command
	Code      uint16
	Enhanced  [3]uint16
	Text      string
	Anomaly   uint8
	// Tag is the caller's, handed to Options.Durable.
	Tag any
}

// Attempt is one try as it is remembered, or the end without one.
type Attempt struct {
	// Number counts the tries from 1; without Attempted it is how many there
	// were before.
	Number    int
	Attempted bool

	At                time.Time
	Took              time.Duration
	State             State
	Host, Source, TLS string
	Addr              netip.AddrPort
	Command           uint8
	Code              int
	Enhanced          [3]uint16
	Text              string
	Anomaly           uint8
	// Due is when the next try was planned, zero when none was.
	Due time.Time
}
