package campaign

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-mail/penstock/engine/compose"
)

var rewrite = flag.Bool("rewrite", false, "write what is got as what is wanted; commit only what you understand")

// golden compares got with a file in testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

// write puts a file into dir and returns it as a campaign has it.
func write(t testing.TB, dir, name, content string) File {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return File{Name: name, Path: path, Regular: true, Size: info.Size(), ModTime: info.ModTime()}
}

// of is a campaign of these files.
func of(files ...File) *Campaign {
	return &Campaign{ID: "test", Path: "test.yaml", AddressField: "email", Recipients: files}
}

// told is what a reader said, a line for each row and reject, in the words of
// the tests: "row SEQ LOCAL@DOMAIN column=value ..." and "reject SEQ FILE:LINE
// REASON ADDRESS: DETAIL".
func told(t testing.TB, c *Campaign, stdin io.Reader) (lines []string, err error) {
	t.Helper()
	r, err := Open(c, stdin)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var fields compose.Fields
	for seq := uint32(1); ; seq++ {
		row, reject, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			if r.Rows() != uint64(seq-1) {
				t.Fatalf("%d rows told, %d counted", seq-1, r.Rows())
			}
			return lines, nil
		case err != nil:
			return lines, err
		case row != nil && reject != nil || row == nil && reject == nil:
			t.Fatalf("row %v and reject %v", row, reject)
		case reject != nil:
			if reject.Seq != seq {
				t.Fatalf("reject has number %d, is the %d.", reject.Seq, seq)
			}
			lines = append(lines, tellReject(reject))
		default:
			if row.Seq != seq {
				t.Fatalf("row has number %d, is the %d.", row.Seq, seq)
			}
			if err := fields.Decode(row.Fields); err != nil {
				t.Fatalf("row %d: %v", seq, err)
			}
			lines = append(lines, tellRow(row, r.Columns(), &fields))
		}
	}
}

func tellReject(r *Reject) string {
	return "reject " + itoa(int(r.Seq)) + " " + r.File + ":" + itoa(r.Line) + " " + string(r.Reason) + " " + r.Address + ": " + r.Detail
}

func tellRow(row *Row, columns []string, fields *compose.Fields) string {
	var b strings.Builder
	b.WriteString("row " + itoa(int(row.Seq)) + " " + string(row.Local) + "@" + string(row.Domain))
	for i, column := range columns {
		v := fields.Value(i)
		switch v.Kind {
		case compose.Absent:
		case compose.OwnAddress:
			b.WriteString(" " + column + "=(own)")
		case compose.String:
			b.WriteString(" " + column + "=" + quoteGo(string(v.Bytes)))
		case compose.JSON:
			b.WriteString(" " + column + "=json:" + string(v.Bytes))
		}
	}
	return b.String()
}
