package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options of a ledger. The zero value is sound.
type Options struct {
	// SyncEvery is the longest an outcome waits for its commit, and twice the
	// shortest time between two commits; 0 takes 2 ms.
	SyncEvery time.Duration
	// CacheBytes is the memory for blocks read back; 0 takes 32 MiB.
	CacheBytes int64
	// MinFree is the free space in bytes below which LowSpace is called, no
	// lease is given and no campaign loaded; 0: not watched.
	MinFree uint64
	// Now is the clock for times that the ledger records itself; nil takes
	// time.Now.
	Now func() time.Time
	// Durable is called after each commit with the settlements in it, in the
	// order they were handed in, on the writer's goroutine: it must not block.
	// The slice is reused.
	Durable func(group []Settlement)
	// Committed is called after each commit with how long it took, its
	// fdatasync included, on the writer's goroutine: it must not block.
	Committed func(took time.Duration)
	// LowSpace is called when free space falls below MinFree, and with false
	// once there is room again. It must not block.
	LowSpace func(low bool)
	// Fatal is called once, on a goroutine of its own, when a write failed.
	// Nothing is accepted after that, everything acknowledged is on disk, and
	// the process should end.
	Fatal func(error)

	// For tests.
	fs   vfs.FS
	hash func(local, domain []byte) uint64
	// chunkBytes bounds what a load keeps in memory before it spills.
	chunkBytes int
	// smallLoad is up to how many rows a load is one batch without tables.
	smallLoad int
}

const (
	defaultSyncEvery = 2 * time.Millisecond
	defaultCache     = 32 << 20
	stateFolder      = "state"
	loadFolder       = "load-"
)

