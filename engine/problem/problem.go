// Package problem is how Penstock tells a person what is wrong with their
// files: every mistake at once, each with file, line and field.
package problem

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake, or one warning, in a file that a person wrote.
type Problem struct {
	// File as the person named it; empty when none is concerned.
	File string
	// Line and Column count from 1; 0 is unknown.
	Line, Column int
	// Field is the setting concerned, such as "list_unsubscribe.url".
	Field string
	// Message says what is wrong and, where it can, what would be right.
	Message string
	// Warning: worth a look, but nothing that stops a campaign.
	Warning bool
}

// Error reads like a compiler's: file:line:column: field: message.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
			if p.Column > 0 {
				fmt.Fprintf(&b, ":%d", p.Column)
			}
		}
		b.WriteString(": ")
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Field != "" {
		b.WriteString(p.Field)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// List is the problems of one check. It is an error when it holds a mistake;
// use Err, since a List of warnings alone is none.
type List []Problem

// Add appends a mistake.
func (l *List) Add(file string, line, column int, field, format string, args ...any) {
	*l = append(*l, Problem{File: file, Line: line, Column: column, Field: field, Message: fmt.Sprintf(format, args...)})
}

// Warn appends a warning.
func (l *List) Warn(file string, line, column int, field, format string, args ...any) {
	l.Add(file, line, column, field, format, args...)
	(*l)[len(*l)-1].Warning = true
}

// Err returns the list, sorted by place, if it holds at least one mistake.
func (l List) Err() error {
	if !slices.ContainsFunc(l, func(p Problem) bool { return !p.Warning }) {
		return nil
	}
	l.Sort()
	return l
}

// Sort orders by file, line and column; problems of one place keep their order.
func (l List) Sort() {
	slices.SortStableFunc(l, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// Error is one problem a line.
func (l List) Error() string {
	lines := make([]string, len(l))
	for i, p := range l {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}
