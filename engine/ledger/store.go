package ledger

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// pebbleOptions: small memtables, since the process's memory is bounded and
// group commits keep them filling in order; Snappy above and zstd at the
// bottom, where recipients live.
func (l *Ledger) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                          l.logFS(),
		Lock:                        l.lock,
		CacheSize:                   l.opt.CacheBytes,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                16 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               128 << 20,
		MaxOpenFiles:                1000,
		WALBytesPerSync:             0,
		Logger:                      pebbleLog{l},
		EventListener: &pebble.EventListener{
			// Pebble would try again without end or pause, and stall writes in the
			// end. The ledger has failed then, and waits for the process to end:
			// the pause keeps it from taking a core for that long.
			BackgroundError: func(err error) {
				l.writer.fail(err)
				time.Sleep(10 * time.Millisecond)
			},
		},
	}
	o.Levels[0].BlockSize = 16 << 10
	o.Levels[0].IndexBlockSize = 64 << 10
	o.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	for i := 1; i < len(o.Levels); i++ {
		o.Levels[i] = o.Levels[0]
		o.Levels[i].BlockSize = 32 << 10
	}
	o.Levels[len(o.Levels)-1].Compression = func() *sstable.CompressionProfile { return sstable.ZstdCompression }
	o.TargetFileSizes[0] = 8 << 20
	o.EnsureDefaults()
	return o
}

// pebbleLog keeps Pebble quiet, and turns its way of giving up into ours.
type pebbleLog struct{ l *Ledger }

func (pebbleLog) Infof(string, ...any)  {}
func (pebbleLog) Errorf(string, ...any) {}

// Fatalf must not return: Pebble's state is broken behind it, and whoever
// calls may hold Pebble's locks, so nothing else may go on either. The
// goroutine stays here until the process ends.
func (p pebbleLog) Fatalf(format string, args ...any) {
	p.l.writer.fail(fmt.Errorf(format, args...))
	select {}
}

// checkFormat reads or writes the format version, the secret and the first
// campaign number.
func (l *Ledger) checkFormat() error {
	v, err := l.get(keyFormat)
	if err != nil {
		return err
	}
	if v != nil {
		d := decoder{b: v}
		version := d.uint()
		if err := d.err(); err != nil {
			return fmt.Errorf("read format version: %w", err)
		}
		if version > formatVersion {
			return fmt.Errorf("%w: its format is %d, this program knows up to %d", ErrNewerFormat, version, formatVersion)
		}
		l.secret, err = l.get(keySecret)
		if err == nil && len(l.secret) != secretBytes {
			err = fmt.Errorf("read secret: %w", errDamaged)
		}
		if err == nil && version < formatVersion {
			// What it holds is read as it is; what is added, older programs misread.
			err = l.db.Set(keyFormat, binary.AppendUvarint(nil, formatVersion), pebble.Sync)
		}
		return err
	}
	l.secret = make([]byte, secretBytes)
	rand.Read(l.secret)
	b := l.db.NewBatch()
	defer b.Close()
	return errors.Join(
		b.Set(keyFormat, binary.AppendUvarint(nil, formatVersion), nil),
		b.Set(keySecret, l.secret, nil),
		b.Set(keyNext, binary.AppendUvarint(nil, 1), nil),
		b.Commit(pebble.Sync))
}

const secretBytes = 32

// Secret is 32 random bytes, made with the data directory and never changed.
func (l *Ledger) Secret() []byte { return append([]byte(nil), l.secret...) }

// get returns a copy of a value, nil if there is none.
func (l *Ledger) get(key []byte) ([]byte, error) {
	return getCopy(l.db, key)
}

func getCopy(r pebble.Reader, key []byte) ([]byte, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read key %q: %w", key, err)
	}
	out := append(make([]byte, 0, len(v)), v...)
	return out, closer.Close()
}
