package main

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// table writes rows with aligned columns; numbers are the caller's strings.
type table struct {
	w *tabwriter.Writer
}

func newTable(w io.Writer, columns ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(columns) > 0 {
		t.row(columns...)
	}
	return t
}

func (t *table) row(cells ...string) {
	for i := range cells {
		// A tab or line break in a reply must not break the columns.
		cells[i] = strings.NewReplacer("\t", " ", "\n", " ⏎ ", "\r", "").Replace(cells[i])
	}
	_, _ = io.WriteString(t.w, strings.TrimRight(strings.Join(cells, "\t"), "\t")+"\n")
}

func (t *table) flush() error { return t.w.Flush() }

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

// count writes a number with separators: 1,234,567.
func count[T ~uint64 | ~int | ~uint32 | ~int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// moment writes a time as people read it, in local time; empty when zero.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
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
	return s
}

// share writes a part of a whole: 12.3 %.
func share(part, whole uint64) string {
	if whole == 0 {
		return ""
	}
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + " %"
}
