package intake

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/penstock-mail/penstock/engine/ledger"
)

// Upload is one file of an intake that comes in chunks. Any goroutine may write
// and sync; what several write to one file is taken in turns, and must agree.
type Upload struct {
	intake *intake
	name   string
	index  int // in manifest.Uploads
	path   string
	// announced is the size in octets; -1: not known.
	announced int64

	mu sync.Mutex
	// written is the octets in the file, and ended that these are all. Guarded by
	// mu.
	written int64
	ended   bool
	// failed is why nothing more can be taken: what a failed sync has left on disk
	// is not known. Guarded by mu.
	failed error

	// syncing is held while the file is being synced: who waits for it finds that
	// it covered him.
	syncing sync.Mutex
	stored  atomic.Int64 // octets on disk
}

// MaxChunk is the most octets that are taken at once.
const MaxChunk = 1 << 20

// Errors of Write that callers branch on.
var (
	// ErrEnded: the file is whole, or said to be.
	ErrEnded = errors.New("the file has ended")
	// ErrOther: the chunk repeats octets that are there, with others.
	ErrOther = errors.New("the chunk differs from what is there already: the file changed, so drop the campaign and create it again")
	// ErrLarge: the chunk has more than MaxChunk octets.
	ErrLarge = fmt.Errorf("the chunk is larger than %d octets", MaxChunk)
)

// Offset is the error that a chunk does not follow what is there, or goes beyond
// the size that was announced.
type Offset struct {
	ID, File string
	// Wanted is where the file goes on.
	Wanted int64
	// Announced is the size; -1: not known.
	Announced int64
}

func (e *Offset) Error() string {
	if e.Announced >= 0 {
		return fmt.Sprintf("%s: the chunk does not fit: %d octets are there, and it was announced with %d; go on at %d", e.File, e.Wanted, e.Announced, e.Wanted)
	}
	return fmt.Sprintf("%s: the chunk begins behind what is there; go on at %d", e.File, e.Wanted)
}

// Upload finds a file that is to be uploaded. ErrNone: nothing is being received
// for the campaign, or not under that name.
func (s *Store) Upload(id, name string) (*Upload, error) {
	in := s.find(id)
	if in == nil {
		if m, _, err := s.record(id); err == nil && m != nil {
			return nil, fmt.Errorf("campaign %q: %w", id, ErrLoaded)
		}
		return nil, fmt.Errorf("campaign %q: %w", id, ErrNone)
	}
	for _, u := range in.uploads {
		if u.name == name {
			return u, nil
		}
	}
	return nil, fmt.Errorf("campaign %q has no upload %q: %w", id, name, ErrNone)
}

// status is called with the intake's mu held.
func (u *Upload) status() Stored {
	st := Stored{Name: u.name, Octets: u.stored.Load(), Size: u.announced}
	m := &u.intake.manifest.Uploads[u.index]
	if st.Complete = m.Complete; st.Complete {
		st.Size = m.Size
	}
	return st
}

// Write takes a chunk that begins at offset; it is on disk after the next Sync.
// last: the file ends with it. What is there already may come again. *Offset,
// ErrEnded, ErrOther, ErrLarge, ledger.ErrLowSpace: the file is as it was before.
func (u *Upload) Write(offset int64, data []byte, last bool) error {
	if len(data) > MaxChunk {
		return ErrLarge
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.failed != nil {
		return u.failed
	}
	end := offset + int64(len(data))
	there := min(max(u.written-offset, 0), int64(len(data))) // of data
	switch {
	case offset < 0 || offset > u.written:
		return &Offset{u.intake.id, u.name, u.written, -1}
	case u.ended && end > u.written, last && end < u.written:
		return fmt.Errorf("%s: %w after %d octets", u.name, ErrEnded, u.written)
	case u.announced >= 0 && (end > u.announced || last && end < u.announced):
		return &Offset{u.intake.id, u.name, u.written, u.announced}
	}
	if u.gone() {
		return fmt.Errorf("campaign %q: %w", u.intake.id, ErrNone)
	}
	if there > 0 {
		if err := u.agrees(offset, data[:there]); err != nil {
			return err
		}
	}
	if data = data[there:]; len(data) > 0 {
		if err := u.add(data); err != nil {
			return fmt.Errorf("%s: %w", u.name, err)
		}
	}
	u.ended = u.ended || last
	return nil
}

func (u *Upload) gone() bool {
	u.intake.mu.Lock()
	defer u.intake.mu.Unlock()
	return u.intake.dropped || u.intake.store.ctx.Err() != nil
}

// agrees compares what is there with a chunk that repeats it.
func (u *Upload) agrees(offset int64, data []byte) error {
	f, err := os.Open(u.path)
	if err != nil {
		return err
	}
	defer f.Close()
	was := make([]byte, len(data))
	if _, err := f.ReadAt(was, offset); err != nil {
		return err
	}
	if !bytes.Equal(was, data) {
		return fmt.Errorf("%s: %w", u.name, ErrOther)
	}
	return nil
}

// add writes at the file's end. A write that fails is undone, or the upload takes
// nothing more until it is looked at anew by the next process.
func (u *Upload) add(data []byte) error {
	if u.intake.store.engine.Ledger().LowSpace() {
		return ledger.ErrLowSpace
	}
	f, err := os.OpenFile(u.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, u.written); err != nil {
		if undo := f.Truncate(u.written); undo != nil {
			u.failed = errors.Join(err, undo)
		}
	} else {
		u.written += int64(len(data))
	}
	return errors.Join(err, f.Close())
}

// Unsynced is how many octets wait for the next Sync.
func (u *Upload) Unsynced() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.written - u.stored.Load()
}

// Sync returns when all that was written before is on disk, and says what is
// there. With the last chunk of the last upload the campaign is loading.
func (u *Upload) Sync() (Stored, State, error) {
	if err := u.sync(); err != nil {
		return Stored{}, "", fmt.Errorf("%s: %w", u.name, err)
	}
	u.intake.mu.Lock()
	defer u.intake.mu.Unlock()
	return u.status(), u.intake.manifest.State, nil
}

func (u *Upload) sync() error {
	u.syncing.Lock()
	defer u.syncing.Unlock()
	u.mu.Lock()
	written, ended, err := u.written, u.ended, u.failed
	u.mu.Unlock()
	if err != nil {
		return err
	}
	if written > u.stored.Load() {
		if err := syncFile(u.path); err != nil {
			if u.gone() {
				return ErrNone
			}
			// The kernel has forgotten which octets it could not write.
			u.mu.Lock()
			u.failed = err
			u.mu.Unlock()
			return err
		}
		u.stored.Store(written)
	}
	if ended {
		return u.intake.completed(u, written)
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// completed notes that an upload is whole. When it is the last, loading begins.
func (in *intake) completed(u *Upload, size int64) error {
	if err := in.store.step("ended"); err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.dropped {
		return ErrNone
	}
	if in.manifest.Uploads[u.index].Complete {
		return nil
	}
	next := in.manifest
	next.Uploads = append([]upload(nil), next.Uploads...)
	next.Uploads[u.index].Complete, next.Uploads[u.index].Size = true, size
	next.State = Loading
	for i := range next.Uploads {
		if !next.Uploads[i].Complete {
			next.State = Receiving
		}
	}
	if err := next.write(in.dir); err != nil {
		return err
	}
	in.manifest = next
	if next.State == Loading {
		in.store.poke()
	}
	return in.store.step("completed")
}
