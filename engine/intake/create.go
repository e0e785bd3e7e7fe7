package intake

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/problem"
)

// Request is a campaign to be created.
type Request struct {
	// Definition is the campaign file.
	Definition []byte
	// Files come along.
	Files []File
	// Uploads follow.
	Uploads []Announced
	// Start: it begins when it is loaded.
	Start bool
}

// File is one that comes along, under the name that the definition has.
type File struct {
	Name    string
	Content []byte
}

// Announced is a file that will be uploaded, under the name that the definition
// has.
type Announced struct {
	Name string
	// Size in octets; -1: not known.
	Size int64
	// SHA256 in hexadecimal; empty: not known.
	SHA256 string
}

// Bounds of a request.
const (
	maxFiles   = 1000
	maxUploads = 100
	maxName    = 1000
)

var hexSum = regexp.MustCompile("^[0-9a-f]{64}$")

// Create begins a campaign, or finds it under the same id with the same content:
// then it answers with how that stands. Warnings are what is odd, but usable.
//
// A problem.List: mistakes, all of them; *Differs: the id was used for something
// else; ErrTooMany, ErrClosed, ledger.ErrLowSpace. After an error nothing of it
// is kept.
func (s *Store) Create(ctx context.Context, r *Request) (_ Status, warnings problem.List, err error) {
	r = normal(r)
	doc, problems := s.look(r)
	if err := problems.Err(); err != nil {
		return Status{}, nil, err
	}
	id := idOf(doc)
	// Of two that come at once, one waits, and is compared with the other then.
	done, err := s.reserve(ctx, id)
	if err != nil {
		return Status{}, nil, err
	}
	defer done()
	st, there, err := s.again(ctx, id, doc, r)
	if there || err != nil {
		return st, nil, err
	}
	in, warnings, err := s.make(id, r)
	if err != nil {
		return Status{}, nil, err
	}
	s.mu.Lock()
	s.intakes[id] = in
	s.mu.Unlock()
	s.poke()
	s.log.Info("campaign created", "campaign", id, "uploads", len(r.Uploads))
	return in.status(), warnings, nil
}

// normal is a request with sums in lower case.
func normal(r *Request) *Request {
	own := *r
	own.Uploads = slices.Clone(r.Uploads)
	for i := range own.Uploads {
		own.Uploads[i].SHA256 = strings.ToLower(own.Uploads[i].SHA256)
	}
	return &own
}

// look finds what is wrong with a request by itself.
func (s *Store) look(r *Request) (*document.Document, problem.List) {
	var problems problem.List
	if len(r.Definition) > document.MaxSize {
		problems.Add(definitionName, 0, 0, "", "is larger than %s", document.FormatSize(document.MaxSize))
		return nil, problems
	}
	if len(r.Files) > maxFiles || len(r.Uploads) > maxUploads {
		problems.Add("", 0, 0, "", "there are %d files and %d uploads; at most %d and %d may be", len(r.Files), len(r.Uploads), maxFiles, maxUploads)
		return nil, problems
	}
	seen := map[string]bool{}
	name := func(what, name string) {
		switch {
		case name == "" || len(name) > maxName || strings.ContainsRune(name, 0):
			problems.Add("", 0, 0, what, "has the name %.40q, but must have 1 to %d octets without a NUL", name, maxName)
		case seen[name]:
			problems.Add(name, 0, 0, what, "is given twice")
		}
		seen[name] = true
	}
	for _, f := range r.Files {
		name("files", f.Name)
	}
	for _, u := range r.Uploads {
		name("uploads", u.Name)
		if u.SHA256 != "" && !hexSum.MatchString(u.SHA256) {
			problems.Add(u.Name, 0, 0, "uploads", "sha256 must be 64 hexadecimal digits")
		}
	}
	doc := document.Parse(definitionName, r.Definition)
	return doc, append(problems, doc.Problems...)
}

// idOf is what the definition has as its id; whether it can be one is found out
// later.
func idOf(doc *document.Document) string {
	for _, v := range doc.Flat() {
		if v.Path == "id" {
			return v.Text
		}
	}
	return ""
}