func (o *Options) fill() {
	if o.SyncEvery <= 0 {
		o.SyncEvery = defaultSyncEvery
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = defaultCache
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.fs == nil {
		o.fs = vfs.Default
	}
	if o.hash == nil {
		o.hash = hashAddress
	}
	if o.chunkBytes <= 0 {
		o.chunkBytes = 32 << 20
	}
	if o.smallLoad <= 0 {
		o.smallLoad = 2000
	}
}

func hashAddress(local, domain []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	d.Write(local)
	d.Write([]byte{'@'})
	d.Write(domain)
	return d.Sum64()
}

// Ledger is an open data directory. Its methods may be called from any
// goroutine.
type Ledger struct {
	dir    string
	opt    Options
	fs     vfs.FS
	db     *pebble.DB
	lock   *pebble.Lock
	secret []byte
	writer *writer
	shapes *shapes
	peers  peers
	space  *spaceWatch
	tip    eventTip
	// revision is EventRevision.
	revision atomic.Uint64
	// trimming is held while the event log is trimmed.
	trimming sync.Mutex

	mu sync.Mutex
	// campaigns are the handles given out, by name. Guarded by mu.
	campaigns map[string]*Campaign
	// loading are the names of loads under way. Guarded by mu.
	loading map[string]bool
	// users counts calls that read the store; closed: no more come in.
	// Guarded by mu.
	users  int
	closed bool
	idle   sync.Cond
}

// Open opens the data directory, and makes it if there is none. It finishes
// what a crash interrupted: half-made loads are removed. Errors to branch on:
// ErrHeld, ErrNewerFormat.
func Open(dir string, opt Options) (*Ledger, error) {
	opt.fill()
	l := &Ledger{
		dir: dir, opt: opt, fs: opt.fs,
		campaigns: make(map[string]*Campaign),
		loading:   make(map[string]bool),
	}
	l.idle.L = &l.mu
	state := opt.fs.PathJoin(dir, stateFolder)
	if err := makeFolder(opt.fs, state); err != nil {
		return nil, fmt.Errorf("make data directory %s: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(state, opt.fs)
	if err != nil {
		// Pebble has no sentinel for a lock held inside the same process.
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) && !errors.Is(err, fs.ErrPermission) ||
			strings.Contains(err.Error(), "held by current process") {
			return nil, fmt.Errorf("open %s: %w", dir, ErrHeld)
		}
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	l.lock = lock
	l.writer = newWriter(l)
	if err := l.guard(func() error { return l.open(state) }); err != nil {
		err = fmt.Errorf("open %s: %w", dir, err)
		if l.writer.failure() != nil {
			// Pebble is stuck with its files open: so the lock stays.
			return nil, err
		}
		if l.db != nil {
			if cerr := l.guard(l.db.Close); cerr != nil {
				return nil, errors.Join(err, cerr)
			}
		}
		return nil, errors.Join(err, lock.Close())
	}
	l.writer.start(opt.Fatal)
	go l.space.run()
	return l, nil
}

// makeFolder makes a folder and what is missing above it, so that it outlasts
// a loss of power: the parent of each is synced.
func makeFolder(files vfs.FS, path string) error {
	if _, err := files.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := files.PathDir(path)
	if parent != path {
		if err := makeFolder(files, parent); err != nil {
			return err
		}
	}
	if err := files.MkdirAll(path, 0o700); err != nil {
		return err
	}
	if parent == "" {
		parent = "."
	}
	d, err := files.OpenDir(parent)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (l *Ledger) open(state string) error {
	db, err := pebble.Open(state, l.pebbleOptions())
	if err != nil {
		// A directory of a newer Pebble has a format that this one cannot know.
		if strings.Contains(err.Error(), "unknown format version") || strings.Contains(err.Error(), "format major version") {
			return fmt.Errorf("%w (%w)", ErrNewerFormat, err)
		}
		return err
	}
	l.db = db
	if err := l.checkFormat(); err != nil {
		return err
	}
	if l.shapes, err = loadShapes(db); err != nil {
		return err
	}
	if err := l.writer.recover(); err != nil {
		return err
	}
	if err := l.dropUnfinished(); err != nil {
		return err
	}
	l.space = newSpaceWatch(l)
	return nil
}

// enter counts a call in that uses the store, so that Close waits for it.
func (l *Ledger) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if err := l.writer.failure(); err != nil {
		return err
	}
	l.users++
	return nil
}

func (l *Ledger) leave() {
	l.mu.Lock()
	l.users--
	if l.users == 0 {
		l.idle.Broadcast()
	}
	l.mu.Unlock()
}

// Close commits what was handed in and closes the data directory. Loads that
// were not committed are removed at the next Open.
func (l *Ledger) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	l.mu.Unlock()
	l.space.stop()
	if err := l.writer.stop(); err != nil {
		// Pebble is in an unknown state and may hold its locks for good: the
		// directory is left to the next process.
		return err
	}
	l.mu.Lock()
	for l.users > 0 {
		l.idle.Wait()
	}
	for _, c := range l.campaigns {
		c.readers.closeIdle(time.Time{})
	}
	l.mu.Unlock()
	if err := l.guard(l.db.Close); err != nil {
		return fmt.Errorf("close data directory %s: %w", l.dir, err)
	}
	return l.lock.Close()
}

// Dir is the data directory that was opened.
func (l *Ledger) Dir() string { return l.dir }

// Failure says why nothing can be recorded any more: ErrClosed, or what went
// wrong; nil while all is well.
func (l *Ledger) Failure() error {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return ErrClosed
	}
	return l.writer.failure()
}

// Flush waits until everything handed in before is on disk.
func (l *Ledger) Flush(ctx context.Context) error {
	return l.writer.do(ctx, nil)
}

// Backup writes a consistent copy to dir, which must not exist yet. Sending
// goes on meanwhile.
func (l *Ledger) Backup(dir string) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	if _, err := l.fs.Stat(l.fs.PathJoin(dir, stateFolder)); err == nil {
		return fmt.Errorf("back up to %s: %w", dir, fs.ErrExist)
	}
	if err := makeFolder(l.fs, dir); err != nil {
		return fmt.Errorf("back up to %s: %w", dir, err)
	}
	if err := l.guard(func() error {
		return l.db.Checkpoint(l.fs.PathJoin(dir, stateFolder), pebble.WithFlushedWAL())
	}); err != nil {
		return fmt.Errorf("back up to %s: %w", dir, err)
	}
	return nil
}

// dropUnfinished removes what loads left behind that a crash interrupted.
func (l *Ledger) dropUnfinished() error {
	var unfinished []*campaignRecord
	if err := eachCampaign(l.db, func(r *campaignRecord) error {
		if !r.Loaded {
			unfinished = append(unfinished, r)
		}
		return nil
	}); err != nil {
		return err
	}
	b := l.db.NewBatch()
	defer b.Close()
	for _, r := range unfinished {
		if err := dropCampaign(b, r); err != nil {
			return err
		}
	}
	if !b.Empty() {
		if err := b.Commit(pebble.Sync); err != nil {
			return fmt.Errorf("drop an interrupted load: %w", err)
		}
	}
	names, err := l.fs.List(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(filepath.Base(name), loadFolder) {
			if err := l.fs.RemoveAll(l.fs.PathJoin(l.dir, name)); err != nil {
				return fmt.Errorf("remove an interrupted load: %w", err)
			}
		}
	}
	return nil
}

// guard runs what may end in Pebble's way of giving up, and so never return.
func (l *Ledger) guard(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				l.writer.fail(fmt.Errorf("%v", p))
			}
		}()
		done <- fn()
	}()
	select {
	case err := <-done:
		return err
	case <-l.writer.failing:
		return l.writer.failure()
	}
}
