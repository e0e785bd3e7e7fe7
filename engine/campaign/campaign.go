package campaign

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/penstock-mail/penstock/engine/compose"
	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/hours"
	"github.com/penstock-mail/penstock/engine/signature"
)

// Campaign is a campaign file that was read and found right.
type Campaign struct {
	// ID is the user's: 1 to 64 letters, digits, ".", "_" and "-".
	ID string
	// Path of the campaign file as the person named it.
	Path    string
	Content compose.Content
	// Recipients are the files to read, in order.
	Recipients []File
	// AddressField is the column that holds the address.
	AddressField string
	Settings     Settings
	// Suppress is lists that apply while the campaign is loaded and are not
	// kept: those of Parse, beside Settings.Suppress.
	Suppress []File
}

// File is a recipient file as it was when the campaign file was read.
type File struct {
	// Name as the campaign file has it; "-" is standard input.
	Name string
	// Path is the name as the process can open it.
	Path string
	// Size in octets and ModTime are those of a regular file; what can be read
	// only once (standard input, a pipe) has neither.
	Size    int64
	ModTime time.Time
	Regular bool
	// SHA256 of a regular file, in hexadecimal, where it is known; empty: it is
	// made out when it is needed.
	SHA256 string
	// Open opens the file; nil: it lies at Path.
	Open func() (fs.File, error)
}

func (f *File) open() (fs.File, error) {
	if f.Open != nil {
		return f.Open()
	}
	return os.Open(f.Path)
}

// sum is the SHA-256 of a regular file, in hexadecimal.
func (f *File) sum() (string, error) {
	if f.SHA256 != "" {
		return f.SHA256, nil
	}
	return hashFile(*f)
}

// UncertainPolicy is what becomes of a recipient whose attempt may have been
// sent.
type UncertainPolicy uint8

const (
	// RetryUncertain tries again, at the risk of a second copy.
	RetryUncertain UncertainPolicy = iota
	// HoldUncertain leaves it at that: final.
	HoldUncertain
)

// Settings are what may change while a campaign runs. Zero values were not
// given, so that the configuration's apply.
type Settings struct {
	// Suppress is files of addresses and domains beside the configuration's.
	Suppress    []string        `json:"suppress,omitempty"`
	OnUncertain UncertainPolicy `json:"on_uncertain,omitempty"`
	// StartAt is when the first message may go out.
	StartAt time.Time `json:"start_at,omitzero"`
	// Windows are outside of which no message begins; none: it may always.
	Windows []hours.Window `json:"windows,omitempty"`
	// ExpireAfter is how long after its first attempt a recipient is given up.
	ExpireAfter time.Duration `json:"expire_after,omitempty"`
	// ExpireWhilePaused: that time runs on through pauses, and what is paused
	// expires, too. Otherwise paused time does not count.
	ExpireWhilePaused bool `json:"expire_while_paused,omitempty"`
	// Priority is which campaigns overtake which where several want the same:
	// 1 to 100, 10 when not given; never 0. Lower ones keep a small share.
	Priority int `json:"priority"`
	// Weight is the campaign's share among those of its priority: 1 to 1,000, 100
	// when not given; never 0.
	Weight int `json:"weight"`
	// MaxRate bounds messages begun, over all sites; the zero Rate is no limit.
	MaxRate document.Rate `json:"max_rate,omitzero"`
	// MaxInDoubt as in the configuration: 1 to 128, 0 not given.
	MaxInDoubt int   `json:"max_in_doubt,omitempty"`
	Retry      Retry `json:"retry,omitzero"`
	// OnDemand keeps a loaded campaign from being begun before somebody asks for
	// it: a process that sends whatever is unfinished leaves it alone.
	OnDemand bool `json:"on_demand,omitempty"`
	// Intake identifies what the campaign was made of, if it came over the API.
	Intake string `json:"intake,omitempty"`
	// DKIM is the campaign's own signatures; none: the configuration's.
	DKIM []signature.Setting `json:"dkim,omitempty"`
}

// Retry is the schedule of deferred recipients; zero values were not given.
type Retry struct {
	First  time.Duration `json:"first,omitempty"`
	Factor float64       `json:"factor,omitempty"`
	Max    time.Duration `json:"max,omitempty"`
}

// What a campaign has when it says nothing.
const (
	DefaultPriority = 10
	DefaultWeight   = 100
)

// Encode is the settings as they are kept in the ledger.
func (s Settings) Encode() []byte {
	encoded, err := json.Marshal(s)
	if err != nil {
		// No field can fail: rates were made finite when they were read.
		panic(fmt.Sprintf("campaign: encode settings: %v", err))
	}
	return encoded
}

// DecodeSettings reads what Encode wrote.
func DecodeSettings(encoded []byte) (Settings, error) {
	s := Settings{Priority: DefaultPriority, Weight: DefaultWeight}
	if err := json.Unmarshal(encoded, &s); err != nil {
		return s, fmt.Errorf("decode the campaign's settings: %w", err)
	}
	return s, nil
}

// finite turns an unlimited rate into the zero Rate: for a campaign "none" and
// "not given" are the same, and JSON knows no infinity.
func finite(r document.Rate) document.Rate {
	if math.IsInf(r.Count, 1) {
		return document.Rate{}
	}
	return r
}
