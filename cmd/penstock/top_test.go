package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/mattn/go-runewidth"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// somePicture is two campaigns and three sites.
func somePicture() *picture {
	at := time.Date(2026, 3, 20, 7, 0, 5, 0, time.UTC)
	forecast := func(pending uint64, left time.Duration, cause string) *pb.Forecast {
		return &pb.Forecast{Pending: pending, Rate: 12, FirstPass: timestamppb.New(at.Add(left)), Waits: []*pb.Wait{{Cause: cause, Share: 0.9}, {Cause: "disk", Share: 0.1}}}
	}
	return &picture{
		at:    at,
		total: forecast(900, 90*time.Second, "rate limit"),
		campaigns: []*pb.Campaign{
			{CampaignId: "spring", State: "sending", Counts: &pb.Counts{Loaded: 1000, Pending: 300}, Forecast: forecast(300, 30*time.Second, "rate limit")},
			{CampaignId: "autumn", State: "sending", Counts: &pb.Counts{Loaded: 1000, Pending: 600}, Forecast: forecast(600, 90*time.Second, "DNS")},
		},
		sites: []*pb.Site{
			{Site: "google", State: "sending", Pending: 700, Rate: 5, Connections: 3, ConnectionLimit: 20, Forecast: forecast(700, 90*time.Second, "rate limit"), LastReply: "421 4.7.0\nslowly"},
			{Site: "yahoo", State: "sending", Pending: 200, Rate: 9, Connections: 20, ConnectionLimit: 20, Forecast: forecast(200, 9*time.Second, "final answer")},
			{Site: "mx.example.test", State: "idle", ConnectionLimit: 20},
		},
	}
}

// sitting is a top that a test types at.
type sitting struct {
	*testing.T
	top   *top
	asked []question
	quit  bool
}

func sit(t *testing.T) *sitting {
	t.Helper()
	t.Parallel()
	s := &sitting{T: t}
	s.top = &top{
		look:   func() (*picture, error) { return somePicture(), nil },
		pauses: func(q question) error { s.asked = append(s.asked, q); return nil },
	}
	s.send(tea.WindowSizeMsg{Width: 160, Height: 20})
	s.send(s.top.Init()())
	return s
}

// send delivers a message, and what its command brings, but for the passing of
// time.
func (s *sitting) send(msg tea.Msg) {
	_, cmd := s.top.Update(msg)
	if _, picture := msg.(seen); picture || cmd == nil {
		return
	}
	switch next := cmd().(type) {
	case tea.QuitMsg:
		s.quit = true
	default:
		s.send(next)
	}
}

// types presses keys: runes, or names such as <tab>.
func (s *sitting) types(keys string) {
	codes := map[string]rune{"<tab>": tea.KeyTab, "<enter>": tea.KeyEnter, "<esc>": tea.KeyEscape, "<down>": tea.KeyDown, "<up>": tea.KeyUp, "<backspace>": tea.KeyBackspace}
	for keys != "" {
		if name, rest, ok := strings.Cut(keys, ">"); ok && keys[0] == '<' {
			s.send(tea.KeyPressMsg{Code: codes[name+">"]})
			keys = rest
			continue
		}
		r := []rune(keys)[0]
		s.send(tea.KeyPressMsg{Code: r, Text: string(r)})
		keys = keys[len(string(r)):]
	}
}

// screen is the picture without styles.
func (s *sitting) screen() string {
	text := strings.Join(s.top.frame(), "\n")
	for _, style := range []string{sgrStrong, sgrFaint, sgrReverse, sgrPlain} {
		text = strings.ReplaceAll(text, style, "")
	}
	return text
}

// shows fails unless the texts stand on the screen in this order.
func (s *sitting) shows(texts ...string) {
	s.Helper()
	screen, rest := s.screen(), s.screen()
	for _, text := range texts {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			s.Fatalf("%q is not there, or not in its place:\n%s", text, screen)
		}
		rest = after
	}
}

func TestTopShowsCampaignsAndSites(t *testing.T) {
	s := sit(t)
	s.shows("07:00:05 · penstock · 2 campaigns · 900 pending · 12/s · about 1m30s left", "waiting for rate limit 90 %, disk 10 %",
		"CAMPAIGN", "spring", "sending", "━━━━━━━───  70 %", "300", "30s", "rate limit 90 %", "autumn", "DNS 90 %", "order: start")
	s.types("<tab>")
	s.shows("SITE", "google", "3/20", "5/s", "700", "1m30s", "421 4.7.0 ⏎ slowly", "yahoo", "mx.example.test", "tab campaigns", "order: backlog")
	s.types("o")
	s.shows("yahoo", "google", "order: rate")
	s.types("/goo")
	s.shows("google", "filter: goo")
	if strings.Contains(s.screen(), "yahoo") {
		t.Errorf("yahoo is not filtered out:\n%s", s.screen())
	}
	s.types("<backspace><backspace><backspace>x<enter>")
	s.shows("mx.example.test", "/ filter: x")
	s.types("/zzz<enter>")
	s.shows("nothing has xzzz in its name")
	s.types("<esc>c")
	s.shows("spring")
	s.types("?")
	s.shows("pause or resume")
	s.types("q")
	s.shows("spring")
	if s.types("q"); !s.quit {
		t.Error("it goes on")
	}
}

