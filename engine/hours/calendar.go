package hours

import (
	"fmt"
	"time"
)

// Calendar is some windows. A nil one is always open.
type Calendar struct{ windows []placed }

type placed struct {
	Window
	zone *time.Location
}

// New makes a calendar. Without windows it is nil. The error is an unknown zone,
// or a window that is never open.
func New(windows []Window) (*Calendar, error) {
	if len(windows) == 0 {
		return nil, nil
	}
	c := new(Calendar)
	for _, w := range windows {
		zone, err := Zone(w.Zone)
		if err != nil {
			return nil, fmt.Errorf("window %s: %w", w, err)
		}
		if w.Days&EveryDay == 0 || w.From < 0 || w.From >= WholeDay || w.To < 0 || w.To > WholeDay || w.From == w.To {
			return nil, fmt.Errorf("window %s is never open", w)
		}
		c.windows = append(c.windows, placed{w, zone})
	}
	return c, nil
}

// Open reports whether sending may go on at t.
func (c *Calendar) Open(t time.Time) bool {
	if c == nil {
		return true
	}
	for i := range c.windows {
		if c.windows[i].open(t) {
			return true
		}
	}
	return false
}

func (w *placed) open(t time.Time) bool {
	local := t.In(w.zone)
	today := local.Weekday()
	minute := 60*local.Hour() + local.Minute()
	if w.From < w.To {
		return w.Days.Has(today) && w.From <= minute && minute < w.To
	}
	return w.Days.Has(today) && w.From <= minute || w.Days.Has((today+6)%7) && minute < w.To
}

// Change is when the calendar opens next, or closes if it is open at t. ok is
// false when it never does.
func (c *Calendar) Change(t time.Time) (at time.Time, ok bool) {
	if c == nil {
		return time.Time{}, false
	}
	open := c.Open(t)
	// A week has every window once, but for one whose hours the clock leaves out:
	// that takes another week.
	for end := t.Add(15 * 24 * time.Hour); t.Before(end); {
		next := end
		for i := range c.windows {
			if b := c.windows[i].boundary(t); b.Before(next) {
				next = b
			}
		}
		if t = next; c.Open(t) != open {
			return t, true
		}
	}
	return time.Time{}, false
}

// boundary is the next moment after t at which the window may open or close: the
// clock shows its hours, or is set forward or back.
func (w *placed) boundary(t time.Time) time.Time {
	local := t.In(w.zone)
	// Whole seconds: boundaries lie on them, and what goes by wall clock has no
	// use for the rest.
	sinceMidnight := 3600*local.Hour() + 60*local.Minute() + local.Second()
	second := t.Truncate(0).Add(-time.Duration(t.Nanosecond()))
	next := second.Add(24 * time.Hour)
	for _, minute := range []int{0, w.From, w.To} {
		ahead := 60*minute - sinceMidnight
		if ahead <= 0 {
			ahead += 24 * 3600
		}
		if b := second.Add(time.Duration(ahead) * time.Second); b.Before(next) {
			next = b
		}
	}
	if _, change := local.ZoneBounds(); !change.IsZero() && change.Before(next) {
		next = change
	}
	return next
}

// LongestClosed is the longest time within a year from t over which the calendar
// is closed without a break.
func (c *Calendar) LongestClosed(t time.Time) (longest time.Duration) {
	if c == nil {
		return 0
	}
	for end := t.AddDate(1, 0, 0); t.Before(end); {
		next, ok := c.Change(t)
		if !ok {
			break
		}
		if !c.Open(t) {
			longest = max(longest, next.Sub(t))
		}
		t = next
	}
	return longest
}
