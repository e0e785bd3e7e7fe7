package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/folder"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/problem"
)

// Store is the campaigns that are on their way in.
type Store struct {
	engine *engine.Engine
	config *config.Config
	log    *slog.Logger
	dir    string
	// folder holds what clients may name; empty: nothing.
	folder folder.Folder

	ctx   context.Context
	stop  context.CancelFunc
	tasks sync.WaitGroup
	// wake has an element when an intake may have become loading.
	wake chan struct{}

	mu sync.Mutex
	// intakes by id. Guarded by mu.
	intakes map[string]*intake
	// making is the ids that are being created; each is closed when it has been.
	// Guarded by mu.
	making map[string]chan struct{}

	tuning tuning
}

// tuning is what tests change; a zero value is the usual one.
type tuning struct {
	// again stands for loadAgain.
	again time.Duration
	// step is called between the steps of a change, which then may fail.
	step func(name string) error
	// intakes stands for maxIntakes.
	intakes int
}

const (
	storeName = "intake"
	// beingMade begins the names of folders that are not in their place yet; no
	// id does.
	beingMade = ".new-"
	// maxIntakes is the most there may be at once; what is loaded does not count.
	maxIntakes = 1000
	// learned is the ledger's kind of the records of what was loaded.
	learned = "intake"
)

// Errors that callers branch on.
var (
	// ErrNone: nothing is being received under that id.
	ErrNone = errors.New("nothing is being received for this campaign")
	// ErrLoaded: it is a campaign already.
	ErrLoaded = errors.New("it is loaded: cancel or delete the campaign")
	// ErrTooMany: there is no room for another intake.
	ErrTooMany = errors.New("too many campaigns are being received or broken: finish or drop some")
	// ErrClosed: the process ends.
	ErrClosed = errors.New("the process is being stopped")
)

// intake is one campaign on its way in.
type intake struct {
	store *Store
	id    string
	dir   string

	mu sync.Mutex
	// manifest is as it is on disk, but for what was found out while loading. Its
	// slices are replaced, never changed. Guarded by mu.
	manifest manifest
	// dropped: its folder is being removed. Guarded by mu.
	dropped bool
	// settled: it is a campaign, and no Create says start to it here any more.
	// Guarded by mu.
	settled bool
	// waits is why loading is not tried before again. Guarded by mu.
	waits string
	again time.Time
	// rows and rejected are how far the load has come. Guarded by mu.
	rows, rejected uint64
	// cancel ends the load under way, and loaded is closed then; nil: none is.
	// Guarded by mu.
	cancel context.CancelFunc
	loaded chan struct{}

	uploads []*Upload // as in manifest.Uploads; the slice never changes
}

// Open takes up what an earlier process left, and goes on with it: loads begin
// at once. Close must follow, before the engine drains.
func Open(e *engine.Engine, c *config.Config, log *slog.Logger) (*Store, error) {
	return openTuned(e, c, log, tuning{})
}

func openTuned(e *engine.Engine, c *config.Config, log *slog.Logger, t tuning) (*Store, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{
		engine: e, config: c, log: log, dir: filepath.Join(c.Data, storeName), ctx: ctx, stop: stop, tuning: t,
		wake: make(chan struct{}, 1), intakes: make(map[string]*intake), making: make(map[string]chan struct{}),
	}
	if err := s.open(); err != nil {
		stop()
		return nil, fmt.Errorf("open the intake: %w", err)
	}
	s.tasks.Go(s.run)
	return s, nil
}

