package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// display shows how sending goes until stop: live on a terminal, a line every
// few seconds elsewhere, nothing when quiet.
type display struct {
	stop func()
}

const (
	displaySites = 8
	barWidth     = 60
	liveEvery    = 200 * time.Millisecond
	linesEvery   = 5 * time.Second
	// rateOver is the time that the rate shown is measured over.
	rateOver = 5 * time.Second
)

// isTerminal reports whether f is one.
func isTerminal(f *os.File) bool { return cwriter.IsTerminal(int(f.Fd())) }

func newDisplay(out *os.File, e *engine.Engine, quiet bool) *display {
	switch {
	case quiet:
		return &display{stop: func() {}}
	case isTerminal(out):
		return live(out, e)
	default:
		return lines(out, e)
	}
}

// meter gives the rate over the last seconds.
type meter struct {
	at   []time.Time
	done []uint64
}

func (m *meter) add(now time.Time, done uint64) (perSecond float64) {
	m.at, m.done = append(m.at, now), append(m.done, done)
	for len(m.at) > 2 && now.Sub(m.at[1]) >= rateOver {
		m.at, m.done = m.at[1:], m.done[1:]
	}
	if d := now.Sub(m.at[0]); d > 0 {
		return float64(done-m.done[0]) / d.Seconds()
	}
	return 0
}

// settled is how many recipients have an outcome that is not "later".
func settled(loaded uint64, c ledger.Counts) uint64 {
	return loaded - c[ledger.Pending] - c[ledger.Deferred]
}

func lines(out io.Writer, e *engine.Engine) *display {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(linesEvery)
		defer tick.Stop()
		var m meter
		m.add(time.Now(), sum(e.Progress(0)))
		for {
			select {
			case <-stop:
				return
			case now := <-tick.C:
				p := e.Progress(0)
				rate, outlook := m.add(now, sum(p)), e.Outlook()
				for _, r := range p.Runs {
					f := outlook.Campaigns[r.Campaign]
					fmt.Fprintln(out, line(now, r, p, rate, prospectOf(&f)))
				}
			}
		}
	}()
	return &display{stop: func() { close(stop); <-done }}
}

func sum(p engine.Progress) (n uint64) {
	for _, r := range p.Runs {
		n += settled(r.Loaded, r.Counts)
	}
	return n
}

func line(now time.Time, r engine.RunProgress, p engine.Progress, rate float64, to prospect) string {
	done := settled(r.Loaded, r.Counts)
	parts := []string{
		fmt.Sprintf("%s of %s (%s)", count(done), count(r.Loaded), share(done, r.Loaded)),
		count(uint64(rate)) + "/s",
	}
	if r.Loading {
		parts = append(parts, "more is being loaded")
	}
	parts = append(parts, counted(r.Counts)...)
	parts = append(parts, fmt.Sprintf("%d connections", p.Pool.Connections))
	if left := to.left(now); left != "" {
		parts = append(parts, "about "+left+" left")
	}
	if why := to.why(1); why != "" {
		parts = append(parts, "waiting for "+why)
	}
	if len(r.Resting) > 0 {
		parts = append(parts, "RESTING (refused by policy): "+strings.Join(r.Resting, " "))
	}
	return now.Format("15:04:05") + " " + r.Campaign + ": " + strings.Join(parts, ", ")
}

// live draws a bar for each campaign, figures, and the busiest sites below.
// When it stops, bars and figures remain.
func live(out *os.File, e *engine.Engine) *display {
	progress := mpb.New(mpb.WithOutput(out), mpb.WithWidth(barWidth), mpb.WithRefreshRate(liveEvery))
	var below atomic.Pointer[[]string]
	var ended atomic.Bool
	style := mpb.BarStyle().Lbound("").Filler("━").Tip("━").Padding("─").Rbound("")
	first := e.Progress(0)
	bars := make([]*mpb.Bar, len(first.Runs))
	for i, r := range first.Runs {
		options := []mpb.BarOption{
			mpb.PrependDecorators(decor.Name(clip(r.Campaign, 30)+" ", decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.Percentage(decor.WC{W: 6})),
		}
		if i == len(first.Runs)-1 {
			options = append(options, mpb.BarExtender(mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
				_, height := terminalSize(out)
				return writeLines(w, below.Load(), st.AvailableWidth, height)
			}), false))
		}
		// A total of 0 leaves it open when the bar is complete: that is ours to say.
		bars[i] = progress.MustAdd(0, style.Build(), options...)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(liveEvery)
		defer tick.Stop()
		var m meter
		for !ended.Load() {
			select {
			case <-stop:
				ended.Store(true)
			case <-tick.C:
			}
			p := e.Progress(displaySites)
			rate := m.add(time.Now(), sum(p))
			width, _ := terminalSize(out)
			all := e.Outlook().All
			lines := figures(p, prospectOf(&all), rate, width-1)
			if !ended.Load() {
				lines = append(lines, siteRows(p, width)...)
			}
			below.Store(&lines)
			for i, r := range p.Runs[:min(len(bars), len(p.Runs))] {
				bars[i].SetTotal(int64(r.Loaded), false)
				bars[i].SetCurrent(int64(settled(r.Loaded, r.Counts)))
			}
		}
		for _, b := range bars {
			b.Abort(false) // whatever it shows stays
		}
		progress.Wait()
		fmt.Fprintln(out) // what comes next stands apart
	}()
	return &display{stop: func() { close(stop); <-done }}
}

