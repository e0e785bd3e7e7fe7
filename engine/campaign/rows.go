package campaign

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/penstock-mail/penstock/engine/address"
	"github.com/penstock-mail/penstock/engine/compose"
)

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
