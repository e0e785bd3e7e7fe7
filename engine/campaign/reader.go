package campaign

import (
	"errors"
	"io"
	"math"
	"slices"

	"github.com/penstock-mail/penstock/engine/address"
	"github.com/penstock-mail/penstock/engine/problem"
)

// maxColumns is the most columns that a campaign can have, over all its files.
const maxColumns = 4096

// reservedName is the template name that no column can have.
const reservedName = "penstock"

// Row is one recipient. Its slices hold until the next call of Next.
type Row struct {
	// Seq is the row's ordinal over all files, from 1, rejects included.
	Seq uint32
	// Local and Domain as package address has them.
	Local, Domain []byte
	// Fields are the merge fields in compose's encoding over Columns.
	Fields []byte
	// File and Line are where the row begins.
	File string
	Line int
}

// Reader streams a campaign's recipients. Not safe for concurrent use. Close
// must follow.
type Reader struct {
	inputs  []*input
	field   string
	columns []string
	index   map[string]int // of columns

	current int // of inputs
	opened  bool
	window  window // shared by the files that are opened one after another
	csv     csvRows
	json    jsonRow
	order   []int // for each of columns, the file's column or -1
	slots   []int // for each of columns, 1 + the JSON row's member

	addresses address.Parser
	seq       uint32
	row       Row
	reject    Reject
	fields    []byte
	warnings  problem.List
	err       error
}

// Open looks at every file (its header, that it can be unpacked) and readies
// the reader. Its error is a problem.List: nothing is read of a campaign whose
// files are wrong. stdin is read where a file is named "-".
func Open(c *Campaign, stdin io.Reader) (*Reader, error) {
	r := &Reader{field: c.AddressField, index: make(map[string]int)}
	var problems problem.List
	for _, f := range c.Recipients {
		in := &input{file: f, address: -1}
		if f.Name != Stdin {
			in.format, in.pack, _ = formatOf(f.Name)
		}
		// What can be read only once stays open, with its own window.
		w := &r.window
		if !f.Regular {
			w = new(window)
		}
		found := in.open(stdin, w)
		if found.Err() == nil {
			in.findAddress(r.field, &found)
		}
		problems = append(problems, found...)
		if f.Regular || found.Err() != nil {
			in.close()
		}
		for _, name := range in.columns {
			r.column(name)
		}
		r.inputs = append(r.inputs, in)
	}
	if len(r.columns) > maxColumns {
		problems.Add(c.Path, 0, 0, "recipients", "have %d columns together, more than %d", len(r.columns), maxColumns)
	}
	if err := problems.Err(); err != nil {
		r.Close()
		return nil, err
	}
	r.warnings = problems
	return r, nil
}

// Warnings are what Open found odd, but usable.
func (r *Reader) Warnings() problem.List { return r.warnings }

// Columns are the names behind Row.Fields. The list grows while JSON lines are
// read; what it holds stays in its place.
func (r *Reader) Columns() []string { return r.columns }

// Grows reports whether Columns may grow while rows are read: JSON lines have
// no header, so their columns are known once all were read.
func (r *Reader) Grows() bool {
	return slices.ContainsFunc(r.inputs, func(in *input) bool { return in.format == jsonFormat })
}

// Rows is how many rows were read so far, rejects included.
func (r *Reader) Rows() uint64 { return uint64(r.seq) }

// Close gives up the files. It may be called again.
func (r *Reader) Close() {
	for _, in := range r.inputs {
		in.close()
	}
}

// column is the index of a column, which is added if it is new.
func (r *Reader) column(name string) int {
	if name == "" {
		return -1
	}
	i, ok := r.index[name]
	if !ok {
		i = len(r.columns)
		r.columns = append(r.columns, name)
		r.index[name] = i
	}
	return i
}

// Next gives the next row: exactly one of row, reject and err is not nil. err is
// io.EOF at the end of the last file; any other error is the end too, and the
// recipients are incomplete: a file cannot be read, is damaged, or changed.
// Row and reject hold until the next call.
func (r *Reader) Next() (row *Row, reject *Reject, err error) {
	for r.err == nil {
		if !r.opened {
			r.err = r.begin()
			continue
		}
		in := r.inputs[r.current]
		if r.seq == math.MaxUint32 {
			r.err = errors.New("more than 4,294,967,295 rows in one campaign")
			continue
		}
		var line int
		var reason Reason
		var detail string
		var ok bool
		if in.format == jsonFormat {
			line, reason, detail, ok = r.nextJSON(in.window)
		} else {
			line, reason, detail, ok = r.nextCSV(in)
		}
		if !ok && reason == "" {
			r.err = r.end(line)
			continue
		}
		r.seq++
		if !ok {
			r.reject.Seq, r.reject.File, r.reject.Line = r.seq, in.file.Name, line
			r.reject.Reason, r.reject.Detail = reason, detail
			return nil, &r.reject, nil
		}
		r.row.Seq, r.row.File, r.row.Line = r.seq, in.file.Name, line
		return &r.row, nil, nil
	}
	return nil, nil, r.err
}

// begin opens the current file, if there is one.
func (r *Reader) begin() error {
	if r.current == len(r.inputs) {
		return io.EOF
	}
	in := r.inputs[r.current]
	if in.file.Regular {
		before := in.columns
		in.columns = nil
		if err := in.open(nil, &r.window).Err(); err != nil {
			return err
		}
		if !slices.Equal(before, in.columns) {
			return problem.Problem{File: in.file.Name, Line: 1, Message: "changed while it was being read"}
		}
	}
	r.csv.w, r.csv.comma = in.window, in.comma()
	r.order = r.order[:0]
	for _, name := range r.columns {
		r.order = append(r.order, slices.Index(in.columns, name))
	}
	for len(r.order) > 0 && r.order[len(r.order)-1] < 0 {
		r.order = r.order[:len(r.order)-1] // compose leaves out what is behind the last
	}
	r.opened = true
	return nil
}

// end closes the current file; line is where it ended.
func (r *Reader) end(line int) error {
	in := r.inputs[r.current]
	err := in.window.fault()
	if err != nil {
		err = problem.Problem{File: in.file.Name, Line: line, Message: "cannot be read further: " + err.Error()}
	} else {
		err = in.changed()
	}
	in.close()
	r.current++
	r.opened = false
	return err
}
