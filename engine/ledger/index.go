package ledger

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// hashed is an address by its hash.
type hashed struct {
	hash uint64
	seq  Seq
}

func compareHashed(a, b hashed) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.seq, b.seq))
}

// indexer makes the address index of a load, and finds the duplicates on the
// way. Hashes that do not fit into memory go to partition files by their top
// bits; each partition is sorted by itself.
type indexer struct {
	loader *Loader
	recent []hashed
	parts  []*partition
}

const (
	partitionBits = 6
	hashedBytes   = 12
)

type partition struct {
	name string
	file vfs.File
	w    *bufio.Writer
}

func (x *indexer) add(hash uint64, seq Seq) { x.recent = append(x.recent, hashed{hash, seq}) }

// spill moves what is in memory to the partitions.
func (x *indexer) spill() error {
	if x.parts == nil {
		for i := range 1 << partitionBits {
			name := x.loader.path("hashes", i)
			f, err := x.loader.ledger.fs.Create(name, vfs.WriteCategoryUnspecified)
			if err != nil {
				return errors.Join(fmt.Errorf("write %s: %w", name, err), x.close())
			}
			x.parts = append(x.parts, &partition{name, f, bufio.NewWriterSize(f, 32<<10)})
		}
	}
	var b [hashedBytes]byte
	for _, e := range x.recent {
		binary.LittleEndian.PutUint64(b[:], e.hash)
		binary.LittleEndian.PutUint32(b[8:], uint32(e.seq))
		// The writer keeps its first error for Flush.
		x.parts[e.hash>>(64-partitionBits)].w.Write(b[:])
	}
	x.recent = x.recent[:0]
	return nil
}

func (x *indexer) close() (err error) {
	for _, p := range x.parts {
		if p.file != nil {
			err = errors.Join(err, p.file.Close())
			p.file = nil
		}
	}
	return err
}

// each gives the entries in order, a sorted piece at a time.
func (x *indexer) each(ctx context.Context, fn func([]hashed) error) error {
	if x.parts == nil {
		slices.SortFunc(x.recent, compareHashed)
		return fn(x.recent)
	}
	x.recent = nil
	for _, p := range x.parts {
		if p.w == nil {
			continue // the second time
		}
		if err := p.w.Flush(); err != nil {
			return fmt.Errorf("write %s: %w", p.name, err)
		}
		p.w = nil
	}
	if err := x.close(); err != nil {
		return err
	}
	var list, spare []hashed
	for _, p := range x.parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if list, err = p.read(x.loader.ledger.fs, list[:0]); err != nil {
			return fmt.Errorf("read %s: %w", p.name, err)
		}
		spare = slices.Grow(spare[:0], len(list))[:len(list)]
		if err := fn(sortHashed(list, spare)); err != nil {
			return err
		}
	}
	return nil
}

// sortHashed sorts by hash what is in order of sequence, by radix; the answer
// lies in one of the two.
func sortHashed(list, spare []hashed) []hashed {
	var counts [8][256]uint32
	for _, e := range list {
		for i := range counts {
			counts[i][byte(e.hash>>(8*i))]++
		}
	}
	for i := range counts {
		c := &counts[i]
		sum := uint32(0)
		for j, n := range c {
			c[j], sum = sum, sum+n
		}
		for _, e := range list {
			k := byte(e.hash >> (8 * i))
			spare[c[k]] = e
			c[k]++
		}
		list, spare = spare, list
	}
	return list
}

