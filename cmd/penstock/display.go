package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

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

// left is a guess at the time until the first pass is done; 0: none.
func left(c ledger.Counts, rate float64) time.Duration {
	if rate < 0.5 || c[ledger.Pending] == 0 {
		return 0
	}
	return time.Duration(float64(c[ledger.Pending]) / rate * float64(time.Second))
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
				rate := m.add(now, sum(p))
				for _, r := range p.Runs {
					fmt.Fprintln(out, line(now, r, p, rate))
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

func line(now time.Time, r engine.RunProgress, p engine.Progress, rate float64) string {
	var b strings.Builder
	done := settled(r.Loaded, r.Counts)
	fmt.Fprintf(&b, "%s %s: %s of %s (%s), %s/s, delivered %s", now.Format("15:04:05"), r.Campaign,
		count(done), count(r.Loaded), share(done, r.Loaded), count(uint64(rate)), count(r.Counts[ledger.Delivered]))
	for _, s := range []ledger.State{ledger.Deferred, ledger.Bounced, ledger.Expired, ledger.Suppressed, ledger.Uncertain} {
		if n := r.Counts[s]; n > 0 {
			fmt.Fprintf(&b, ", %s %s", s, count(n))
		}
	}
	fmt.Fprintf(&b, ", %d connections", p.Pool.Connections)
	if d := left(r.Counts, rate); d > 0 {
		fmt.Fprintf(&b, ", %s left", span(d))
	}
	if len(r.Resting) > 0 {
		fmt.Fprintf(&b, ", RESTING (refused by policy): %s", strings.Join(r.Resting, " "))
	}
	return b.String()
}

// live draws an overall bar and the busiest sites below it.
func live(out *os.File, e *engine.Engine) *display {
	progress := mpb.New(mpb.WithOutput(out), mpb.WithWidth(40), mpb.WithRefreshRate(liveEvery))
	var head, foot atomic.Pointer[string]
	bar := progress.AddBar(1,
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return text(&head) })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return text(&foot) })),
	)
	var rows [displaySites + 1]atomic.Pointer[string]
	for i := range rows {
		row := &rows[i]
		progress.MustAdd(0, mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
			_, err := io.WriteString(w, clip(text(row), st.AvailableWidth))
			return err
		}))
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(liveEvery)
		defer tick.Stop()
		var m meter
		for ended := false; !ended; {
			select {
			case <-stop:
				ended = true
			case <-tick.C:
			}
			p := e.Progress(displaySites)
			rate := m.add(time.Now(), sum(p))
			for _, r := range p.Runs {
				h := r.Campaign + " "
				f := fmt.Sprintf(" %s of %s  %s/s", count(settled(r.Loaded, r.Counts)), count(r.Loaded), count(uint64(rate)))
				if d := left(r.Counts, rate); d > 0 {
					f += "  " + span(d) + " left"
				}
				head.Store(&h)
				foot.Store(&f)
				bar.SetTotal(int64(r.Loaded), false)
				bar.SetCurrent(int64(settled(r.Loaded, r.Counts)))
			}
			for i, s := range siteRows(p) {
				rows[i].Store(&s)
			}
		}
		progress.Shutdown()
	}()
	return &display{stop: func() { close(stop); <-done }}
}

// siteRows is the table below the bar, its header first.
func siteRows(p engine.Progress) []string {
	rows := []string{fmt.Sprintf("%-28s %10s %9s %9s %9s  %s", "SITE", "SENT", "DEFERRED", "BOUNCED", "CONNS", "LAST REPLY")}
	for _, s := range p.Sites {
		conns := fmt.Sprintf("%d/%d", s.Connections, s.ConnectionLimit)
		last := s.LastReply
		if s.Backoff != "" {
			last = "[" + s.Backoff + "] " + last
		}
		rows = append(rows, fmt.Sprintf("%-28s %10s %9s %9s %9s  %s", clip(s.Site, 28), count(s.Sent), count(s.Deferred), count(s.Bounced), conns, strings.ReplaceAll(last, "\n", " ")))
	}
	return rows
}

func text(p *atomic.Pointer[string]) string {
	if s := p.Load(); s != nil {
		return *s
	}
	return ""
}

// clip cuts s to a width in characters.
func clip(s string, width int) string {
	runes := []rune(s)
	if len(runes) <= width {
		return s
	}
	return string(runes[:max(0, width-1)]) + "…"
}