// terminalSize is a usual one's where out does not tell.
func terminalSize(out *os.File) (width, height int) {
	width, height, err := cwriter.GetSize(int(out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// writeLines writes what fits on the terminal.
func writeLines(w io.Writer, lines *[]string, width, height int) error {
	if lines == nil {
		return nil
	}
	// One line is the bar's, one the cursor's.
	for _, line := range (*lines)[:min(len(*lines), max(1, height-2))] {
		// The last column stays free: a terminal may wrap when it is written to.
		if _, err := io.WriteString(w, clip(line, width-1)+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// flow joins parts into lines of at most a width.
func flow(parts []string, width int) (lines []string) {
	for _, part := range parts {
		if last := len(lines) - 1; last >= 0 {
			if longer := lines[last] + " · " + part; runewidth.StringWidth(longer) <= width {
				lines[last] = longer
				continue
			}
		}
		lines = append(lines, part)
	}
	return lines
}

// figures are what is known of all campaigns together.
func figures(p engine.Progress, to prospect, rate float64, width int) []string {
	var all ledger.Counts
	var loaded uint64
	for _, r := range p.Runs {
		loaded += r.Loaded
		for s, n := range r.Counts {
			all[s] += n
		}
	}
	parts := []string{fmt.Sprintf("%s of %s", count(settled(loaded, all)), count(loaded)), count(uint64(rate)) + "/s"}
	if left := to.left(p.At); left != "" {
		parts = append(parts, "about "+left+" left")
	}
	parts = append(parts, counted(all)...)
	lines := flow(parts, width)
	if why := to.why(mostWaits); why != "" {
		outlook := []string{"waiting for " + why}
		if final := to.final(p.At); final != "" {
			outlook = append(outlook, "all final in "+final)
		}
		lines = append(lines, flow(outlook, width)...)
	}
	for _, r := range p.Runs {
		if r.Loading {
			lines = append(lines, r.Campaign+": more is being loaded")
		}
		if len(r.Resting) > 0 {
			lines = append(lines, fmt.Sprintf("%s rests at %s: refused by policy", r.Campaign, strings.Join(r.Resting, ", ")))
		}
	}
	return lines
}

// counted names the outcomes that occurred.
func counted(c ledger.Counts) (parts []string) {
	for _, s := range []ledger.State{ledger.Delivered, ledger.Deferred, ledger.Bounced, ledger.Expired, ledger.Suppressed, ledger.Uncertain} {
		if n := c[s]; n > 0 || s == ledger.Delivered {
			parts = append(parts, s.String()+" "+count(n))
		}
	}
	return parts
}

// siteRows is the table below the bar, an empty line and its head first.
func siteRows(p engine.Progress, width int) []string {
	if len(p.Sites) == 0 {
		return nil
	}
	var b strings.Builder
	t := newTable(&b, "SITE", ">SENT", ">DEFERRED", ">BOUNCED", ">CONNS", "LAST REPLY")
	for _, s := range p.Sites {
		last := s.LastReply
		if s.Backoff != "" {
			last = "[" + s.Backoff + "] " + last
		}
		t.row(clip(s.Site, min(28, max(12, width/3))), count(s.Sent), count(s.Deferred), count(s.Bounced),
			fmt.Sprintf("%d/%d", s.Connections, s.ConnectionLimit), last)
	}
	_ = t.flush() // a strings.Builder takes everything
	return append([]string{""}, strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")...)
}
