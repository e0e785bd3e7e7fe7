package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
)

// report is the JSON report as far as the table shows it; the README documents
// all of it.
type report struct {
	ID                string            `json:"id"`
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
		State string `json:"state"`
		Code  int    `json:"code"`
		Text  string `json:"text"`
		Count uint64 `json:"count"`
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
	t := newTable(w)
	t.row("  rows read", count(c.Rows))
	t.row("  rejected", count(c.Rejected))
	t.row("  loaded", count(c.Loaded))
	for _, line := range []struct {
		name string
		n    uint64
		note string
	}{
		{"delivered", c.Delivered, ""},
		{"deferred", c.Deferred, "will be tried again"},
		{"bounced", c.Bounced, ""},
		{"expired", c.Expired, ""},
		{"suppressed", c.Suppressed, "never tried"},
		{"cancelled", c.Cancelled, ""},
		{"uncertain", c.Uncertain, "may have been sent"},
		{"pending", c.Pending, ""},
	} {
		if line.n > 0 || line.name == "delivered" {
			t.row("    "+line.name, count(line.n), share(line.n, c.Loaded), line.note)
		}
	}
	if r.UncertainAttempts > 0 {
		t.row("  uncertain attempts", count(r.UncertainAttempts), "", "ever, whatever became of the recipient")
	}
	t.row("  started", moment(r.Started))
	if !r.Finished.IsZero() {
		took := r.Finished.Sub(r.Started)
		t.row("  finished", moment(r.Finished))
		t.row("  took", span(took))
		if took > 0 {
			t.row("  rate", count(uint64(float64(c.Delivered)/took.Seconds()))+"/s")
		}
	}
	return t.flush()
}

func printSites(w io.Writer, r *report) error {
	if len(r.Sites) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable(w, "SITE", "DOMAINS", "LOADED", "DELIVERED", "DEFERRED", "BOUNCED", "EXPIRED", "UNCERTAIN", "PENDING", "TROUBLE")
	for _, s := range r.Sites[:min(reportSites, len(r.Sites))] {
		c := &s.Counts
		name := s.Site
		if name == "" {
			name = "(not resolved)"
		}
		t.row(clip(name, 48), count(s.Domains), count(c.Loaded), count(c.Delivered), count(c.Deferred), count(c.Bounced),
			count(c.Expired), count(c.Uncertain), count(c.Pending), clip(s.Trouble, 60))
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
	t := newTable(w, "REPLIES", "STATE", "CODE", "TEXT")
	for _, reply := range r.Replies[:min(reportReplies, len(r.Replies))] {
		code := ""
		if reply.Code != 0 {
			code = strconv.Itoa(reply.Code)
		}
		t.row(count(reply.Count), reply.State, code, clip(reply.Text, 100))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if more := len(r.Replies) - reportReplies; more > 0 {
		fmt.Fprintf(w, "and %s more kinds of reply; --format json has them all\n", count(more))
	}
	return nil
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
	t := newTable(w, title, "")
	for _, name := range names {
		t.row(name, count(counted[name]))
	}
	return t.flush()
}
