package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// top is what a live view knows: the last picture, and what its user looks at. It
// is driven by messages alone (tea.Model), so a test feeds it keys and pictures.
type top struct {
	// look asks for a picture, pauses does what a question was answered with.
	look   func() (*picture, error)
	pauses func(question) error

	width, height int
	shown         *picture // nil: none has come yet
	lost          error    // why the last one did not come; nil: it did
	lostAt        time.Time

	onSites bool   // sites are shown, else campaigns
	orders  [2]int // by view: index in its orders
	filter  string
	typing  bool   // keys go to the filter
	chosen  string // the campaign or site at the cursor; empty: the first
	asked   *question
	help    bool
	said    string // what became of the last pause
}

// question is what is done once the user says yes.
type question struct {
	campaign, site string // one of them
	pause          bool
}

func (q question) String() string {
	verb, what := "resume", "campaign "+q.campaign
	if q.pause {
		verb = "pause"
	}
	if q.site != "" {
		what = "site " + q.site
	}
	return verb + " " + what
}

// Messages of top's own.
type (
	seen struct { // a picture, or why there is none
		picture *picture
		err     error
	}
	nextLook struct{}
	done     struct { // a pause or its end
		question
		err error
	}
)

// topEvery is how often a picture is asked for.
const topEvery = time.Second

// Init implements tea.Model.
func (t *top) Init() tea.Cmd { return t.ask() }

func (t *top) ask() tea.Cmd {
	return func() tea.Msg {
		p, err := t.look()
		return seen{p, err}
	}
}

// Update implements tea.Model.
func (t *top) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		t.width, t.height = m.Width, m.Height
	case seen:
		if t.lost == nil && m.err != nil {
			t.lostAt = time.Now()
		}
		if t.lost = m.err; m.err == nil {
			t.shown = m.picture
		}
		return t, tea.Tick(topEvery, func(time.Time) tea.Msg { return nextLook{} })
	case nextLook:
		return t, t.ask()
	case done:
		t.said = "done: " + m.String()
		if m.err != nil {
			t.said = m.String() + ": " + m.err.Error()
		}
	case tea.KeyPressMsg:
		return t, t.key(m)
	}
	return t, nil
}

// key does what a key stands for.
func (t *top) key(m tea.KeyPressMsg) tea.Cmd {
	name := m.String()
	if name == "ctrl+c" {
		return tea.Quit
	}
	t.said = ""
	switch {
	case t.asked != nil:
		q := *t.asked
		t.asked = nil
		if name != "y" {
			t.said = "nothing was done"
			return nil
		}
		return func() tea.Msg { return done{q, t.pauses(q)} }
	case t.typing:
		t.typed(name, m.Text)
		return nil
	case t.help:
		t.help = false
		return nil
	}
	switch name {
	case "q":
		return tea.Quit
	case "?", "h":
		t.help = true
	case "tab":
		t.turn(!t.onSites)
	case "c":
		t.turn(false)
	case "s":
		t.turn(true)
	case "o":
		n := &t.orders[t.page()]
		*n = (*n + 1) % len(topOrders[t.page()])
	case "/":
		t.typing = true
	case "esc":
		t.filter = ""
	case "up", "k":
		t.move(-1)
	case "down", "j":
		t.move(1)
	case "pgup":
		t.move(-t.room())
	case "pgdown":
		t.move(t.room())
	case "home", "g":
		t.move(-1 << 30)
	case "end", "G":
		t.move(1 << 30)
	case "p":
		t.question(true)
	case "r":
		t.question(false)
	}
	return nil
}

// typed takes a key into the filter.
func (t *top) typed(name, text string) {
	switch name {
	case "enter":
		t.typing = false
	case "esc":
		t.typing, t.filter = false, ""
	case "backspace":
		if runes := []rune(t.filter); len(runes) > 0 {
			t.filter = string(runes[:len(runes)-1])
		}
	default:
		t.filter += text
	}
}

func (t *top) turn(sites bool) {
	if t.onSites != sites {
		t.onSites, t.chosen = sites, ""
	}
}

// page is the view's place in what there is one of for each.
func (t *top) page() int {
	if t.onSites {
		return 1
	}
	return 0
}

// move moves the cursor, within the list.
func (t *top) move(by int) {
	names := t.names()
	if len(names) == 0 {
		return
	}
	t.chosen = names[min(max(0, t.cursor(names)+by), len(names)-1)]
}

// cursor is the place of what is chosen; the first when it is gone.
func (t *top) cursor(names []string) int { return max(0, slices.Index(names, t.chosen)) }

// question asks before it pauses or resumes what is at the cursor.
func (t *top) question(pause bool) {
	names := t.names()
	if len(names) == 0 {
		return
	}
	q := &question{pause: pause}
	if name := names[t.cursor(names)]; t.onSites {
		q.site = name
	} else {
		q.campaign = name
	}
	t.asked = q
}

// topOrders are what campaigns and sites are sorted by.
var topOrders = [2][]string{{"start", "pending", "rate", "end", "name"}, {"backlog", "rate", "connections", "deferrals", "name"}}

func (t *top) order() string { return topOrders[t.page()][t.orders[t.page()]] }

// campaigns are those that the filter lets through, in order.
func (t *top) campaigns() []*pb.Campaign {
	if t.shown == nil {
		return nil
	}
	all := slices.DeleteFunc(slices.Clone(t.shown.campaigns), func(c *pb.Campaign) bool { return !strings.Contains(c.CampaignId, t.filter) })
	end := func(c *pb.Campaign) int64 { return c.GetForecast().GetFirstPass().GetSeconds() }
	slices.SortStableFunc(all, func(a, b *pb.Campaign) int {
		switch t.order() {
		case "pending":
			return cmp.Compare(b.Counts.GetPending(), a.Counts.GetPending())
		case "rate":
			return cmp.Compare(b.GetForecast().GetRate(), a.GetForecast().GetRate())
		case "end":
			return cmp.Compare(end(b), end(a))
		case "name":
			return cmp.Compare(a.CampaignId, b.CampaignId)
		}
		return 0 // as they come
	})
	return all
}

// sites are those that the filter lets through, in order.
func (t *top) sites() []*pb.Site {
	if t.shown == nil {
		return nil
	}
	all := slices.DeleteFunc(slices.Clone(t.shown.sites), func(s *pb.Site) bool { return !strings.Contains(s.Site, t.filter) })
	slices.SortStableFunc(all, func(a, b *pb.Site) int {
		switch t.order() {
		case "rate":
			return cmp.Compare(b.Rate, a.Rate)
		case "connections":
			return cmp.Compare(b.Connections, a.Connections)
		case "deferrals":
			return cmp.Compare(b.DeferralShare, a.DeferralShare)
		case "name":
			return cmp.Compare(a.Site, b.Site)
		}
		return 0 // as they come
	})
	return all
}

// names are the rows' keys, in order.
func (t *top) names() (names []string) {
	if t.onSites {
		for _, s := range t.sites() {
			names = append(names, s.Site)
		}
		return names
	}
	for _, c := range t.campaigns() {
		names = append(names, c.CampaignId)
	}
	return names
}
