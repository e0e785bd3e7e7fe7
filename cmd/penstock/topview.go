package main

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/mattn/go-runewidth"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// How top looks: two lines of what matters over all, a table with a cursor, a line
// of keys. Nothing moves that did not change.

// Styles, as SGR sequences (ECMA-48 8.3.117).
const (
	sgrStrong  = "\x1b[1m"
	sgrFaint   = "\x1b[2m"
	sgrReverse = "\x1b[7m"
	sgrPlain   = "\x1b[0m"
)

// around is the lines that are no rows: two of sums, an empty one, the table's
// head, an empty one, and the keys.
const around = 6

// room is how many rows fit.
func (t *top) room() int { return max(1, t.height-around) }

// View implements tea.Model.
func (t *top) View() tea.View {
	v := tea.NewView(strings.Join(t.frame(), "\n"))
	v.AltScreen, v.WindowTitle = true, "penstock top"
	return v
}

// frame is the screen's lines, none wider than it, and not more than it has.
func (t *top) frame() []string {
	if t.width <= 0 || t.height <= 0 {
		return nil
	}
	lines := []string{t.styled(sgrStrong, t.headline()), t.styled(sgrFaint, t.subline()), ""}
	switch {
	case t.help:
		for _, l := range topHelp {
			lines = append(lines, t.styled("", l))
		}
	case t.shown == nil && t.lost == nil:
		lines = append(lines, t.styled("", "asking ..."))
	case t.shown != nil:
		lines = append(lines, t.rows()...)
	}
	for len(lines) < t.height-1 {
		lines = append(lines, "")
	}
	lines = lines[:max(0, t.height-1)]
	return append(lines, t.styled(sgrFaint, t.footline()))
}

// styled is a line cut to the screen's width.
func (t *top) styled(style, line string) string {
	if line = clip(oneLine.Replace(line), t.width); style != "" && line != "" {
		return style + line + sgrPlain
	}
	return line
}

func (t *top) headline() string {
	var parts []string
	if t.lost != nil {
		return fmt.Sprintf("penstock does not answer since %s; trying again: %v", t.lostAt.Format("15:04:05"), t.lost)
	}
	if p := t.shown; p != nil {
		to := prospectFrom(p.total)
		parts = append(parts, p.at.Format("15:04:05"))
		if t.roomy() {
			parts = append(parts, "penstock", numbered(len(p.campaigns), "campaign"))
		}
		parts = append(parts, count(to.pending)+" pending")
		if to.deferred > 0 {
			parts = append(parts, count(to.deferred)+" deferred")
		}
		parts = append(parts, rounded(p.total.GetRate())+"/s")
		if left := to.left(p.at); left != "" {
			parts = append(parts, "about "+left+" left")
		}
	}
	return strings.Join(parts, " · ")
}

func (t *top) subline() string {
	if t.shown == nil {
		return ""
	}
	to := prospectFrom(t.shown.total)
	var parts []string
	most := mostWaits
	if !t.roomy() {
		most--
	}
	if why := to.why(most); why != "" {
		parts = append(parts, "waiting for "+why)
	}
	if final := to.final(t.shown.at); final != "" {
		parts = append(parts, "all final in "+final)
	}
	return strings.Join(parts, " · ")
}

func (t *top) footline() string {
	switch {
	case t.asked != nil:
		return t.asked.String() + "? y: yes, any other key: no"
	case t.typing:
		return "filter: " + t.filter + "▏ enter: keep, esc: drop"
	case t.said != "":
		return t.said
	}
	other := "tab sites"
	if t.onSites {
		other = "tab campaigns"
	}
	keys := []string{other, "o order: " + t.order(), "/ filter", "p pause", "r resume", "? help", "q quit"}
	if t.filter != "" {
		keys[2] = "/ filter: " + t.filter
	}
	return strings.Join(keys, "   ")
}

var topHelp = []string{
	"  ↑ ↓  k j         move the cursor; page up and down, home and end",
	"  tab  c  s        campaigns or sites",
	"  o                sort by something else",
	"  /                only those with a text in their name; esc shows all",
	"  p  r             pause or resume what is at the cursor, after a question",
	"  q  ctrl+c        end",
	"",
	"  LEFT is until everybody was tried once. What is waited for are shares of",
	"  the last seconds; penstock top --help explains each.",
}