func TestTopPausesAfterAQuestion(t *testing.T) {
	s := sit(t)
	s.types("<down>p")
	s.shows("pause campaign autumn? y: yes")
	s.types("n")
	s.shows("nothing was done")
	if len(s.asked) > 0 {
		t.Fatalf("done without a yes: %v", s.asked)
	}
	s.types("py")
	s.shows("done: pause campaign autumn")
	s.types("sry")
	s.shows("done: resume site google")
	if len(s.asked) != 2 || s.asked[0] != (question{campaign: "autumn", pause: true}) || s.asked[1] != (question{site: "google"}) {
		t.Errorf("done: %v", s.asked)
	}
	s.top.pauses = func(question) error { return errors.New("not paused by you") }
	s.types("ry")
	s.shows("resume site google: not paused by you")
	s.types("/zzz<enter>p") // there is nothing to pause
	if s.top.asked != nil {
		t.Errorf("asked: %v", s.top.asked)
	}
}

// TestTopOutlivesItsServer: it says that nobody answers, keeps the last picture,
// and shows the next one.
func TestTopOutlivesItsServer(t *testing.T) {
	s := sit(t)
	s.send(seen{err: errors.New("dial unix: no such file")})
	s.shows("does not answer since", "trying again: dial unix", "spring")
	s.types("<down><down><down><up>")
	s.send(seen{picture: somePicture()})
	s.shows("2 campaigns", "spring")
	never := &sitting{T: t, top: &top{width: 80, height: 24}}
	never.shows("asking ...")
	never.send(seen{err: errors.New("nobody")})
	never.shows("does not answer since", "nobody")
	never.types("<down>p") // there is nothing to choose
}

// TestTopFits: no line is wider than the screen, there are not more than it has,
// and the cursor is always on it.
func TestTopFits(t *testing.T) {
	s := sit(t)
	p := somePicture()
	for range 200 {
		p.sites = append(p.sites, &pb.Site{Site: strings.Repeat("long.", 20) + string(rune('a'+len(p.sites)%26)), State: "waiting"})
	}
	for _, size := range []struct{ width, height int }{{160, 50}, {80, 24}, {40, 8}, {12, 3}, {1, 1}} {
		s.send(tea.WindowSizeMsg{Width: size.width, Height: size.height})
		s.send(seen{picture: p})
		for _, keys := range []string{"c", "?", "?", "s", "<down>", "G", "p", "n", "g"} {
			s.types(keys)
			lines := strings.Split(s.screen(), "\n")
			if len(lines) > size.height {
				t.Errorf("%v after %s: %d lines", size, keys, len(lines))
			}
			for _, l := range lines {
				if runewidth.StringWidth(l) > size.width {
					t.Errorf("%v after %s: %q is too wide", size, keys, l)
				}
			}
			if on := strings.Join(s.top.frame(), "\n"); size.height > around && !s.top.help && !strings.Contains(on, sgrReverse) {
				t.Errorf("%v after %s: no cursor", size, keys)
			}
		}
	}
}

func TestTopOnPaper(t *testing.T) {
	t.Parallel()
	got := (&top{shown: somePicture()}).still()
	const want = `07:00:05 · penstock · 2 campaigns · 900 pending · 12/s · about 1m30s left
waiting for rate limit 90 %, disk 10 %

CAMPAIGN  STATE    DONE              LOADED  PENDING  DEFERRED  BOUNCED  RATE   LEFT  WAITING FOR
spring    sending  ━━━━━━━───  70 %   1,000      300         0        0  12/s    30s  rate limit 90 %, disk 10 %
autumn    sending  ━━━━──────  40 %   1,000      600         0        0  12/s  1m30s  DNS 90 %, disk 10 %

SITE             STATE    CONNS  RATE  LIMIT  PENDING  LATER  DEFERRALS   LEFT  WAITING FOR                   LAST REPLY
google           sending   3/20   5/s      -      700      0          -  1m30s  rate limit 90 %, disk 10 %    421 4.7.0 ⏎ slowly
yahoo            sending  20/20   9/s      -      200      0          -     9s  final answer 90 %, disk 10 %
mx.example.test  idle      0/20   0/s      -        0      0          -
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
