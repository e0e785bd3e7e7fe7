// Package letters makes the messages of a scenario for senders that take them
// ready-made: the same text, merge fields and header as Penstock's, composed as
// cheaply as can be, so that a peer's figure is the peer's.
//
// Letters may be used by several goroutines at once.
package letters

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"mime"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sender is the address that all letters come from, in envelope and header.
const Sender = "bench@sender.test"

// Letters is a template and the people it goes to.
type Letters struct {
	// People are the rows, in the file's order.
	People []Person
	parts  []part
	date   string
}

// Person is a row: its address and its merge fields.
type Person struct {
	Address string
	fields  []string
}

// part is text and the column that follows it; -1 for none.
type part struct {
	text   string
	column int
}

// Open reads people (CSV with a header line and a column email) and an HTML
// template whose fields are plain `{{ column }}`.
func Open(people, body string) (*Letters, error) {
	file, err := os.Open(people)
	if err != nil {
		return nil, fmt.Errorf("letters: %w", err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("letters: %s: %w", people, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("letters: %s is empty", people)
	}
	columns := rows[0]
	address := slices.Index(columns, "email")
	if address < 0 {
		return nil, fmt.Errorf("letters: %s has no column email", people)
	}
	text, err := os.ReadFile(body)
	if err != nil {
		return nil, fmt.Errorf("letters: %w", err)
	}
	l := &Letters{date: time.Now().Format(time.RFC1123Z)}
	if l.parts, err = compile(string(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))), columns); err != nil {
		return nil, fmt.Errorf("letters: %s: %w", body, err)
	}
	for _, row := range rows[1:] {
		l.People = append(l.People, Person{Address: row[address], fields: row})
	}
	return l, nil
}

// compile cuts a template at its fields.
func compile(text string, columns []string) (parts []part, err error) {
	for {
		before, rest, found := strings.Cut(text, "{{")
		if !found {
			return append(parts, part{before, -1}), nil
		}
		name, after, closed := strings.Cut(rest, "}}")
		column := slices.Index(columns, strings.TrimSpace(name))
		if !closed || column < 0 {
			return nil, fmt.Errorf("no field %q", strings.TrimSpace(name))
		}
		parts = append(parts, part{before, column})
		text = after
	}
}

// Subject is the decoded subject for the n-th person. It expects the harness's
// columns, as Append does.
func (l *Letters) Subject(n int) string { return "News for " + l.People[n].fields[2] }

// Row is the n-th person's id.
func (l *Letters) Row(n int) string { return l.People[n].fields[1] }

// AppendBody appends the n-th person's HTML, with CRLF. The values need no
// escaping: the harness made them so.
func (l *Letters) AppendBody(dst []byte, n int) []byte {
	for _, p := range l.parts {
		dst = append(dst, p.text...)
		if p.column >= 0 {
			dst = append(dst, l.People[n].fields[p.column]...)
		}
	}
	return dst
}

// Append appends the n-th person's whole message: the header fields that
// Penstock writes, 8bit.
func (l *Letters) Append(dst []byte, n int) []byte {
	dst = append(dst, "From: Bench <"+Sender+">\r\nTo: "...)
	dst = append(dst, l.People[n].Address...)
	dst = append(dst, "\r\nSubject: "...)
	dst = append(dst, mime.QEncoding.Encode("utf-8", l.Subject(n))...)
	dst = append(append(dst, "\r\nDate: "...), l.date...)
	dst = append(dst, "\r\nMessage-ID: <"...)
	dst = strconv.AppendInt(dst, int64(n), 10)
	dst = append(dst, ".letters@sender.test>\r\nX-Row: "...)
	dst = append(dst, l.Row(n)...)
	dst = append(dst, "\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"...)
	return l.AppendBody(dst, n)
}