// rows is the table, with the cursor's line in reverse.
func (t *top) rows() []string {
	lines, names := t.table(), t.names()
	if len(names) == 0 {
		what := "nothing is to be sent"
		if t.filter != "" {
			what = "nothing has " + t.filter + " in its name"
		}
		return []string{t.styled("", what)}
	}
	at := t.cursor(names)
	// The page that the cursor is on.
	from := at / t.room() * t.room()
	to := min(len(names), from+t.room())
	shown := []string{t.styled(sgrFaint, lines[0])}
	for i, line := range lines[1+from : 1+to] {
		style := ""
		if from+i == at {
			style = sgrReverse
			line = clip(line, t.width)
			line += strings.Repeat(" ", max(0, t.width-runewidth.StringWidth(line)))
		}
		shown = append(shown, t.styled(style, line))
	}
	return shown
}

// table is the head and all rows of what is looked at.
func (t *top) table() []string {
	var b strings.Builder
	if t.onSites {
		t.siteTable(&b)
	} else {
		t.campaignTable(&b)
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// wide is from where on a screen has room for all columns.
const wide = 110

// roomy: there is room for everything; paper has no width.
func (t *top) roomy() bool { return t.width == 0 || t.width >= wide }

func (t *top) campaignTable(b *strings.Builder) {
	all := t.roomy()
	columns := []string{"CAMPAIGN", "STATE", ">DONE", ">PENDING", ">RATE", ">LEFT", "WAITING FOR"}
	if all {
		columns = []string{"CAMPAIGN", "STATE", "DONE", ">LOADED", ">PENDING", ">DEFERRED", ">BOUNCED", ">RATE", ">LEFT", "WAITING FOR"}
	}
	table := newTable(b, columns...)
	for _, c := range t.campaigns() {
		n, to := c.Counts, prospectFrom(c.Forecast)
		done := n.GetLoaded() - n.GetPending() - n.GetDeferred()
		rate := rounded(c.GetForecast().GetRate()) + "/s"
		left := to.left(t.shown.at)
		if all {
			table.row(clip(c.CampaignId, 32), c.State, gauge(done, n.GetLoaded()), count(n.GetLoaded()), count(n.GetPending()), count(n.GetDeferred()), count(n.GetBounced()), rate, left, to.why(mostWaits))
		} else {
			table.row(clip(c.CampaignId, 20), c.State, fmt.Sprintf("%d %%", done*100/max(n.GetLoaded(), 1)), count(n.GetPending()), rate, left, to.why(1))
		}
	}
	_ = table.flush() // a strings.Builder takes everything
}

func (t *top) siteTable(b *strings.Builder) {
	all := t.roomy()
	columns := []string{"SITE", "STATE", ">CONNS", ">RATE", ">PENDING", ">LEFT", "WAITING FOR"}
	if all {
		columns = []string{"SITE", "STATE", ">CONNS", ">RATE", ">LIMIT", ">PENDING", ">LATER", ">DEFERRALS", ">LEFT", "WAITING FOR", "LAST REPLY"}
	}
	table := newTable(b, columns...)
	for _, s := range t.sites() {
		to := prospectFrom(s.Forecast)
		rate, left := rounded(s.Rate)+"/s", to.left(t.shown.at)
		if all {
			table.row(clip(s.Site, 32), topState(s), connections(s), rate, perSecond(s.MessageRate), count(s.Pending), count(s.Waiting), percent(s.DeferralShare), left, to.why(2), s.LastReply)
		} else {
			table.row(clip(s.Site, 20), topState(s), connections(s), rate, count(s.Pending), left, to.why(1))
		}
	}
	_ = table.flush() // a strings.Builder takes everything
}

// topState is a site's state in a word.
func topState(s *pb.Site) string {
	if len(s.Pauses) > 0 {
		return "paused"
	}
	return s.State
}

// rounded writes a rate without digits that would only flicker.
func rounded(rate float64) string {
	if rate < 10 {
		return decimal(float64(int(rate*10+0.5)) / 10)
	}
	return count(uint64(rate + 0.5))
}

// gaugeWidth is a gauge's, without its figure.
const gaugeWidth = 10

// gauge draws a part of a whole.
func gauge(part, whole uint64) string {
	if whole == 0 {
		return ""
	}
	full := int(part * gaugeWidth / whole)
	return strings.Repeat("━", full) + strings.Repeat("─", gaugeWidth-full) + fmt.Sprintf(" %3d %%", part*100/whole)
}

// still is one picture for paper: everything, without a cursor.
func (t *top) still() string {
	lines := []string{t.headline()}
	if sub := t.subline(); sub != "" {
		lines = append(lines, sub)
	}
	for _, sites := range []bool{false, true} {
		t.onSites = sites
		if len(t.names()) > 0 {
			lines = append(append(lines, ""), t.table()...)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}
