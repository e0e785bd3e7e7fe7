package campaign

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/penstock-mail/penstock/engine/compose"
)

// snapshotVersion is the encoding's; DecodeSnapshot refuses newer ones.
const snapshotVersion = 1

// Snapshot is what is frozen when a campaign is loaded: what it says and to
// whom. It needs no file any more.
type Snapshot struct {
	Version int             `json:"version"`
	ID      string          `json:"id"`
	Content compose.Content `json:"content"`
	// Message is Content.Message.Source, which need not be UTF-8 and so cannot
	// be a JSON string; while encoded it stands here alone.
	Message      []byte       `json:"message,omitempty"`
	AddressField string       `json:"address_field"`
	Recipients   []FrozenFile `json:"recipients"`
	// Origin is where the recipients of a copy came from; nil: from files.
	Origin *Origin `json:"origin,omitempty"`
}

// FrozenFile is a recipient file as it was loaded. What can be read only once
// has a name alone.
type FrozenFile struct {
	Name    string    `json:"name"`
	Regular bool      `json:"regular,omitempty"`
	Size    int64     `json:"size,omitempty"`
	ModTime time.Time `json:"mod_time,omitzero"`
	SHA256  string    `json:"sha256,omitempty"`
}

// Freeze makes the snapshot of a campaign. It reads the recipient files once,
// for their hashes; a file that changed since the campaign file was read is an
// error.
func Freeze(c *Campaign) (*Snapshot, error) {
	s := &Snapshot{Version: snapshotVersion, ID: c.ID, Content: c.Content, AddressField: c.AddressField}
	for _, f := range c.Recipients {
		frozen := FrozenFile{Name: f.Name}
		if f.Regular {
			sum, err := f.sum()
			if err != nil {
				return nil, err
			}
			frozen.Regular, frozen.Size, frozen.ModTime, frozen.SHA256 = true, f.Size, f.ModTime, sum
		}
		s.Recipients = append(s.Recipients, frozen)
	}
	return s, nil
}

// hashFile is the SHA-256 of a regular file, in hexadecimal.
func hashFile(f File) (string, error) {
	in := input{file: f}
	defer in.close()
	var err error
	if in.source, err = f.open(); err != nil {
		return "", fmt.Errorf("hash the recipients: %w", err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, in.source); err != nil {
		return "", fmt.Errorf("hash %s: %w", f.Name, err)
	}
	if err := in.changed(); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Encode is the snapshot as it is kept in the ledger.
func (s *Snapshot) Encode() ([]byte, error) {
	out := *s
	out.Message, out.Content.Message.Source = []byte(s.Content.Message.Source), ""
	encoded, err := json.Marshal(&out)
	if err != nil {
		return nil, fmt.Errorf("encode the campaign's snapshot: %w", err)
	}
	return encoded, nil
}

// DecodeSnapshot reads what Encode wrote.
func DecodeSnapshot(encoded []byte) (*Snapshot, error) {
	s := new(Snapshot)
	if err := json.Unmarshal(encoded, s); err != nil {
		return nil, fmt.Errorf("decode the campaign's snapshot: %w", err)
	}
	if s.Version > snapshotVersion {
		return nil, fmt.Errorf("the campaign's snapshot has version %d, this program knows up to %d", s.Version, snapshotVersion)
	}
	s.Content.Message.Source, s.Message = string(s.Message), nil
	return s, nil
}

// Hash identifies what is frozen: equal snapshots have equal hashes, wherever
// their files lay and whenever these were written.
func (s *Snapshot) Hash() [sha256.Size]byte {
	plain := Snapshot{Version: s.Version, ID: s.ID, Content: withoutPlaces(s.Content), AddressField: s.AddressField, Origin: s.Origin}
	for _, f := range s.Recipients {
		plain.Recipients = append(plain.Recipients, FrozenFile{Regular: f.Regular, Size: f.Size, SHA256: f.SHA256})
	}
	encoded, err := plain.Encode()
	if err != nil {
		panic(fmt.Sprintf("campaign: hash a snapshot: %v", err)) // no field can fail
	}
	return sha256.Sum256(encoded)
}

// withoutPlaces drops where things stood: a line added above the subject
// changes nothing.
func withoutPlaces(c compose.Content) compose.Content {
	for _, t := range []*compose.Text{
		&c.From, &c.ReplyTo, &c.EnvelopeFrom, &c.Subject, &c.HTML, &c.Text, &c.Message, &c.UnsubscribeURL, &c.UnsubscribeMailto,
	} {
		*t = compose.Text{Source: t.Source}
	}
	c.Inline, c.Attachments, c.Headers = slices.Clone(c.Inline), slices.Clone(c.Attachments), slices.Clone(c.Headers)
	for _, parts := range [][]compose.Part{c.Inline, c.Attachments} {
		for i := range parts {
			// The media type may differ from one system to the next.
			parts[i].File, parts[i].ContentType = "", ""
		}
	}
	for i := range c.Headers {
		c.Headers[i].Value = compose.Text{Source: c.Headers[i].Value.Source}
	}
	return c
}
