package engine

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/penstock-mail/penstock/engine/campaign"
	"github.com/penstock-mail/penstock/engine/compose"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/hours"
	"github.com/penstock-mail/penstock/engine/problem"
	"github.com/penstock-mail/penstock/engine/signature"
)

// Check finds what is wrong with a campaign beyond what its file says: its
// templates are compiled against the columns of its recipients, its keys are
// loaded, its suppression lists read. What comes from standard input is not
// known before it is read, so its columns are not checked.
func Check(cfg *config.Config, c *campaign.Campaign) problem.List {
	problems := CheckMessage(cfg, c)
	_, found := campaign.ReadSuppression(slices.Concat(cfg.Suppress, c.Settings.Suppress)...)
	return append(problems, found...)
}

// CheckMessage is Check without the suppression lists.
func CheckMessage(cfg *config.Config, c *campaign.Campaign) problem.List {
	columns, problems := knownColumns(c)
	template, found := compose.Compile(&c.Content, compose.Options{Campaign: c.ID, Columns: columns})
	problems = append(problems, found...)
	if template != nil {
		_, found = signature.Set(signaturesFor(cfg, c.Settings.DKIM, template))
		problems = append(problems, found...)
	}
	return append(problems, checkWindows(cfg, c, time.Now())...)
}

// checkWindows warns of windows that are closed for longer than a recipient may
// wait: who is deferred when they close expires before they open.
func checkWindows(cfg *config.Config, c *campaign.Campaign, now time.Time) (problems problem.List) {
	calendar, err := hours.New(c.Settings.Windows)
	if err != nil {
		problems.Add(c.Path, 0, 0, "windows", "%v", err)
		return problems
	}
	expire := c.Settings.ExpireAfter
	if expire == 0 {
		expire = cfg.Retry.Expire
	}
	if closed := calendar.LongestClosed(now); closed >= expire {
		problems.Warn(c.Path, 0, 0, "windows", "are closed for up to %s at a time, and expire_after is %s: who is deferred when they close may expire before they open",
			document.FormatDuration(closed), document.FormatDuration(expire))
	}
	return problems
}

// knownColumns are the recipients' columns; nil where they are not known before
// all rows are read: standard input, and JSON lines, which have no header.
func knownColumns(c *campaign.Campaign) ([]string, problem.List) {
	if slices.ContainsFunc(c.Recipients, func(f campaign.File) bool { return !f.Regular }) {
		return nil, nil
	}
	rows, err := campaign.Open(c, nil)
	var problems problem.List
	if err != nil {
		if !errors.As(err, &problems) {
			problems.Add(c.Path, 0, 0, "recipients", "%v", err)
		}
		return nil, problems
	}
	defer rows.Close()
	if rows.Grows() {
		return nil, rows.Warnings()
	}
	return rows.Columns(), rows.Warnings()
}

// RowReport is what Check found in the recipient files.
type RowReport struct {
	Rows uint64
	// Rejects counts rows that would not be loaded, by reason; Uncomposed those
	// whose message cannot be composed. Examples are the first of them.
	Rejects    map[campaign.Reason]uint64
	Uncomposed uint64
	Examples   []problem.Problem
}

// maxExamples is how many rows a check names one by one.
const maxExamples = 20

// CheckRows reads every recipient and composes each one's message, sending
// nothing.
func CheckRows(ctx context.Context, c *campaign.Campaign, stdin io.Reader) (*RowReport, error) {
	rows, err := campaign.Open(c, stdin)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	report := &RowReport{Rejects: make(map[campaign.Reason]uint64)}
	example := func(file string, line int, field, format string, args ...any) {
		if len(report.Examples) < maxExamples {
			var l problem.List
			l.Warn(file, line, 0, field, format, args...)
			report.Examples = append(report.Examples, l...)
		}
	}
	var composer *compose.Composer
	columns := -1
	var message compose.Message
	for {
		row, reject, err := rows.Next()
		switch {
		case errors.Is(err, io.EOF):
			report.Rows = rows.Rows()
			return report, nil
		case err != nil:
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case reject != nil:
			report.Rejects[reject.Reason]++
			whose := ""
			if reject.Address != "" {
				whose = strconv.Quote(reject.Address) + " "
			}
			example(reject.File, reject.Line, string(reject.Reason), "%s%s", whose, reject.Detail)
			continue
		}
		if n := len(rows.Columns()); n != columns {
			template, problems := compose.Compile(&c.Content, compose.Options{Campaign: c.ID, Columns: rows.Columns(), Secret: make([]byte, 32)})
			if err := problems.Err(); err != nil && !rows.Grows() {
				return nil, err
			}
			composer, columns = nil, n
			if template != nil {
				composer = template.NewComposer()
			}
		}
		if composer == nil {
			report.Uncomposed++
			continue
		}
		if err := composer.Compose(&message, &compose.Recipient{Seq: row.Seq, Local: row.Local, Domain: row.Domain, Fields: row.Fields}, compose.Caps{EightBitMIME: true, SMTPUTF8: true}); err != nil {
			report.Uncomposed++
			example(row.File, row.Line, "", "%v", err)
		}
	}
}