func (s *Store) open() error {
	if s.config.Intake.Folder != "" {
		path, err := filepath.Abs(s.config.Intake.Folder)
		if err != nil {
			return err
		}
		s.folder = folder.Folder(path)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(s.dir, e.Name())
		m, err := readManifest(dir)
		if gone(err) || strings.HasPrefix(e.Name(), beingMade) {
			// It was being made, or removed, when the process died.
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		in, err := s.adopt(dir, m)
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		s.intakes[m.ID] = in
	}
	return nil
}

// adopt is an intake whose folder is there.
func (s *Store) adopt(dir string, m *manifest) (*intake, error) {
	in := &intake{store: s, id: m.ID, dir: dir, manifest: *m}
	for i := range m.Uploads {
		of := &m.Uploads[i]
		u := &Upload{intake: in, name: of.Name, index: i, path: uploadPath(dir, i), announced: of.Size, ended: of.Complete}
		info, err := os.Stat(u.path)
		if err != nil {
			return nil, err
		}
		u.written = info.Size()
		u.stored.Store(info.Size())
		in.uploads = append(in.uploads, u)
	}
	return in, nil
}

// Close ends loads that are under way, which begin anew at the next Open, and
// waits for them.
func (s *Store) Close() {
	s.stop()
	s.tasks.Wait()
}

// step lets tests fail, or die, between two steps.
func (s *Store) step(name string) error {
	if s.tuning.step != nil {
		return s.tuning.step(name)
	}
	return nil
}

func (s *Store) find(id string) *intake {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.intakes[id]
}

// Status is what is there of a campaign.
type Status struct {
	ID    string
	State State
	Files []Stored
	// Problems are why it is broken, or why loading waits.
	Problems problem.List
	// Start: it begins when it is loaded.
	Start   bool
	Created time.Time
	// Rows and Rejected are how far the load has come, or came.
	Rows, Rejected uint64
}

// Stored is what is there of one upload.
type Stored struct {
	Name string
	// Octets that are on disk.
	Octets   int64
	Complete bool
	// Size in octets as announced, or as it is; -1: not known yet.
	Size int64
}

func (in *intake) status() Status {
	in.mu.Lock()
	defer in.mu.Unlock()
	m := &in.manifest
	st := Status{
		ID: m.ID, State: m.State, Start: m.Start, Created: m.Created,
		Problems: slices.Clone(m.Problems), Rows: in.rows, Rejected: in.rejected,
	}
	if in.waits != "" {
		st.Problems.Warn("", 0, 0, "", "%s", in.waits)
	}
	for _, u := range in.uploads {
		st.Files = append(st.Files, u.status())
	}
	return st
}

// Get is how a campaign stands that was created here, also once it is loaded.
// ErrNone: there is none.
func (s *Store) Get(id string) (Status, error) {
	if in := s.find(id); in != nil {
		return in.status(), nil
	}
	m, c, err := s.record(id)
	switch {
	case err != nil:
		return Status{}, err
	case m == nil:
		return Status{}, fmt.Errorf("%q: %w", id, ErrNone)
	}
	return loadedStatus(m, c), nil
}

func loadedStatus(m *manifest, c *ledger.Campaign) Status {
	t := c.Totals()
	st := Status{ID: m.ID, State: Loaded, Start: m.Start, Created: m.Created, Rows: t.Rows, Rejected: t.Rejected}
	for _, u := range m.Uploads {
		st.Files = append(st.Files, Stored{Name: u.Name, Octets: u.Size, Complete: true, Size: u.Size})
	}
	return st
}

// record is what is remembered of a campaign that was created here and is in the
// ledger now; nil: there is none.
func (s *Store) record(id string) (*manifest, *ledger.Campaign, error) {
	c, err := s.engine.Ledger().Campaign(id)
	if errors.Is(err, ledger.ErrNoCampaign) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	text, err := s.engine.Ledger().Learned(learned, id)
	if err != nil || text == nil {
		return nil, c, err
	}
	m, err := decodeManifest(text)
	if err != nil {
		return nil, c, err
	}
	if m.Number != c.Number() {
		return nil, c, nil // of one that was deleted; this one came another way
	}
	return m, c, nil
}

// List is what is on its way in, oldest first.
func (s *Store) List() []Status {
	s.mu.Lock()
	all := make([]*intake, 0, len(s.intakes))
	for _, in := range s.intakes {
		all = append(all, in)
	}
	s.mu.Unlock()
	list := make([]Status, len(all))
	for i, in := range all {
		list[i] = in.status()
	}
	slices.SortFunc(list, func(a, b Status) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

// Drop removes what is on its way in. ErrNone: nothing is; ErrLoaded: it is a
// campaign already, or became one at this moment. A load that is under way is
// ended and waited for.
func (s *Store) Drop(id string) error {
	in := s.find(id)
	if in == nil {
		if m, _, err := s.record(id); err != nil || m == nil {
			return errors.Join(err, fmt.Errorf("%q: %w", id, ErrNone))
		}
		return fmt.Errorf("%q: %w", id, ErrLoaded)
	}
	in.mu.Lock()
	if in.dropped {
		in.mu.Unlock()
		return fmt.Errorf("%q: %w", id, ErrNone)
	}
	in.dropped = true
	cancel, loaded := in.cancel, in.loaded
	in.mu.Unlock()
	if cancel != nil {
		cancel()
		<-loaded
	}
	if err := s.discard(in); err != nil {
		in.mu.Lock()
		in.dropped = false
		in.mu.Unlock()
		s.poke()
		return fmt.Errorf("drop campaign %q: %w", id, err)
	}
	s.log.Info("campaign dropped before it was loaded", "campaign", id)
	return nil
}

// discard removes an intake that no load works on, unless it has become a
// campaign.
func (s *Store) discard(in *intake) error {
	if s.find(in.id) != in {
		return ErrLoaded
	}
	c, err := s.engine.Ledger().Campaign(in.id)
	if err == nil {
		var own bool
		if own, err = in.made(c); own {
			return ErrLoaded
		}
	}
	if err != nil && !errors.Is(err, ledger.ErrNoCampaign) {
		return err
	}
	return s.remove(in)
}

// remove takes a folder away: its manifest first, without which the rest is
// nothing. The id is free when it returns.
func (s *Store) remove(in *intake) error {
	err := os.Remove(filepath.Join(in.dir, manifestName))
	if err != nil && !gone(err) {
		return err
	}
	if err := s.step("removed"); err != nil {
		return err
	}
	if err := errors.Join(syncDir(in.dir), os.RemoveAll(in.dir)); err != nil {
		return err
	}
	s.mu.Lock()
	if s.intakes[in.id] == in {
		delete(s.intakes, in.id)
	}
	s.mu.Unlock()
	return nil
}

// poke has the loader look for work.
func (s *Store) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