// reserve waits until nobody else creates that id.
func (s *Store) reserve(ctx context.Context, id string) (done func(), err error) {
	for {
		s.mu.Lock()
		other := s.making[id]
		if other == nil {
			mine := make(chan struct{})
			s.making[id] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.making, id)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// again answers for a campaign that is there already.
func (s *Store) again(ctx context.Context, id string, doc *document.Document, r *Request) (st Status, there bool, err error) {
	if in := s.find(id); in != nil {
		in.mu.Lock()
		m, settled, loaded := in.manifest, in.settled, in.loaded
		in.mu.Unlock()
		if settled {
			// It is gone from here at any moment.
			select {
			case <-loaded:
				return s.again(ctx, id, doc, r)
			case <-ctx.Done():
				return Status{}, false, ctx.Err()
			}
		}
		what := s.differences(&m, doc, r)
		switch {
		case len(what) == 0:
			if r.Start {
				err = in.toStart()
			}
			return in.status(), true, err
		case m.State == Broken:
			// It was never a campaign: who repairs it need not drop it first.
			return Status{}, false, s.Drop(id)
		}
		return Status{}, true, &Differs{ID: id, What: what, State: m.State}
	}
	m, c, err := s.record(id)
	switch {
	case err != nil || c == nil:
		return Status{}, false, err
	case m == nil:
		// It came another way, so what it is made of is asked of itself.
		m = &manifest{ID: id, Created: c.Totals().Created}
		if err := s.compareLoaded(c, r); err != nil {
			return Status{}, true, err
		}
	default:
		if what := s.differences(m, doc, r); len(what) > 0 {
			return Status{}, true, &Differs{ID: id, What: what, State: Loaded}
		}
	}
	if t := c.Totals(); r.Start && t.Finished.IsZero() && t.Cancelled.IsZero() {
		if _, err := s.engine.Start(ctx, c); err != nil {
			return Status{}, true, err
		}
	}
	return loadedStatus(m, c), true, nil
}

// toStart notes that the campaign begins when it is loaded.
func (in *intake) toStart() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.manifest.Start || in.dropped {
		return nil
	}
	next := in.manifest
	next.Start = true
	if err := next.write(in.dir); err != nil {
		return err
	}
	in.manifest = next
	return nil
}

// make checks a new campaign and puts it on disk.
func (s *Store) make(id string, r *Request) (*intake, problem.List, error) {
	m, problems := s.check(r)
	if err := problems.Err(); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	most := maxIntakes
	if s.tuning.intakes > 0 {
		most = s.tuning.intakes
	}
	full := len(s.intakes)+len(s.making) > most
	s.mu.Unlock()
	switch {
	case s.ctx.Err() != nil:
		return nil, nil, ErrClosed
	case full:
		return nil, nil, ErrTooMany
	case s.engine.Ledger().LowSpace():
		return nil, nil, ledger.ErrLowSpace
	}
	in, err := s.write(m, r)
	if err != nil {
		return nil, nil, fmt.Errorf("create campaign %q: %w", id, err)
	}
	return in, problems, nil
}

// check finds every mistake that can be found before the uploads are there.
func (s *Store) check(r *Request) (*manifest, problem.List) {
	m := &manifest{Version: manifestVersion, Token: rand.Text(), Definition: string(r.Definition), Start: r.Start, Created: time.Now().UTC(), State: Receiving}
	src := newSources(s, r)
	for _, f := range r.Files {
		m.Files = append(m.Files, file{f.Name, int64(len(f.Content)), hash(f.Content)})
	}
	for _, u := range r.Uploads {
		m.Uploads = append(m.Uploads, upload{Name: u.Name, Size: u.Size, SHA256: u.SHA256})
	}
	if len(r.Uploads) == 0 {
		m.State = Loading
	}
	c, problems := s.parse(r.Definition, src)
	src.unnamed(r, &problems)
	var lists []campaign.File
	for _, f := range c.Suppress {
		if _, ok := src.given[f.Name]; ok {
			lists = append(lists, f)
		}
	}
	_, found := campaign.ReadSuppressionFiles(lists...)
	m.ID, m.OnServer = c.ID, src.onServer
	return m, append(problems, found...)
}

// parse reads the definition and finds all that can be found wrong with it.
func (s *Store) parse(definition []byte, src *sources) (*campaign.Campaign, problem.List) {
	c, problems := campaign.Parse(definitionName, definition, src)
	before := problems.Err()
	s.keys(c, &problems)
	for _, p := range engine.CheckMessage(s.config, c) {
		// What has no place is missing altogether, which Parse has said.
		if (p.File != "" || before == nil) && !slices.Contains(problems, p) {
			problems = append(problems, p)
		}
	}
	return c, problems
}

// write makes the folder beside its place, and moves it there when all of it is
// on disk.
func (s *Store) write(m *manifest, r *Request) (_ *intake, err error) {
	next, err := os.MkdirTemp(s.dir, beingMade)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.dir, folderOf(m.ID))
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(next))
		}
	}()
	for i, f := range r.Files {
		if err := writeFile(filePath(next, i), f.Content); err != nil {
			return nil, err
		}
	}
	for i := range m.Uploads {
		if err := writeFile(uploadPath(next, i), nil); err != nil {
			return nil, err
		}
	}
	if err := s.step("files"); err != nil {
		return nil, err
	}
	if err := m.write(next); err != nil {
		return nil, err
	}
	if err := s.step("manifest"); err != nil {
		return nil, err
	}
	if err := os.Rename(next, dir); err != nil {
		return nil, err
	}
	if err := syncDir(s.dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.step("made"); err != nil {
		return nil, err
	}
	return s.adopt(dir, m)
}

// folderOf is the folder's name for an id, also where names are compared without
// regard to case: an upper-case letter has a "=" before it, which no id has.
func folderOf(id string) string {
	var b bytes.Buffer
	for _, c := range []byte(id) {
		if 'A' <= c && c <= 'Z' {
			b.WriteByte('=')
		}
		b.WriteByte(c)
	}
	return b.String()
}
