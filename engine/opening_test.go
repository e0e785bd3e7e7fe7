package engine

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-mail/penstock/engine/hours"
	"github.com/penstock-mail/penstock/engine/ledger"
	"github.com/penstock-mail/penstock/engine/share"
)

// onlyOpenings is an engine that does nothing but hold and let go one run with
// the window.
func onlyOpenings(t *testing.T, c *ledger.Campaign, w hours.Window) (*Engine, *Run) {
	t.Helper()
	calendar, err := hours.New([]hours.Window{w})
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{now: time.Now, log: slog.New(slog.NewTextHandler(io.Discard, nil)), opening: make(chan struct{}, 1)}
	e.refusals = &lane{engine: e, site: &site{name: "(refused)", shares: share.New[*Run](batchSize)}}
	r := &Run{engine: e, campaign: c, calendar: calendar, goOn: make(chan struct{}, 1), finished: make(chan struct{})}
	r.closed.Store(!calendar.Open(e.now()))
	e.runs = []*Run{r}
	return e, r
}

// TestOpensByTheClockOnTheWall: over a week in which clocks go forward, and one
// in which they go back, the run opens and closes to the second.
func TestOpensByTheClockOnTheWall(t *testing.T) {
	sent, _ := newWorkbench(t).run(t, 1, 1, 1)
	for _, c := range []struct {
		name  string
		hours hours.Window
		from  string
		days  int
		want  []string
	}{
		{
			"forward", hours.Window{Zone: "Europe/Berlin", Days: hours.EveryDay, From: 120, To: 360}, "2026-03-28T00:00:00+01:00", 3,
			[]string{"28 02:00:00 open", "28 06:00:00 closed", "29 03:00:00 open", "29 06:00:00 closed", "30 02:00:00 open", "30 06:00:00 closed"},
		},
		{
			"back", hours.Window{Zone: "Europe/Berlin", Days: hours.EveryDay, From: 22 * 60, To: 150}, "2026-10-24T12:00:00+02:00", 2,
			[]string{"24 22:00:00 open", "25 02:30:00 closed", "25 02:00:00 open", "25 02:30:00 closed", "25 22:00:00 open", "26 02:30:00 closed"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from, err := time.Parse(time.RFC3339, c.from)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Until(from))
				e, r := onlyOpenings(t, sent.campaign, c.hours)
				berlin, err := hours.Zone(c.hours.Zone)
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); e.openings(ctx) }()
				var got []string
				was := r.closed.Load()
				for range c.days * 24 * 3600 {
					time.Sleep(time.Second)
					synctest.Wait()
					if is := r.closed.Load(); is != was {
						word := map[bool]string{true: "closed", false: "open"}[is]
						got, was = append(got, time.Now().In(berlin).Format("02 15:04:05 ")+word), is
					}
				}
				stop()
				<-done
				if !slices.Equal(got, c.want) {
					t.Errorf("got  %v\nwant %v", got, c.want)
				}
			})
		})
	}
}

// TestClockThatIsSet: a jump of the clock, forward or back, is noticed within
// half a minute, and what the calendar says then holds.
func TestClockThatIsSet(t *testing.T) {
	sent, _ := newWorkbench(t).run(t, 1, 1, 1)
	synctest.Test(t, func(t *testing.T) {
		var offset atomic.Int64
		e, r := onlyOpenings(t, sent.campaign, hours.Window{Zone: "UTC", Days: hours.EveryDay, From: 8 * 60, To: 20 * 60})
		e.now = func() time.Time { return time.Now().Round(0).Add(time.Duration(offset.Load())) }
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); e.openings(ctx) }()
		synctest.Wait()
		if !r.closed.Load() {
			t.Fatal("it is open at midnight")
		}
		for _, c := range []struct {
			to     time.Duration
			closed bool
		}{{12 * time.Hour, false}, {-2 * time.Hour, true}, {9 * time.Hour, false}, {365*24*time.Hour + 21*time.Hour, true}} {
			offset.Store(int64(c.to))
			time.Sleep(lookAgain)
			synctest.Wait()
			if r.closed.Load() != c.closed {
				t.Errorf("at midnight and %v: closed %v", c.to, r.closed.Load())
			}
		}
		stop()
		<-done
	})
}

// clock is time.Now, moved by hand.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// hour moves on to that hour of the day, UTC, at the same day or the next.
func (c *clock) hour(h int) {
	now := c.now().UTC()
	to := time.Date(now.Year(), now.Month(), now.Day(), h, 0, 0, 0, time.UTC)
	if to.Before(now) {
		to = to.AddDate(0, 0, 1)
	}
	c.ahead.Add(int64(to.Sub(now)))
}

