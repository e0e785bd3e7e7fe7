package intake

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// Differs is the error that an id was used for another campaign.
type Differs struct {
	ID string
	// What differs, a phrase for each field and file.
	What []string
	// State is how the one that is there stands.
	State State
}

func (e *Differs) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "campaign %q was created with other content:\n", e.ID)
	for _, what := range e.What {
		b.WriteString("  - " + what + "\n")
	}
	b.WriteString("Give the new one another id")
	if e.State != Loaded {
		b.WriteString(", or drop the one that is there: it is " + string(e.State))
	}
	b.WriteByte('.')
	return b.String()
}

// differences holds a request against what was created before.
func (s *Store) differences(m *manifest, doc *document.Document, r *Request) (what []string) {
	if m.Definition != string(r.Definition) {
		what = fieldChanges(document.Parse(definitionName, []byte(m.Definition)).Flat(), doc.Flat())
	}
	files := func(name string) *file {
		return find(m.Files, func(f *file) bool { return f.Name == name })
	}
	for i := range r.Files {
		switch was := files(r.Files[i].Name); {
		case was == nil:
			what = append(what, "file "+r.Files[i].Name+" is new")
		case was.SHA256 != hash(r.Files[i].Content):
			what = append(what, "file "+was.Name+" changed")
		}
	}
	for _, was := range m.Files {
		if find(r.Files, func(f *File) bool { return f.Name == was.Name }) == nil {
			what = append(what, "file "+was.Name+" is gone")
		}
	}
	for _, is := range r.Uploads {
		switch was := find(m.Uploads, func(u *upload) bool { return u.Name == is.Name }); {
		case was == nil:
			what = append(what, "upload "+is.Name+" is new")
		case was.Size >= 0 && is.Size >= 0 && was.Size != is.Size:
			what = append(what, fmt.Sprintf("upload %s changed: it had %d octets, now %d", is.Name, was.Size, is.Size))
		case was.SHA256 != "" && is.SHA256 != "" && was.SHA256 != is.SHA256:
			what = append(what, "upload "+is.Name+" changed")
		}
	}
	for _, was := range m.Uploads {
		if find(r.Uploads, func(u *Announced) bool { return u.Name == was.Name }) == nil {
			what = append(what, "upload "+was.Name+" is gone")
		}
	}
	for _, was := range m.OnServer {
		if change := s.serverChange(was); change != "" {
			what = append(what, change)
		}
	}
	return what
}

// serverChange says how a file on the server is another than it was; one that is
// gone has not changed.
func (s *Store) serverChange(was onServer) string {
	info, err := s.folder.Stat(was.Name)
	if err != nil || info.Size() == was.Size && info.ModTime().Equal(was.ModTime) {
		return ""
	}
	return fmt.Sprintf("file %s on the server changed: it had %s of %s, now %s of %s", was.Name,
		document.FormatSize(was.Size), was.ModTime.Format(time.DateTime), document.FormatSize(info.Size()), info.ModTime().UTC().Format(time.DateTime))
}

func find[T any](list []T, is func(*T) bool) *T {
	for i := range list {
		if is(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// fieldChanges holds two definitions against each other; layout and comments
// are nothing.
func fieldChanges(was, is []document.Value) (what []string) {
	text := func(values []document.Value) map[string]string {
		m := make(map[string]string, len(values))
		for _, v := range values {
			m[v.Path] = v.Text
		}
		return m
	}
	before, after := text(was), text(is)
	for _, v := range was {
		now, ok := after[v.Path]
		const most = 80
		switch {
		case !ok:
			what = append(what, v.Path+" is gone")
		case now == v.Text:
		case len(now) > most || len(v.Text) > most || strings.Contains(now+v.Text, "\n"):
			what = append(what, v.Path+" changed")
		default:
			what = append(what, fmt.Sprintf("%s was %q, is %q", v.Path, v.Text, now))
		}
	}
	for _, v := range is {
		if _, ok := before[v.Path]; !ok {
			what = append(what, v.Path+" is new")
		}
	}
	slices.Sort(what)
	return slices.Compact(what)
}

// compareLoaded holds a request against a campaign that came from files on the
// server's machine: all that is frozen, but settings may differ. An upload counts
// as the same file if its announced size and SHA-256 do not say otherwise.
func (s *Store) compareLoaded(c *ledger.Campaign, r *Request) error {
	snapshot, err := snapshotOf(c)
	if err != nil {
		return err
	}
	src := newSources(s, r)
	is, problems := campaign.Parse(definitionName, r.Definition, src)
	src.unnamed(r, &problems)
	if err := problems.Err(); err != nil {
		return err
	}
	for i := range is.Recipients {
		f := &is.Recipients[i]
		u := find(r.Uploads, func(u *Announced) bool { return u.Name == f.Name })
		if u == nil || i >= len(snapshot.Recipients) {
			continue
		}
		was := snapshot.Recipients[i]
		f.Name, f.Regular, f.Size, f.ModTime, f.SHA256 = was.Name, was.Regular, was.Size, was.ModTime, was.SHA256
		if was.Regular && (u.Size >= 0 && u.Size != was.Size || u.SHA256 != "" && u.SHA256 != was.SHA256) {
			f.Size, f.SHA256, f.ModTime = max(u.Size, 0), u.SHA256, time.Now()
		}
	}
	return asDiffers(snapshot.Compare(is))
}

func snapshotOf(c *ledger.Campaign) (*campaign.Snapshot, error) {
	meta, err := c.Meta()
	if err != nil {
		return nil, err
	}
	return campaign.DecodeSnapshot(meta.Snapshot)
}

// asDiffers is the campaign's own word for a change in this package's.
func asDiffers(err error) error {
	if changed, ok := errors.AsType[*campaign.Changed](err); ok {
		return &Differs{ID: changed.ID, What: changed.What, State: Loaded}
	}
	return err
}
