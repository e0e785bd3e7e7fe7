package ledger

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// table is what a load writes to. Keys of one keyspace come in order.
type table interface {
	set(key, value []byte) error
	close()
}

// small is a load of few rows: one batch, which is committed with the
// campaign's record.
type small struct{ batch *pebble.Batch }

func (s *small) set(key, value []byte) error { return s.batch.Set(key, value, nil) }
func (s *small) close()                      { s.batch.Close() }

// tables are sorted tables, some for each keyspace, in the form of Pebble's
// lowest level, to be taken in as they are.
type tables struct {
	ledger  *Ledger
	dir     string
	options sstable.WriterOptions
	open    map[byte]*openTable
	paths   []string
}

type openTable struct {
	*sstable.Writer
	bytes int
}

// tableBytes is how much goes into one table, before compression. Later
// compactions of a place in it rewrite the whole table.
const tableBytes = 64 << 20

func newTables(l *Ledger, dir string) *tables {
	o := l.pebbleOptions()
	return &tables{
		ledger: l, dir: dir,
		options: o.MakeWriterOptions(len(o.Levels)-1, l.db.TableFormat()),
		open:    make(map[byte]*openTable),
	}
}

func (t *tables) set(key, value []byte) error {
	w := t.open[key[0]]
	if w == nil {
		name := t.ledger.fs.PathJoin(t.dir, fmt.Sprintf("table-%d.sst", len(t.paths)))
		f, err := t.ledger.fs.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		t.paths = append(t.paths, name)
		w = &openTable{Writer: sstable.NewWriter(objstorageprovider.NewFileWritable(f), t.options)}
		t.open[key[0]] = w
	}
	if err := w.Set(key, value); err != nil {
		return err
	}
	if w.bytes += len(key) + len(value); w.bytes >= tableBytes {
		delete(t.open, key[0])
		return w.Close()
	}
	return nil
}

// finish closes the tables, synced.
func (t *tables) finish() ([]string, error) {
	var err error
	for space, w := range t.open {
		err = errors.Join(err, w.Close())
		delete(t.open, space)
	}
	return t.paths, err
}

// close gives up what finish did not close.
func (t *tables) close() {
	for _, w := range t.open {
		w.Close()
	}
}