// TestNothingBeginsOutsideOfTheWindow: it begins with the window, stops when that
// closes with nobody left leased, stays closed over a restart, and goes on to its
// end.
func TestNothingBeginsOutsideOfTheWindow(t *testing.T) {
	w := newWorld(t, "limits: {default: {connections: 2}}\n")
	clock := new(clock)
	w.tuning.now = clock.now
	w.serve("think: 1ms\n", "a.test", "b.test")
	e := w.open()
	clock.hour(7)
	all := people(600, "a.test")
	c := w.campaign("c", "windows: {zone: UTC, hours: \"08:00-20:00\"}\nexpire_after: 30d\n", all...)
	r := w.start(c)
	other := w.start(w.campaign("other", "", people(50, "b.test")...))
	w.finish(other) // nobody else waits
	if at, waits := r.Opens(); !waits || at.UTC().Hour() != 8 {
		t.Errorf("it opens at %v (%v)", at, waits)
	}
	if !r.Campaign().Totals().Started.IsZero() || w.mail.count() != 50 {
		t.Fatal("it began before its window")
	}
	clock.hour(8)
	e.lookAtHours()
	w.await("some are delivered", func() bool { return w.mail.count() > 70 })
	if at, waits := r.Opens(); waits {
		t.Errorf("it waits for %v while it is open", at)
	}
	clock.hour(20)
	e.lookAtHours()
	w.await("it is closed", r.closed.Load)
	before := w.mail.count()
	if n := w.quiet(r); n > before+2*16 {
		t.Errorf("%d arrived after the window closed, more than can have been on the wire", n-before)
	}
	if w.mail.count() == 650 {
		t.Fatal("all was sent before the window closed")
	}
	if s := e.ledger.Stats(); s.Leased != s.Settled+s.Returned {
		t.Errorf("%d leased, %d settled, %d returned", s.Leased, s.Settled, s.Returned)
	}
	frozen := w.mail.count()
	e = w.reopen()
	r = w.start(w.reread(c))
	if at, waits := r.Opens(); !waits || at.UTC().Hour() != 8 {
		t.Errorf("after a restart it opens at %v (%v)", at, waits)
	}
	if w.quiet(r); w.mail.count() != frozen {
		t.Errorf("%d arrived while it was closed", w.mail.count()-frozen)
	}
	clock.hour(8)
	e.lookAtHours()
	w.finish(r)
	w.once(append(all, people(50, "b.test")...)...)
}

// TestTimeRunsOnOutsideOfTheWindow: who waits behind a closed window expires
// there, and its retry does not hold the campaign up.
func TestTimeRunsOnOutsideOfTheWindow(t *testing.T) {
	w := newWorld(t, "")
	clock := new(clock)
	w.tuning.now = clock.now
	w.config.Retry.First, w.config.Retry.Max = time.Minute, time.Minute
	w.serve(`rules: [{at: rcpt, reply: "450 4.2.1 later"}]`, "a.test")
	e := w.open()
	clock.hour(19)
	r := w.start(w.campaign("c", "windows: {zone: UTC, hours: \"08:00-20:00\"}\nexpire_after: 6h\n", people(3, "a.test")...))
	w.await("all are deferred", func() bool { return w.report(r).Counts[ledger.Deferred] == 3 })
	clock.hour(21)
	e.lookAtHours()
	w.await("it is closed", r.closed.Load)
	clock.hour(7)
	e.expire(r)
	e.lookAtHours()
	for _, d := range destinations(e, r) {
		e.fire(d) // as the timetable does, which goes by the process's own clock
	}
	w.finish(r)
	w.has(r, "3 expired")
}

// destinations are a run's in all lanes.
func destinations(e *Engine, r *Run) (all []*destination) {
	e.timetable.mu.Lock()
	defer e.timetable.mu.Unlock()
	for _, d := range e.timetable.heap {
		if d.run == r {
			all = append(all, d)
		}
	}
	return all
}

func TestCheckWarnsOfWindowsClosedForLong(t *testing.T) {
	w := newWorld(t, "")
	w.config.Retry.Expire = 72 * time.Hour
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for more, want := range map[string]string{
		"expire_after: 72h\nwindows: {zone: Europe/Berlin, days: [mon..fri], hours: \"08:00-20:00\"}\n": "",
		"expire_after: 48h\nwindows: {zone: Europe/Berlin, days: [mon..fri], hours: \"08:00-20:00\"}\n": "closed for up to 61h",
		"windows: {zone: UTC, days: sun}\n": "closed for up to 6d",
		"":                                  "",
	} {
		problems := checkWindows(w.config, w.campaign("c", more, "u@a.test"), now)
		if err := problems.Err(); err != nil {
			t.Errorf("%s: %v", more, err)
		}
		if got := fmt.Sprint(problems); (want == "") != (len(problems) == 0) || !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", more, got, want)
		}
	}
}
