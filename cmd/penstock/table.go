package main

import (
	"bufio"
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
)

// table writes rows with aligned columns. It holds the first rows back to find
// their widths; behind those it streams, so that it can be of any length.
type table struct {
	w       *bufio.Writer
	right   []bool
	widths  []int
	rows    [][]string
	settled bool // widths stay as they are
}

// tableAhead is how many rows a table looks at before it settles its columns.
const tableAhead = 1000

// gap is what stands between two columns.
const gap = "  "

// newTable begins a table; a column whose name begins with > is aligned to the
// right. Without names there is no head, and all columns are aligned to the left.
func newTable(w io.Writer, columns ...string) *table {
	t := &table{w: bufio.NewWriter(w)}
	if len(columns) == 0 {
		return t
	}
	head := make([]string, len(columns))
	for i, c := range columns {
		name, right := strings.CutPrefix(c, ">")
		head[i] = name
		t.right = append(t.right, right)
	}
	t.row(head...)
	return t
}

// align has a table without names align columns: 'l' or 'r' for each.
func (t *table) align(columns string) *table {
	for _, c := range columns {
		t.right = append(t.right, c == 'r')
	}
	return t
}

// oneLine keeps a reply's line breaks from breaking rows.
var oneLine = strings.NewReplacer("\t", " ", "\r\n", " ⏎ ", "\n", " ⏎ ", "\r", "")

func (t *table) row(cells ...string) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = oneLine.Replace(c)
	}
	if t.settled {
		t.write(row)
		return
	}
	for i, c := range row {
		if i == len(t.widths) {
			t.widths = append(t.widths, 0)
		}
		t.widths[i] = max(t.widths[i], runewidth.StringWidth(c))
	}
	if t.rows = append(t.rows, row); len(t.rows) == tableAhead {
		t.settle()
	}
}

func (t *table) settle() {
	t.settled = true
	for _, row := range t.rows {
		t.write(row)
	}
	t.rows = nil
}

func (t *table) write(row []string) {
	var line strings.Builder
	for i, c := range row {
		room := strings.Repeat(" ", max(0, t.widthOf(i)-runewidth.StringWidth(c)))
		if i > 0 {
			line.WriteString(gap)
		}
		if i < len(t.right) && t.right[i] {
			line.WriteString(room + c)
		} else {
			line.WriteString(c + room)
		}
	}
	_, _ = t.w.WriteString(strings.TrimRight(line.String(), " ") + "\n") // an error stays with the writer and comes with flush
}

func (t *table) widthOf(column int) int {
	if column < len(t.widths) {
		return t.widths[column]
	}
	return 0
}

func (t *table) flush() error {
	if !t.settled {
		t.settle()
	}
	return t.w.Flush()
}

// csvTable writes the same as comma-separated values (RFC 4180).
func csvTable(w io.Writer, columns ...string) (row func(cells ...string) error, flush func() error) {
	c := csv.NewWriter(w)
	row = func(cells ...string) error { return c.Write(cells) }
	_ = row(columns...) // an error stays with the writer and comes with flush
	return row, func() error {
		c.Flush()
		return c.Error()
	}
}

// clip cuts s to a width on the terminal.
func clip(s string, width int) string {
	if width < 1 {
		return ""
	}
	return runewidth.Truncate(s, width, "…")
}

// count writes a number with separators: 1,234,567.
func count[T ~uint64 | ~int | ~uint32 | ~int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// numbered writes a count of something: 1 row, 2 rows.
func numbered[T ~uint64 | ~int | ~uint32 | ~int64](n T, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return count(n) + " " + noun
}

// moment writes a time as people read it, in local time; empty when zero.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// octets is a size for people.
func octets(n uint64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if float64(n) >= unit.size {
			return strconv.FormatFloat(float64(n)/unit.size, 'f', 1, 64) + " " + unit.name
		}
	}
	return strconv.FormatUint(n, 10) + " B"
}

// span rounds a duration to what a person wants to know.
func span(d time.Duration) string {
	switch {
	case d >= time.Hour:
		d = d.Round(time.Minute)
	case d >= time.Minute:
		d = d.Round(time.Second)
	case d >= time.Second:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Millisecond)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// share writes a part of a whole: 12.3 %.
func share(part, whole uint64) string {
	if whole == 0 {
		return ""
	}
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + " %"
}
