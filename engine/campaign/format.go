package campaign

import (
	"bytes"
	"strings"
)

// Stdin is the recipient file name that stands for standard input.
const Stdin = "-"

// format is how rows are written.
type format uint8

const (
	formatUnset format = iota
	csvFormat
	tsvFormat
	jsonFormat
)

// packing is how a file is compressed.
type packing uint8

const (
	plain packing = iota
	gzipped
	zstandard
)

// formatOf goes by the file's name; packed or not, it must end in what says how
// its rows are written.
func formatOf(name string) (format, packing, bool) {
	name, pack := packingOf(name)
	switch {
	case strings.HasSuffix(name, ".csv"):
		return csvFormat, pack, true
	case strings.HasSuffix(name, ".tsv"):
		return tsvFormat, pack, true
	case strings.HasSuffix(name, ".jsonl"), strings.HasSuffix(name, ".ndjson"):
		return jsonFormat, pack, true
	}
	return formatUnset, pack, false
}

// packingOf is how a file is packed by its name, and its name without that, in
// lower case.
func packingOf(name string) (inner string, pack packing) {
	name = strings.ToLower(name)
	if inner, ok := strings.CutSuffix(name, ".gz"); ok {
		return inner, gzipped
	}
	if inner, ok := strings.CutSuffix(name, ".zst"); ok {
		return inner, zstandard
	}
	return name, plain
}

// sniffPacking goes by the first octets: RFC 1952 2.3.1, RFC 8878 3.1.1.
func sniffPacking(head []byte) packing {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzipped
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return zstandard
	}
	return plain
}

// sniffFormat goes by the first line, for what has no name: CSV unless it looks
// like something else.
func sniffFormat(head []byte) format {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	switch {
	case bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("{")):
		return jsonFormat
	case bytes.IndexByte(line, '\t') >= 0 && bytes.IndexByte(line, ',') < 0:
		return tsvFormat
	}
	return csvFormat
}
