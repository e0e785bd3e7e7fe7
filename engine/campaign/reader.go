package campaign

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/penstock-mail/penstock/engine/address"
	"github.com/penstock-mail/penstock/engine/compose"
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

// nextCSV reads one record into r.row.
func (r *Reader) nextCSV(in *input) (line int, reason Reason, detail string, ok bool) {
	r.reject.Address = ""
	line, reason, detail, ok = r.csv.next()
	if !ok {
		return line, reason, detail, false
	}
	fields := r.csv.fields
	switch {
	case !utf8.Valid(r.csv.raw):
		reason, detail = NotUTF8, "is not UTF-8 text"
	case bytes.IndexByte(r.csv.raw, 0) >= 0:
		reason, detail = HasNUL, "has a NUL octet in it"
	case len(fields) != len(in.columns):
		reason, detail = WrongColumns, columnsDetail(len(fields), len(in.columns))
	default:
		reason, detail = r.parseAddress(fields[in.address])
	}
	if reason != "" {
		if in.address < len(fields) {
			r.reject.Address = printable(fields[in.address])
		}
		return line, reason, detail, false
	}
	r.fields = r.fields[:0]
	for _, from := range r.order {
		switch {
		case from < 0:
			r.fields = compose.AppendAbsent(r.fields)
		case from == in.address && r.isOwn(fields[from]):
			r.fields = compose.AppendOwnAddress(r.fields)
		default:
			r.fields = compose.AppendString(r.fields, fields[from])
		}
	}
	r.row.Fields = r.fields
	return line, "", "", true
}

// nextJSON reads one line of JSON into r.row.
func (r *Reader) nextJSON(w *window) (line int, reason Reason, detail string, ok bool) {
	r.reject.Address = ""
	for {
		text, tooLong := w.peekLine()
		line = w.line
		if len(text) == 0 {
			return line, "", "", false
		}
		trimmed := trimBreak(text, w.done())
		if tooLong || len(trimmed) > MaxRow {
			w.skipLine()
			return line, TooLong, tooLongDetail, false
		}
		w.take(len(text))
		if len(bytes.TrimLeft(trimmed, " \t\r")) == 0 {
			continue
		}
		reason, detail = r.readJSON(trimmed)
		return line, reason, detail, reason == ""
	}
}

func (r *Reader) readJSON(text []byte) (Reason, string) {
	switch {
	case !utf8.Valid(text):
		return NotUTF8, "is not UTF-8 text"
	case bytes.IndexByte(text, 0) >= 0:
		return HasNUL, "has a NUL octet in it"
	}
	if f := r.json.parse(text); f.reason != "" {
		return f.reason, f.detail
	}
	if reason, detail := r.place(); reason != "" {
		return reason, detail
	}
	own, known := r.index[r.field]
	if !known || own >= len(r.slots) || r.slots[own] == 0 {
		return NoAddress, "has no " + quote(r.field)
	}
	m := r.json.members[r.slots[own]-1]
	if !m.isText {
		if string(m.value) == "null" {
			return NoAddress, "has no " + quote(r.field)
		}
		r.reject.Address = printable(m.value)
		return InvalidAddress, "is not a JSON string"
	}
	if reason, detail := r.parseAddress(m.value); reason != "" {
		r.reject.Address = printable(m.value)
		return reason, detail
	}
	r.fields = r.fields[:0]
	for i, slot := range r.slots {
		if slot == 0 {
			r.fields = compose.AppendAbsent(r.fields)
			continue
		}
		switch m := &r.json.members[slot-1]; {
		case i == own && r.isOwn(m.value):
			r.fields = compose.AppendOwnAddress(r.fields)
		case m.isText:
			r.fields = compose.AppendString(r.fields, m.value)
		default:
			r.fields = compose.AppendJSON(r.fields, m.value)
		}
	}
	r.row.Fields = r.fields
	return "", ""
}

// place finds the columns of the JSON row's members: r.slots.
func (r *Reader) place() (Reason, string) {
	r.slots = r.slots[:0]
	for i := range r.json.members {
		key := r.json.members[i].key
		// Rows mostly have their keys in one order.
		column := i
		if i >= len(r.columns) || r.columns[i] != string(key) {
			var known bool
			if column, known = r.index[string(key)]; !known {
				switch {
				case len(key) == 0:
					continue // as a column without a name: nothing can refer to it
				case string(key) == reservedName:
					return WrongColumns, "has a key named " + quote(reservedName) + ", which is reserved"
				case len(r.columns) >= maxColumns:
					return WrongColumns, "has a new key though there are too many columns already"
				}
				column = r.column(string(key))
			}
		}
		for len(r.slots) <= column {
			r.slots = append(r.slots, 0)
		}
		if r.slots[column] != 0 {
			return Malformed, "has the key " + quote(printable(key)) + " twice"
		}
		r.slots[column] = i + 1
	}
	return "", ""
}

// parseAddress sets the row's address.
func (r *Reader) parseAddress(text []byte) (Reason, string) {
	a, err := r.addresses.Parse(text)
	if err != nil {
		if err == address.Empty {
			return NoAddress, "has no address"
		}
		return InvalidAddress, err.Error()
	}
	r.row.Local, r.row.Domain = a.Local, a.Domain
	return "", ""
}

// isOwn reports that the value is the row's address octet for octet.
func (r *Reader) isOwn(value []byte) bool {
	n := len(r.row.Local)
	return len(value) == n+1+len(r.row.Domain) && value[n] == '@' &&
		bytes.Equal(value[:n], r.row.Local) && bytes.Equal(value[n+1:], r.row.Domain)
}

func columnsDetail(got, want int) string {
	return "has " + number(got) + " instead of " + strconv.Itoa(want)
}
