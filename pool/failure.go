package pool

import (
	"fmt"
	"strings"
)

// Error reads like "mx1.example [192.0.2.1]:25: RCPT: 421 4.7.0 too busy".
func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%v): %v: ", f.Host, f.Addr, f.Step)
	if f.Reply.Code != 0 {
		fmt.Fprintf(&b, "%d", f.Reply.Code)
		if e := f.Reply.Enhanced; e[0] != 0 {
			fmt.Fprintf(&b, " %d.%d.%d", e[0], e[1], e[2])
		}
		if f.Reply.Text != "" {
			b.WriteString(" " + strings.ReplaceAll(f.Reply.Text, "\n", " "))
		}
		return b.String()
	}
	if f.Err != nil {
		b.WriteString(f.Err.Error())
	}
	return b.String()
}

// Unwrap gives Err.
func (f *Failure) Unwrap() error { return f.Err }
