package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/pool"
)

func someProgress() engine.Progress {
	var c ledger.Counts
	c[ledger.Pending], c[ledger.Delivered], c[ledger.Deferred], c[ledger.Bounced] = 300, 650, 40, 10
	return engine.Progress{
		At:   time.Date(2026, 3, 20, 7, 0, 5, 0, time.UTC),
		Runs: []engine.RunProgress{{Campaign: "spring", Loaded: 1000, Counts: c, Resting: []string{"yahoo"}}},
		Sites: []engine.SiteProgress{
			{Site: "google", Sent: 600, Connections: 20, ConnectionLimit: 20},
			{Site: "mx1.a-very-long-name.example.test", Sent: 50, Deferred: 40, Connections: 1, ConnectionLimit: 4,
				Backoff: "connections", LastReply: "421 4.7.0 Too many\nconnections"},
		},
		Pool: pool.Stats{Connections: 21},
	}
}

// someProspect goes with someProgress.
func someProspect() prospect {
	at := someProgress().At
	return prospect{
		pending: 300, deferred: 40, firstPass: at.Add(3 * time.Second), from: at.Add(15 * time.Minute), to: at.Add(130 * time.Minute),
		waits: []wait{{"rate limit", 0.8}, {"round trips", 0.17}, {"DNS", 0.03}},
	}
}

func TestLineOffTheTerminal(t *testing.T) {
	t.Parallel()
	p := someProgress()
	got := line(p.At, p.Runs[0], p, 100, someProspect())
	const want = "07:00:05 spring: 660 of 1,000 (66.0 %), 100/s, delivered 650, deferred 40, bounced 10, 21 connections, about 3s left, waiting for rate limit 80 %, RESTING (refused by policy): yahoo"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestDisplayFits: on a terminal of any size no line is wider than it, and there
// are not more lines than it has.
func TestDisplayFits(t *testing.T) {
	t.Parallel()
	p := someProgress()
	for _, size := range []struct{ width, height int }{{200, 50}, {80, 24}, {60, 10}, {40, 6}, {12, 3}, {1, 1}} {
		lines := append(figures(p, someProspect(), 100, size.width-1), siteRows(p, size.width)...)
		var b strings.Builder
		if err := writeLines(&b, &lines, size.width, size.height); err != nil {
			t.Fatal(err)
		}
		shown := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(shown) > max(1, size.height-2) {
			t.Errorf("%v: %d lines", size, len(shown))
		}
		for _, l := range shown {
			if runewidth.StringWidth(l) >= size.width {
				t.Errorf("%v: %q is too wide", size, l)
			}
		}
	}
}

func TestDisplayShowsSitesAndRests(t *testing.T) {
	t.Parallel()
	p := someProgress()
	got := strings.Join(append(figures(p, someProspect(), 100, 120), siteRows(p, 120)...), "\n")
	const want = `660 of 1,000 · 100/s · about 3s left · delivered 650 · deferred 40 · bounced 10
waiting for rate limit 80 %, round trips 17 % · all final in 15m to 2h10m
spring rests at yahoo: refused by policy

SITE                          SENT  DEFERRED  BOUNCED  CONNS  LAST REPLY
google                         600         0        0  20/20
mx1.a-very-long-name.exampl…    50        40        0    1/4  [connections] 421 4.7.0 Too many ⏎ connections`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestFiguresFlowOnNarrowTerminals(t *testing.T) {
	t.Parallel()
	got := flow([]string{"1 of 2", "delivered 1", "bounced 0", "expired 0"}, 22)
	want := []string{"1 of 2 · delivered 1", "bounced 0 · expired 0"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestRateIsOfTheLastSeconds: what was long ago does not count.
func TestRateIsOfTheLastSeconds(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 20, 7, 0, 0, 0, time.UTC)
	var m meter
	if rate := m.add(start, 0); rate != 0 {
		t.Errorf("%v/s out of nothing", rate)
	}
	done, rate := uint64(0), 0.0
	for s := range 60 {
		if done += 1000; s >= 30 {
			done -= 900
		}
		rate = m.add(start.Add(time.Duration(s+1)*time.Second), done)
	}
	if rate != 100 {
		t.Errorf("%v/s, though it has been 100 for 30 seconds", rate)
	}
	if len(m.at) > 10 {
		t.Errorf("%d samples are kept", len(m.at))
	}
}

func TestProspect(t *testing.T) {
	t.Parallel()
	now := someProgress().At
	at := now.Add(90 * time.Second)
	for _, c := range []struct {
		p                prospect
		left, final, why string
	}{
		{prospect{}, "", "", ""},
		{prospect{pending: 1, firstPass: at, from: at, to: at}, "1m30s", "", ""},
		{prospect{pending: 1, firstPass: now, from: now, to: now}, "", "", ""},
		{prospect{deferred: 1, firstPass: now, from: at, to: at}, "", "1m30s", ""},
		{prospect{deferred: 1, firstPass: now, from: at}, "", "1m30s or later", ""},
		{prospect{pending: 1, waits: []wait{{"paused", 1}}}, "", "", "paused 100 %"},
	} {
		if left, final, why := c.p.left(now), c.p.final(now), c.p.why(3); left != c.left || final != c.final || why != c.why {
			t.Errorf("%+v: %q, %q, %q", c.p, left, final, why)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", 90 * time.Second: "1m30s", 2 * time.Hour: "2h", 26 * time.Hour: "1d2h", 49*time.Hour + 40*time.Minute: "2d2h",
	} {
		if got := brief(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}
