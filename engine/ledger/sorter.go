package ledger

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// sorter sorts records by key, in files when they are many. For what is rare
// in a load: rejects and suspected duplicates.
type sorter struct {
	loader  *Loader
	name    string
	arena   []byte
	records []sorted
	files   []string
}

type sorted struct{ key, value []byte }

// sorterBytes bounds the memory.
const sorterBytes = 16 << 20

func (s *sorter) add(key, value []byte) error {
	if len(s.arena) > min(sorterBytes, s.loader.ledger.opt.chunkBytes) {
		if err := s.spill(); err != nil {
			return err
		}
	}
	n := len(s.arena)
	s.arena = append(append(s.arena, key...), value...)
	// After growth the older records lie in the older memory.
	s.records = append(s.records, sorted{s.arena[n : n+len(key) : n+len(key)], s.arena[n+len(key):]})
	return nil
}

func (s *sorter) sort() {
	slices.SortFunc(s.records, func(a, b sorted) int { return bytes.Compare(a.key, b.key) })
}

func (s *sorter) spill() (err error) {
	l := s.loader.ledger
	if err := l.fs.MkdirAll(s.loader.dir, 0o700); err != nil {
		return err
	}
	name := s.loader.path(s.name, len(s.files))
	f, err := l.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	s.sort()
	w := bufio.NewWriterSize(f, 64<<10)
	var head []byte
	for _, r := range s.records {
		head = binary.AppendUvarint(head[:0], uint64(len(r.key)))
		head = binary.AppendUvarint(head, uint64(len(r.value)))
		w.Write(head)
		w.Write(r.key)
		w.Write(r.value)
	}
	s.files = append(s.files, name)
	s.arena, s.records = s.arena[:0], s.records[:0]
	return w.Flush()
}

// each gives all records in order of their keys; they die with the call.
func (s *sorter) each(fn func(key, value []byte) error) (err error) {
	s.sort()
	sources := []*sortedRun{{records: s.records}}
	defer func() {
		for _, r := range sources {
			if r.file != nil {
				err = errors.Join(err, r.file.Close())
			}
		}
	}()
	for _, name := range s.files {
		f, err := s.loader.ledger.fs.Open(name, vfs.SequentialReadsOption)
		if err != nil {
			return err
		}
		sources = append(sources, &sortedRun{file: f, r: bufio.NewReaderSize(f, 64<<10)})
	}
	for _, r := range sources {
		if err := r.next(); err != nil {
			return err
		}
	}
	// Few runs: the least is found by looking at all of them.
	for {
		var least *sortedRun
		for _, r := range sources {
			if !r.end && (least == nil || bytes.Compare(r.at.key, least.at.key) < 0) {
				least = r
			}
		}
		if least == nil {
			return nil
		}
		if err := fn(least.at.key, least.at.value); err != nil {
			return err
		}
		if err := least.next(); err != nil {
			return fmt.Errorf("sort %s: %w", s.name, err)
		}
	}
}

// sortedRun is one sorted piece, in memory or in a file.
type sortedRun struct {
	records []sorted
	file    vfs.File
	r       *bufio.Reader
	at      sorted
	end     bool
}

func (r *sortedRun) next() error {
	if r.file == nil {
		if r.end = len(r.records) == 0; !r.end {
			r.at, r.records = r.records[0], r.records[1:]
		}
		return nil
	}
	n, err := binary.ReadUvarint(r.r)
	if err == io.EOF {
		r.end = true
		return nil
	}
	if err != nil {
		return err
	}
	m, err := binary.ReadUvarint(r.r)
	if err != nil {
		return err
	}
	if r.at.key, err = readN(r.r, r.at.key, n); err != nil {
		return err
	}
	r.at.value, err = readN(r.r, r.at.value, m)
	return err
}
