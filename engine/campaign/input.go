package campaign

import (
	"bytes"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/problem"
)

// input is one recipient file and, while it is read, its stream.
type input struct {
	file   File
	format format
	pack   packing
	// columns are the header's names, "" for a column without; nil for JSON.
	columns []string
	address int // the column of the address

	window *window
	source fs.File // nil for standard input
	unpack io.Closer
}

// open begins the stream, with the header behind it.
func (in *input) open(stdin io.Reader, w *window) problem.List {
	var problems problem.List
	raw, err := in.openRaw(stdin)
	if err == nil {
		err = in.unwrap(raw, w)
	}
	if err != nil {
		in.close()
		problems.Add(in.file.Name, 0, 0, "", "%s", document.Reason(err))
		return problems
	}
	if !in.skipMark(&problems) {
		in.close()
		return problems
	}
	if in.format != jsonFormat {
		in.readHeader(&problems)
	}
	if problems.Err() != nil {
		in.close()
	}
	return problems
}

func (in *input) openRaw(stdin io.Reader) (io.Reader, error) {
	if in.file.Name == Stdin && in.file.Open == nil {
		return stdin, nil
	}
	f, err := in.file.open()
	if err != nil {
		return nil, err
	}
	in.source = f
	return f, nil
}

// unwrap puts the decompressor between, and the window on top.
func (in *input) unwrap(raw io.Reader, w *window) error {
	w.reset(raw)
	in.window = w
	if in.file.Name == Stdin {
		w.more()
		in.pack = sniffPacking(w.rest())
		raw = io.MultiReader(bytes.NewReader(bytes.Clone(w.rest())), &ended{w.source, w.err})
	}
	switch in.pack {
	case gzipped:
		z, err := gzip.NewReader(raw)
		if err != nil {
			return err
		}
		in.unpack = z
		raw = z
	case zstandard:
		// The window is what a hostile or extreme file may ask for: 128 MiB
		// is zstd's own bound without --ultra --long.
		z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return err
		}
		in.unpack = z.IOReadCloser()
		raw = z
	case plain:
	}
	w.reset(raw)
	return nil
}

// ended is a reader that may have ended already.
type ended struct {
	io.Reader
	err error
}

func (e *ended) Read(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	return e.Reader.Read(p)
}

func (in *input) close() {
	if in.unpack != nil {
		in.unpack.Close()
		in.unpack = nil
	}
	if in.source != nil {
		in.source.Close()
		in.source = nil
	}
}

// skipMark passes a byte order mark and settles the format of what has no name.
func (in *input) skipMark(problems *problem.List) bool {
	w := in.window
	for len(w.rest()) < 4 && w.more() {
	}
	head := w.rest()
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		w.start += 3
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		problems.Add(in.file.Name, 1, 0, "", "is UTF-16; save it as UTF-8")
		return false
	}
	if in.format == formatUnset {
		line, _ := w.peekLine()
		in.format = sniffFormat(line)
	}
	return true
}

// readHeader reads and judges the names of the columns.
func (in *input) readHeader(problems *problem.List) {
	rows := csvRows{w: in.window, comma: in.comma()}
	line, reason, detail, ok := rows.next()
	add := func(format string, args ...any) { problems.Add(in.file.Name, line, 0, "", format, args...) }
	switch {
	case !ok && reason != "":
		add("the header %s", detail)
		return
	case !ok:
		if err := in.window.fault(); err != nil {
			add("%s", err)
			return
		}
		add("is empty: the first line names the columns")
		return
	case !utf8.Valid(rows.raw) || bytes.IndexByte(rows.raw, 0) >= 0:
		add("the header is not UTF-8 text; save the file as UTF-8")
		return
	case len(rows.fields) > maxColumns:
		add("has %d columns, more than %d", len(rows.fields), maxColumns)
		return
	}
	for i, field := range rows.fields {
		name := strings.TrimSpace(string(field))
		switch {
		case name == "":
			problems.Warn(in.file.Name, line, 0, "", "column %d has no name and is left out", i+1)
		case name == reservedName:
			add("column %d is named %q, which is reserved", i+1, name)
		case slices.Contains(in.columns, name):
			add("columns %d and %d are both named %q", 1+slices.Index(in.columns, name), i+1, name)
		}
		in.columns = append(in.columns, name)
	}
}

// findAddress finds the column of the address.
func (in *input) findAddress(field string, problems *problem.List) {
	if in.format == jsonFormat {
		return
	}
	in.address = slices.Index(in.columns, field)
	if in.address >= 0 || len(in.columns) == 0 {
		return
	}
	advice := "; columns here: " + shorten(in.columns)
	if near := document.Nearest(field, in.columns); near != "" {
		advice = "; if the addresses are in " + quote(near) + ", set address_field: " + near
	} else if len(in.columns) == 1 && strings.Contains(in.columns[0], ";") {
		advice = "; the file seems to be separated by semicolons: save it with commas"
	} else if len(in.columns) == 1 && strings.Contains(in.columns[0], "@") {
		advice = "; the first line must name the columns"
	}
	problems.Add(in.file.Name, 1, 0, "", "has no column %s for the address%s", quote(field), advice)
}

func quote(s string) string { return `"` + s + `"` }

// shorten lists names for people, the first few of many.
func shorten(names []string) string {
	const most = 12
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

func (in *input) comma() byte {
	if in.format == tsvFormat {
		return '\t'
	}
	return ','
}

// changed reports that the file is no longer what it was when the campaign file
// was read.
func (in *input) changed() error {
	if !in.file.Regular || in.source == nil {
		return nil
	}
	info, err := in.source.Stat()
	if err != nil {
		return err
	}
	if info.Size() != in.file.Size || !info.ModTime().Equal(in.file.ModTime) {
		return problem.Problem{File: in.file.Name, Message: "changed while it was being read (now " +
			document.FormatSize(info.Size()) + " of " + info.ModTime().Format(time.DateTime) + ")"}
	}
	return nil
}