func (p *partition) read(fs vfs.FS, list []hashed) (_ []hashed, err error) {
	f, err := fs.Open(p.name, vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := bufio.NewReaderSize(f, 256<<10)
	var b [hashedBytes]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err == io.EOF {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		list = append(list, hashed{binary.LittleEndian.Uint64(b[:]), Seq(binary.LittleEndian.Uint32(b[8:]))})
	}
}

// write writes the index and gives back which rows are duplicates, and the
// index entries it had to leave out: rows that share a hash but not an address
// with an earlier row, known only after the exact comparison.
func (x *indexer) write(ctx context.Context, out table) (duplicates seqSet, late []hashed, err error) {
	var shared, firsts seqSet
	number := x.loader.record.Number
	var key []byte
	if err := x.each(ctx, func(list []hashed) error {
		for i := 0; i < len(list); {
			first := list[i]
			key = appendIndexKey(key[:0], number, first.hash, first.seq)
			if err := out.set(key, nil); err != nil {
				return err
			}
			for i++; i < len(list) && list[i].hash == first.hash; i++ {
				shared.add(list[i].seq)
				shared.add(first.seq)
				firsts.add(first.seq)
			}
		}
		return nil
	}); err != nil {
		return nil, nil, err
	}
	if shared == nil {
		return nil, nil, nil
	}
	return x.compare(ctx, shared, firsts)
}

// compare looks at the rows that share a hash, byte by byte.
func (x *indexer) compare(ctx context.Context, shared, firsts seqSet) (duplicates seqSet, late []hashed, err error) {
	ld := x.loader
	suspects := &sorter{loader: ld, name: "suspects"}
	m, err := ld.openRuns()
	if err != nil {
		return nil, nil, err
	}
	defer m.close()
	for {
		name, ok, err := m.nextDomain()
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		for {
			r, ok, err := m.nextRow()
			if err != nil {
				return nil, nil, err
			}
			if !ok {
				break
			}
			if !shared.has(r.seq) {
				continue
			}
			if err := suspects.add(suspectOf(name, r)); err != nil {
				return nil, nil, err
			}
		}
	}
	var address, same []byte
	var first suspect
	reject := func(s *suspect) error {
		duplicates.add(s.seq)
		return ld.reject(&Reject{
			Seq: s.seq, File: ld.files.name(s.file), Line: int(s.line), Reason: ReasonDuplicate,
			Detail: first.place(&ld.files), Address: string(s.local()) + "@" + string(s.domain()),
		})
	}
	err = suspects.each(func(key, value []byte) error {
		s, err := readSuspect(key, value)
		if err != nil {
			return err
		}
		address = append(address[:0], key[:len(key)-4]...)
		if same == nil || !slices.Equal(address, same) {
			same = append(append(same[:0], address...), []byte{}...)
			first = s
			old, err := ld.known(&s)
			if err != nil {
				return err
			}
			if old != 0 {
				first = suspect{seq: old}
				return reject(&s)
			}
			if !firsts.has(s.seq) {
				late = append(late, hashed{ld.ledger.opt.hash(s.local(), s.domain()), s.seq})
			}
			return nil
		}
		return reject(&s)
	})
	return duplicates, late, err
}

// ReasonDuplicate is the reject reason of a row whose address an earlier row
// has; its Detail names that row.
const ReasonDuplicate = "duplicate"

// suspect is a row whose hash is not its own.
type suspect struct {
	seq        Seq
	file, line uint32
	address    string
	at         int // where the domain ends and the local part begins
}

func (s *suspect) domain() []byte { return []byte(s.address[:s.at]) }
func (s *suspect) local() []byte  { return []byte(s.address[s.at:]) }

// place names the row for people.
func (s *suspect) place(files *fileNames) string {
	text := fmt.Sprintf("of row %d", s.seq)
	if name := files.name(s.file); name != "" && s.line > 0 {
		text += fmt.Sprintf(" (%s line %d)", name, s.line)
	}
	return text
}

// suspectOf makes a sorter's record. In its key the lengths come first, so
// that equal addresses lie together, by sequence.
func suspectOf(domain string, r row) (key, value []byte) {
	_, local, _, _ := decodeRecipient(r.value)
	key = binary.BigEndian.AppendUint32(nil, uint32(len(domain)))
	key = binary.BigEndian.AppendUint32(key, uint32(len(local)))
	key = append(append(key, domain...), local...)
	key = binary.BigEndian.AppendUint32(key, uint32(r.seq))
	value = binary.AppendUvarint(nil, uint64(r.file))
	return key, binary.AppendUvarint(value, uint64(r.line))
}

func readSuspect(key, value []byte) (suspect, error) {
	if len(key) < 12 {
		return suspect{}, errKey
	}
	d := decoder{b: value}
	s := suspect{
		seq: Seq(binary.BigEndian.Uint32(key[len(key)-4:])), file: d.uint32(), line: d.uint32(),
		address: string(key[8 : len(key)-4]), at: int(binary.BigEndian.Uint32(key)),
	}
	if s.at > len(s.address) {
		d.bad = true
	}
	return s, d.err()
}

// seqSet is a set of sequence numbers, dense from 1.
type seqSet []uint64

func (s *seqSet) add(seq Seq) {
	if i := int(seq / 64); i >= len(*s) {
		*s = append(*s, make([]uint64, i+1-len(*s))...)
	}
	(*s)[seq/64] |= 1 << (seq % 64)
}

func (s seqSet) has(seq Seq) bool {
	return int(seq/64) < len(s) && s[seq/64]&(1<<(seq%64)) != 0
}

// fileNames numbers the recipient files of a load.
type fileNames struct {
	names []string
	last  uint32
}

// id numbers a name; rows of one file come together.
func (f *fileNames) id(name string) uint32 {
	if name == "" {
		return 0
	}
	if f.last > 0 && f.names[f.last-1] == name {
		return f.last
	}
	if i := slices.Index(f.names, name); i >= 0 {
		f.last = uint32(i) + 1
		return f.last
	}
	f.names = append(f.names, name)
	f.last = uint32(len(f.names))
	return f.last
}

func (f *fileNames) name(id uint32) string {
	if id == 0 || int(id) > len(f.names) {
		return ""
	}
	return f.names[id-1]
}
