package compose

import (
	"encoding/binary"
	"errors"
)

// A row's merge fields are encoded without their names: one value after
// another, by the campaign's list of columns, which is kept once. A value is a
// uvarint of length<<2 | kind and then its bytes. Columns at the end that a row
// does not have are left out, so the list may grow while rows are being read.

// Kind is what a merge field's value is. The numbers are on disk.
type Kind uint8

const (
	// Absent: the row has no such field. Its bytes are empty.
	Absent Kind = iota
	// String: UTF-8 text, or whatever octets the row had.
	String
	// JSON: a number, true, false, null, an array or an object, as JSON text.
	JSON
	// OwnAddress: the recipient's address itself, which is not stored twice.
	// Its bytes are empty.
	OwnAddress
)

// AppendString appends a text value.
func AppendString[T ~string | ~[]byte](dst []byte, value T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(value))<<2|uint64(String))
	return append(dst, value...)
}

// AppendJSON appends a value that is not text; raw is valid JSON. JSON strings
// go, unquoted, through AppendString.
func AppendJSON(dst, raw []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(raw))<<2|uint64(JSON))
	return append(dst, raw...)
}

// AppendAbsent appends that the row has no value in this column.
func AppendAbsent(dst []byte) []byte { return append(dst, byte(Absent)) }

// AppendOwnAddress appends a value that is octet for octet the recipient's
// local part, "@" and domain as the ledger holds them.
func AppendOwnAddress(dst []byte) []byte { return append(dst, byte(OwnAddress)) }

// Value is one merge field of one row.
type Value struct {
	Kind  Kind
	Bytes []byte
}

// Fields is a decoded row. It is reused from row to row and points into the
// row's memory. Not safe for concurrent use.
type Fields struct {
	values []Value
}

var errFields = errors.New("merge fields are malformed")

// Decode takes a row apart; raw must stay unchanged while the values are used.
func (f *Fields) Decode(raw []byte) error {
	f.values = f.values[:0]
	for len(raw) > 0 {
		var head uint64
		n := 1
		if head = uint64(raw[0]); head >= 0x80 {
			if head, n = binary.Uvarint(raw); n <= 0 {
				return errFields
			}
		}
		raw = raw[n:]
		kind, length := Kind(head&3), head>>2
		if length > uint64(len(raw)) || length > 0 && (kind == Absent || kind == OwnAddress) {
			return errFields
		}
		f.values = append(f.values, Value{kind, raw[:length:length]})
		raw = raw[length:]
	}
	return nil
}

// Len is how many columns the row reaches.
func (f *Fields) Len() int { return len(f.values) }

// Value is the value in column i, Absent where the row does not reach.
func (f *Fields) Value(i int) Value {
	if uint(i) >= uint(len(f.values)) {
		return Value{}
	}
	return f.values[i]
}
