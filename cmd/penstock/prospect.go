package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/forecast"
)

// prospect is a forecast as people are shown it.
type prospect struct {
	pending, deferred, held uint64
	firstPass, from, to     time.Time // zero: not known
	waits                   []wait    // the largest share first
}

type wait struct {
	cause string
	share float64
}

func prospectOf(f *forecast.Forecast) prospect {
	p := prospect{pending: f.Pending, deferred: f.Deferred, held: f.Held, firstPass: f.FirstPass, from: f.FinalFrom, to: f.FinalTo}
	for _, s := range f.Waits.Shares() {
		p.waits = append(p.waits, wait{s.Cause.String(), s.Of})
	}
	return p
}

// prospectFrom is the same from the API; nil is one of nothing.
func prospectFrom(f *pb.Forecast) prospect {
	p := prospect{pending: f.GetPending(), deferred: f.GetDeferred(), held: f.GetHeld()}
	for _, at := range []struct {
		to   *time.Time
		from interface {
			IsValid() bool
			AsTime() time.Time
		}
	}{{&p.firstPass, f.GetFirstPass()}, {&p.from, f.GetFinalFrom()}, {&p.to, f.GetFinalTo()}} {
		if at.from.IsValid() {
			*at.to = at.from.AsTime()
		}
	}
	for _, w := range f.GetWaits() {
		p.waits = append(p.waits, wait{w.Cause, w.Share})
	}
	return p
}

// Waits that are named at most, and from what share on.
const (
	mostWaits  = 3
	leastShare = 0.05
)

// why is what is waited for: "rate limit 80 %, round trips 15 %". Empty: nothing
// was seen, or nothing is to be done.
func (p *prospect) why(most int) string {
	var parts []string
	for _, w := range p.waits {
		if len(parts) == most || w.share < leastShare {
			break
		}
		parts = append(parts, fmt.Sprintf("%s %.0f %%", w.cause, 100*w.share))
	}
	return strings.Join(parts, ", ")
}

// left is the time until the first pass is done; empty when nobody is pending, or
// it is not known, or no time worth telling.
func (p *prospect) left(now time.Time) string {
	if d := p.firstPass.Sub(now); p.pending > 0 && !p.firstPass.IsZero() && d >= time.Second {
		return brief(d)
	}
	return ""
}

// final is between when and when everybody is; empty when that is not known, or
// is the end of the first pass.
func (p *prospect) final(now time.Time) string {
	if p.from.IsZero() || p.deferred == 0 && !p.from.After(p.firstPass.Add(time.Second)) {
		return ""
	}
	from := brief(max(0, p.from.Sub(now)))
	if p.to.IsZero() {
		return from + " or later"
	}
	if to := brief(max(0, p.to.Sub(now))); to != from {
		return from + " to " + to
	}
	return from
}

// brief is a span in two units at most: 3d4h, 2h10m, 5m20s, 8s.
func brief(d time.Duration) string {
	unit := func(n time.Duration, name string) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf("%d%s", n, name)
	}
	const day = 24 * time.Hour
	switch {
	case d >= day:
		d = d.Round(time.Hour)
		return unit(d/day, "d") + unit(d%day/time.Hour, "h")
	case d >= time.Hour:
		d = d.Round(time.Minute)
		return unit(d/time.Hour, "h") + unit(d%time.Hour/time.Minute, "m")
	case d >= time.Minute:
		d = d.Round(time.Second)
		return unit(d/time.Minute, "m") + unit(d%time.Minute/time.Second, "s")
	}
	return fmt.Sprintf("%ds", d.Round(time.Second)/time.Second)
}

// printForecast writes when something will be done, and why not sooner; nothing
// where nothing is known.
func printForecast(w io.Writer, f *pb.Forecast, now time.Time) {
	p := prospectFrom(f)
	if left := p.left(now); left != "" {
		fmt.Fprintf(w, "first pass done in about %s\n", left)
	}
	if final := p.final(now); final != "" {
		fmt.Fprintf(w, "all final in %s\n", final)
	}
	if why := p.why(mostWaits); why != "" {
		fmt.Fprintf(w, "waiting for %s\n", why)
	}
}
