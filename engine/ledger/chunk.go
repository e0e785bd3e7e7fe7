package ledger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// chunk is the rows in memory: their bytes in the order they came, and for
// each its domain. Since sequence numbers rise, sorting is counting.
type chunk struct {
	arena   []byte
	rows    []chunkRow
	domains map[string]uint32
	names   []string
	block   nameBlock
	// order is row numbers by domain, then by sequence; starts where each
	// domain of sorted begins. Made by sort.
	order  []uint32
	sorted []uint32
	starts []uint32
}

type chunkRow struct{ domain, offset uint32 }

// row is one row in a run.
type row struct {
	seq        Seq
	file, line uint32
	value      []byte // the recipient's record
}

func (c *chunk) full(limit int) bool {
	return len(c.arena) >= limit || len(c.rows) >= 1<<20
}

func (c *chunk) add(r *Row, file uint32) {
	id, ok := c.domains[string(r.Domain)]
	if !ok {
		id = uint32(len(c.names))
		name := c.block.add(r.Domain)
		c.names = append(c.names, name)
		c.domains[name] = id
	}
	c.rows = append(c.rows, chunkRow{id, uint32(len(c.arena))})
	flags := byte(0)
	if r.Suppressed {
		flags = rowSuppressed
	}
	size := 1 + uvarintLen(uint64(len(r.Local))) + len(r.Local) + len(r.Fields)
	b := binary.BigEndian.AppendUint32(c.arena, uint32(r.Seq))
	b = binary.AppendUvarint(b, uint64(file))
	b = binary.AppendUvarint(b, uint64(max(r.Line, 0)))
	b = binary.AppendUvarint(b, uint64(size))
	c.arena = appendRecipient(b, flags, r.Local, r.Fields)
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// readRow takes a row apart; its value lies in b.
func readRow(b []byte) (r row, rest []byte, err error) {
	if len(b) < 4 {
		return r, nil, errDamaged
	}
	d := decoder{b: b[4:]}
	r = row{seq: Seq(binary.BigEndian.Uint32(b)), file: d.uint32(), line: d.uint32(), value: d.bytes()}
	if len(r.value) == 0 {
		d.bad = true
	}
	return r, d.b, d.err()
}

func (c *chunk) sort() {
	c.sorted = c.sorted[:0]
	for i := range c.names {
		c.sorted = append(c.sorted, uint32(i))
	}
	slices.SortFunc(c.sorted, func(a, b uint32) int { return strings.Compare(c.names[a], c.names[b]) })
	rank := make([]uint32, len(c.names))
	for i, id := range c.sorted {
		rank[id] = uint32(i)
	}
	c.starts = append(c.starts[:0], make([]uint32, len(c.names)+1)...)
	for _, r := range c.rows {
		c.starts[rank[r.domain]+1]++
	}
	for i := 1; i < len(c.starts); i++ {
		c.starts[i] += c.starts[i-1]
	}
	next := slices.Clone(c.starts[:len(c.names)])
	c.order = slices.Grow(c.order[:0], len(c.rows))[:len(c.rows)]
	for i, r := range c.rows {
		k := rank[r.domain]
		c.order[next[k]] = uint32(i)
		next[k]++
	}
}

// bytes are a row's.
func (c *chunk) bytes(i uint32) []byte {
	end := len(c.arena)
	if int(i)+1 < len(c.rows) {
		end = int(c.rows[i+1].offset)
	}
	return c.arena[c.rows[i].offset:end]
}

func (c *chunk) reset() {
	c.arena, c.rows, c.names = c.arena[:0], c.rows[:0], c.names[:0]
	clear(c.domains)
	c.block = nameBlock{}
}

// drop frees the memory.
func (c *chunk) drop() { *c = chunk{} }

// spill writes the chunk as a run: for each domain its name, how many rows,
// and the rows. It needs no sync: after a crash the load is dropped.
func (c *chunk) spill(fs vfs.FS, name string) (err error) {
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	c.sort()
	w := bufio.NewWriterSize(f, 256<<10)
	var head []byte
	for i, id := range c.sorted {
		rows := c.order[c.starts[i]:c.starts[i+1]]
		head = appendBytes(head[:0], c.names[id])
		head = binary.AppendUvarint(head, uint64(len(rows)))
		w.Write(head)
		for _, r := range rows {
			b := c.bytes(r)
			head = binary.AppendUvarint(head[:0], uint64(len(b)))
			w.Write(head)
			w.Write(b)
		}
	}
	c.reset()
	return w.Flush()
}

// run is a source of rows sorted by domain and sequence: a file, or the chunk
// itself if it was never spilled.
type run interface {
	// domain is the current one; false at the end.
	domain() (string, bool)
	// next gives the next row of the current domain, in memory that lasts
	// until the call after; ok false moves on to the next domain.
	next() (b []byte, ok bool, err error)
	close()
}

type chunkRun struct {
	*chunk
	at   int // in sorted
	from uint32
}

func (c *chunkRun) domain() (string, bool) {
	if c.at >= len(c.sorted) {
		return "", false
	}
	return c.names[c.sorted[c.at]], true
}

func (c *chunkRun) next() ([]byte, bool, error) {
	if c.from == c.starts[c.at+1] {
		c.at++
		return nil, false, nil
	}
	c.from++
	return c.bytes(c.order[c.from-1]), true, nil
}

func (c *chunkRun) close() {}

type fileRun struct {
	file vfs.File
	r    *bufio.Reader
	name string
	end  bool
	left uint64
	buf  []byte
}

const runBuffer = 128 << 10

func openRun(fs vfs.FS, name string) (*fileRun, error) {
	f, err := fs.Open(name, vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	r := &fileRun{file: f, r: bufio.NewReaderSize(f, runBuffer)}
	if err := r.advance(); err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

func (f *fileRun) advance() error {
	n, err := binary.ReadUvarint(f.r)
	if err == io.EOF {
		f.end = true
		return nil
	}
	if err != nil {
		return err
	}
	if f.buf, err = readN(f.r, f.buf, n); err != nil {
		return err
	}
	f.name = string(f.buf)
	f.left, err = binary.ReadUvarint(f.r)
	return err
}

// readN reads n bytes into buf, which grows.
func readN(r *bufio.Reader, buf []byte, n uint64) ([]byte, error) {
	buf = slices.Grow(buf[:0], int(n))[:n]
	_, err := io.ReadFull(r, buf)
	return buf, err
}

func (f *fileRun) domain() (string, bool) { return f.name, !f.end }

func (f *fileRun) next() ([]byte, bool, error) {
	if f.left == 0 {
		return nil, false, f.advance()
	}
	f.left--
	n, err := binary.ReadUvarint(f.r)
	if err != nil {
		return nil, false, fmt.Errorf("read run: %w", err)
	}
	f.buf, err = readN(f.r, f.buf, n)
	return f.buf, err == nil, err
}

func (f *fileRun) close() { f.file.Close() }

// merger gives the rows of all runs by domain and sequence. Runs follow one
// another in sequence, so within a domain they are simply read in turn.
type merger struct {
	runs []run
	heap []int // of runs, least (domain, number) first
	name string
}

func (ld *Loader) openRuns() (*merger, error) {
	m := &merger{}
	if len(ld.runs) == 0 {
		ld.chunk.sort()
		m.runs = append(m.runs, &chunkRun{chunk: &ld.chunk})
	}
	for _, name := range ld.runs {
		r, err := openRun(ld.ledger.fs, name)
		if err != nil {
			m.close()
			return nil, fmt.Errorf("open run %s: %w", name, err)
		}
		m.runs = append(m.runs, r)
	}
	for i := range m.runs {
		m.push(i)
	}
	return m, nil
}

func (m *merger) close() {
	for _, r := range m.runs {
		r.close()
	}
}

func (m *merger) less(a, b int) bool {
	x, _ := m.runs[a].domain()
	y, _ := m.runs[b].domain()
	if c := strings.Compare(x, y); c != 0 {
		return c < 0
	}
	return a < b
}

func (m *merger) push(i int) {
	if _, ok := m.runs[i].domain(); !ok {
		return
	}
	m.heap = append(m.heap, i)
	for k := len(m.heap) - 1; k > 0; {
		up := (k - 1) / 2
		if !m.less(m.heap[k], m.heap[up]) {
			break
		}
		m.heap[k], m.heap[up] = m.heap[up], m.heap[k]
		k = up
	}
}

func (m *merger) pop() int {
	top := m.heap[0]
	last := len(m.heap) - 1
	m.heap[0] = m.heap[last]
	m.heap = m.heap[:last]
	for k := 0; ; {
		low := 2*k + 1
		if low >= last {
			return top
		}
		if low+1 < last && m.less(m.heap[low+1], m.heap[low]) {
			low++
		}
		if !m.less(m.heap[low], m.heap[k]) {
			return top
		}
		m.heap[k], m.heap[low] = m.heap[low], m.heap[k]
		k = low
	}
}

// nextDomain moves to the next domain; all rows of the one before were read.
func (m *merger) nextDomain() (name string, ok bool, err error) {
	if len(m.heap) == 0 {
		return "", false, nil
	}
	m.name, _ = m.runs[m.heap[0]].domain()
	return m.name, true, nil
}

// nextRow gives the next row of the domain; false at its end.
func (m *merger) nextRow() (row, bool, error) {
	for len(m.heap) > 0 {
		i := m.heap[0]
		if name, _ := m.runs[i].domain(); name != m.name {
			break
		}
		b, ok, err := m.runs[i].next()
		if err != nil {
			return row{}, false, err
		}
		if !ok {
			m.push(m.pop())
			continue
		}
		r, rest, err := readRow(b)
		if err == nil && len(rest) > 0 {
			err = errDamaged
		}
		return r, err == nil, err
	}
	return row{}, false, nil
}
