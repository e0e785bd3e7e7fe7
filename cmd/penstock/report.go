package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report is the JSON report as far as the table shows it; the README documents
// all of it.
type report struct {
	ID                string            `json:"id"`
	Loading           bool              `json:"loading"`
	Counts            counts            `json:"counts"`
	UncertainAttempts uint64            `json:"uncertain_attempts"`
	Anomalies         map[string]uint64 `json:"anomalies"`
	Rejects           map[string]uint64 `json:"rejects"`
	Sites             []struct {
		Site    string `json:"site"`
		Domains uint64 `json:"domains"`
		Counts  counts `json:"counts"`
		Trouble string `json:"trouble"`
	} `json:"sites"`
	Replies []struct {
		State        string `json:"state"`
		Code         int    `json:"code"`
		EnhancedCode string `json:"enhanced_code"`
		Text         string `json:"text"`
		Count        uint64 `json:"count"`
	} `json:"replies"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
}

type counts struct {
	Rows       uint64 `json:"rows"`
	Rejected   uint64 `json:"rejected"`
	Loaded     uint64 `json:"loaded"`
	Pending    uint64 `json:"pending"`
	Delivered  uint64 `json:"delivered"`
	Deferred   uint64 `json:"deferred"`
	Bounced    uint64 `json:"bounced"`
	Expired    uint64 `json:"expired"`
	Suppressed uint64 `json:"suppressed"`
	Cancelled  uint64 `json:"cancelled"`
	Uncertain  uint64 `json:"uncertain"`
}

// Rows of the table of sites and replies; JSON has them all.
const (
	reportSites   = 20
	reportReplies = 20
)

func printReport(w io.Writer, text []byte, format string) error {
	if format == "json" {
		return indented(w, text)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("read report: %w", err)
	}
	fmt.Fprintf(w, "Campaign %s\n\n", r.ID)
	if err := printTotals(w, &r); err != nil {
		return err
	}
	if err := printSites(w, &r); err != nil {
		return err
	}
	if err := printReplies(w, &r); err != nil {
		return err
	}
	if err := printCounted(w, "ROWS NOT LOADED", r.Rejects); err != nil {
		return err
	}
	return printCounted(w, "ANOMALIES", r.Anomalies)
}

func printTotals(w io.Writer, r *report) error {
	c := &r.Counts
	t := newTable(w).align("lrrl")
	more := ""
	if r.Loading {
		more = "so far: more are to come"
	}
	t.row("  rows read", count(c.Rows), "", more)
	t.row("  rejected", count(c.Rejected))
	t.row("  loaded", count(c.Loaded))
	for _, s := range states {
		if n := s.of(c); n > 0 || s.name == "delivered" {
			t.row("    "+s.name, count(n), share(n, c.Loaded), s.note)
		}
	}
	if r.UncertainAttempts > 0 {
		t.row("  uncertain attempts", count(r.UncertainAttempts), "", "ever, whatever became of the recipient")
	}
	if err := t.flush(); err != nil || r.Started.IsZero() {
		return err
	}
	fmt.Fprintf(w, "\n  started   %s\n", moment(r.Started))
	if r.Finished.IsZero() {
		return nil
	}
	fmt.Fprintf(w, "  finished  %s", moment(r.Finished))
	if took := r.Finished.Sub(r.Started); took > 0 {
		fmt.Fprintf(w, ", after %s: %s delivered a second", span(took), count(uint64(float64(c.Delivered)/took.Seconds())))
	}
	fmt.Fprintln(w)
	return nil
}

// states are a recipient's, in the order that they are printed.
var states = []struct {
	name, note string
	of         func(*counts) uint64
}{
	{"delivered", "", func(c *counts) uint64 { return c.Delivered }},
	{"deferred", "will be tried again", func(c *counts) uint64 { return c.Deferred }},
	{"bounced", "", func(c *counts) uint64 { return c.Bounced }},
	{"expired", "given up", func(c *counts) uint64 { return c.Expired }},
	{"suppressed", "never tried", func(c *counts) uint64 { return c.Suppressed }},
	{"cancelled", "", func(c *counts) uint64 { return c.Cancelled }},
	{"uncertain", "may have been sent", func(c *counts) uint64 { return c.Uncertain }},
	{"pending", "", func(c *counts) uint64 { return c.Pending }},
}

func printSites(w io.Writer, r *report) error {
	if len(r.Sites) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	// A state that nobody is in has no column.
	columns, shown, trouble := []string{"SITE", ">DOMAINS", ">LOADED"}, states[:0:0], false
	for _, s := range states {
		if s.of(&r.Counts) > 0 || s.name == "delivered" {
			columns, shown = append(columns, ">"+strings.ToUpper(s.name)), append(shown, s)
		}
	}
	for _, s := range r.Sites {
		trouble = trouble || s.Trouble != ""
	}
	if trouble {
		columns = append(columns, "TROUBLE")
	}
	t := newTable(w, columns...)
	for _, s := range r.Sites[:min(reportSites, len(r.Sites))] {
		name := s.Site
		if name == "" {
			name = "(not resolved)"
		}
		cells := []string{clip(name, 48), count(s.Domains), count(s.Counts.Loaded)}
		for _, state := range shown {
			cells = append(cells, count(state.of(&s.Counts)))
		}
		t.row(append(cells, clip(s.Trouble, 60))...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if more := len(r.Sites) - reportSites; more > 0 {
		fmt.Fprintf(w, "and %s more sites; --format json has them all\n", count(more))
	}
	return nil
}

func printReplies(w io.Writer, r *report) error {
	if len(r.Replies) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable(w, ">ATTEMPTS", "OUTCOME", "REPLY")
	for _, reply := range r.Replies[:min(reportReplies, len(r.Replies))] {
		t.row(count(reply.Count), reply.State, clip(replyLine(reply.Code, reply.EnhancedCode, reply.Text), 100))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if more := len(r.Replies) - reportReplies; more > 0 {
		fmt.Fprintf(w, "and %s more kinds of reply; --format json has them all\n", count(more))
	}
	return nil
}

// replyLine is a reply as it came: code, enhanced code, text; without a code the
// text alone.
func replyLine(code int, enhanced, text string) string {
	if code == 0 {
		return text
	}
	return strings.Join(strings.Fields(strconv.Itoa(code)+" "+enhanced+" "+text), " ")
}

// printCounted prints names by how often they occurred.
func printCounted(w io.Writer, title string, counted map[string]uint64) error {
	if len(counted) == 0 {
		return nil
	}
	names := slices.SortedFunc(maps.Keys(counted), func(a, b string) int {
		return cmp.Or(cmp.Compare(counted[b], counted[a]), cmp.Compare(a, b))
	})
	fmt.Fprintln(w)
	t := newTable(w, title, ">")
	for _, name := range names {
		t.row(name, count(counted[name]))
	}
	return t.flush()
}
