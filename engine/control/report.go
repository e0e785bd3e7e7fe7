package control

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/pool/smtp"
)

// The report in JSON, as the README documents it: numbers as numbers, zeros
// present, lists never null.

type reportJSON struct {
	ID                string            `json:"id"`
	Loading           bool              `json:"loading"`
	Counts            countsJSON        `json:"counts"`
	UncertainAttempts uint64            `json:"uncertain_attempts"`
	Rejects           map[string]uint64 `json:"rejects"`
	Sites             []siteJSON        `json:"sites"`
	Replies           []replyJSON       `json:"replies"`
	Anomalies         map[string]uint64 `json:"anomalies"`
	Created           time.Time         `json:"created"`
	Started           *time.Time        `json:"started"`
	Finished          *time.Time        `json:"finished"`
	Cancelled         *time.Time        `json:"cancelled"`
}

// countsJSON has Rows and Rejected for the campaign, stateCounts for both.
type countsJSON struct {
	Rows     uint64 `json:"rows"`
	Rejected uint64 `json:"rejected"`
	stateCounts
}

type stateCounts struct {
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

type siteJSON struct {
	Site    string      `json:"site"`
	Domains int         `json:"domains"`
	Counts  stateCounts `json:"counts"`
	// Trouble says why domains are held back as a whole, empty when none is.
	Trouble        string `json:"trouble"`
	TroubleDomains int    `json:"trouble_domains"`
}

type replyJSON struct {
	State        string `json:"state"`
	Code         int    `json:"code"`
	EnhancedCode string `json:"enhanced_code"`
	// Text has … for what differs within the group.
	Text    string `json:"text"`
	Example string `json:"example"`
	Count   uint64 `json:"count"`
}

func marshalReport(r *ledger.Report) ([]byte, error) {
	out := reportJSON{
		ID:                r.Name,
		Loading:           r.Streaming,
		Counts:            countsJSON{Rows: r.Rows, Rejected: r.Rejected, stateCounts: states(r.Counts)},
		UncertainAttempts: r.UncertainAttempts,
		Rejects:           map[string]uint64{},
		Sites:             make([]siteJSON, 0, len(r.Sites)),
		Replies:           make([]replyJSON, 0, len(r.Replies)),
		Anomalies:         map[string]uint64{},
		Created:           r.Created,
		Started:           set(r.Started),
		Finished:          set(r.Finished),
		Cancelled:         set(r.Cancelled),
	}
	for reason, n := range r.Rejects {
		out.Rejects[reason] = n
	}
	for anomaly, n := range r.Anomalies {
		out.Anomalies[anomalyName(anomaly)] = n
	}
	for _, s := range r.Sites {
		out.Sites = append(out.Sites, siteJSON{Site: s.Site, Domains: s.Domains, Counts: states(s.Counts), Trouble: s.Reason, TroubleDomains: s.Trouble})
	}
	for _, g := range r.Replies {
		out.Replies = append(out.Replies, replyJSON{
			State: g.State.String(), Code: g.Code, EnhancedCode: enhanced(g.Enhanced),
			Text: strings.ReplaceAll(g.Text, "\n", " "), Example: g.Example, Count: g.Count,
		})
	}
	return json.Marshal(out)
}

func states(c ledger.Counts) stateCounts {
	var loaded uint64
	for _, n := range c {
		loaded += n
	}
	return stateCounts{
		Loaded: loaded, Pending: c[ledger.Pending], Delivered: c[ledger.Delivered], Deferred: c[ledger.Deferred],
		Bounced: c[ledger.Bounced], Expired: c[ledger.Expired], Suppressed: c[ledger.Suppressed],
		Cancelled: c[ledger.Cancelled], Uncertain: c[ledger.Uncertain],
	}
}

// set is null in JSON for a time that has not come.
func set(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func enhanced(e [3]uint16) string { return smtp.EnhancedCode(e).String() }
