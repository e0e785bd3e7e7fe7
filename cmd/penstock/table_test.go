package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"
	"pgregory.net/rapid"
)

func TestTableAlignsByTerminalWidth(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	table := newTable(&b, "SITE", ">SENT", "REPLY")
	table.row("google", "1,204", "")
	table.row("日本.test", "7", "250 ok\r\n250 done\tnow")
	table.row("x")
	if err := table.flush(); err != nil {
		t.Fatal(err)
	}
	const want = `SITE        SENT  REPLY
google     1,204
日本.test      7  250 ok ⏎ 250 done now
x
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

// TestTableRowsAreOneLine: whatever a server or a file puts into a cell, a row
// is one line, columns begin at one place, and nothing is lost.
func TestTableRowsAreOneLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cell := rapid.StringMatching(`[a-zé世\t\r\n ]{0,12}`)
		rows := rapid.SliceOfN(rapid.SliceOfN(cell, 3, 3), 1, 8).Draw(t, "rows")
		var b strings.Builder
		table := newTable(&b).align("lrl")
		for _, r := range rows {
			table.row(append(r[:2:2], "|")...)
		}
		if err := table.flush(); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != len(rows) {
			t.Fatalf("%d rows became %d lines", len(rows), len(lines))
		}
		for _, l := range lines {
			if runewidth.StringWidth(l) != runewidth.StringWidth(lines[0]) {
				t.Fatalf("the last column moves:\n%s", b.String())
			}
		}
	})
}

// TestLongTableStreams: a table longer than what it looks ahead keeps its
// columns, and does not hold all rows.
func TestLongTableStreams(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	table := newTable(&b, "N", ">SQUARE")
	for n := range 3 * tableAhead {
		table.row(fmt.Sprint(n), fmt.Sprint(n*n))
		if len(table.rows) > tableAhead {
			t.Fatal("the table holds more rows than it may")
		}
	}
	if err := table.flush(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != 3*tableAhead+1 {
		t.Errorf("%d lines", n)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestTableTellsThatItCouldNotBeWritten(t *testing.T) {
	t.Parallel()
	table := newTable(fullDisk{}, "A")
	table.row("1")
	if table.flush() == nil {
		t.Error("flush says nothing of a write that failed")
	}
	row, flush := csvTable(fullDisk{}, "a")
	_ = row("1")
	if flush() == nil {
		t.Error("CSV says nothing of a write that failed")
	}
}

func TestNumbersForPeople(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1,000"}, {count(uint64(12345678)), "12,345,678"}, {count(-1000), "-1,000"},
		{numbered(1, "row"), "1 row"}, {numbered(2000, "row"), "2,000 rows"},
		{share(1, 8), "12.5 %"}, {share(1, 0), ""},
		{span(1234 * time.Microsecond), "1ms"}, {span(2345 * time.Millisecond), "2.3s"}, {span(2 * time.Minute), "2m"},
		{span(61 * time.Second), "1m1s"}, {span(2*time.Hour + 29*time.Second), "2h"}, {span(90 * time.Minute), "1h30m"}, {span(0), "0s"},
		{moment(time.Time{}), ""},
		{clip("réponse", 4), "rép…"}, {clip("ok", 4), "ok"}, {clip("ok", -1), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
