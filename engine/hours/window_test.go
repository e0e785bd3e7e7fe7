package hours

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func calendar(t interface {
	Helper()
	Fatal(...any)
}, windows ...Window) *Calendar {
	t.Helper()
	c, err := New(windows)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// window reads one as "mon..fri,sun 08:00-20:00".
func window(t *testing.T, zone, days, hours string) Window {
	t.Helper()
	w := Window{Zone: zone, Days: EveryDay, To: WholeDay}
	var err error
	if days != "" {
		if w.Days, err = ParseDays(days); err != nil {
			t.Fatal(err)
		}
	}
	if hours != "" {
		if w.From, w.To, err = ParseHours(hours); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func in(t *testing.T, zone, s string) time.Time {
	t.Helper()
	place, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation("2006-01-02 15:04:05", s, place)
	if err == nil {
		return at
	}
	if at, err = time.Parse(time.RFC3339, s); err != nil {
		t.Fatal(err)
	}
	return at
}

const berlin = "Europe/Berlin"

func TestOpenAndChange(t *testing.T) {
	t.Parallel()
	// 2026-03-02 is a Monday. In Berlin clocks go forward on 2026-03-29 at 02:00
	// and back on 2026-10-25 at 03:00.
	for _, c := range []struct {
		name, days, hours, at string
		open                  bool
		change                string // empty: never
	}{
		{"before", "mon..fri", "08:00-20:00", "2026-03-02 07:59:59", false, "2026-03-02 08:00:00"},
		{"at the beginning", "mon..fri", "08:00-20:00", "2026-03-02 08:00:00", true, "2026-03-02 20:00:00"},
		{"at the end", "mon..fri", "08:00-20:00", "2026-03-02 20:00:00", false, "2026-03-03 08:00:00"},
		{"over the weekend", "mon..fri", "08:00-20:00", "2026-03-06 20:00:00", false, "2026-03-09 08:00:00"},
		{"a range over Sunday", "sat..mon", "", "2026-03-06 12:00:00", false, "2026-03-07 00:00:00"},
		{"its days follow one another", "sat..mon", "", "2026-03-07 12:00:00", true, "2026-03-10 00:00:00"},
		{"always", "", "", "2026-03-07 12:00:00", true, ""},
		{"over midnight, evening", "fri", "22:00-06:00", "2026-03-06 23:00:00", true, "2026-03-07 06:00:00"},
		{"over midnight, morning", "fri", "22:00-06:00", "2026-03-07 05:59:59", true, "2026-03-07 06:00:00"},
		{"over midnight, the morning before", "fri", "22:00-06:00", "2026-03-06 05:00:00", false, "2026-03-06 22:00:00"},
		{"until midnight", "fri", "22:00-24:00", "2026-03-06 23:00:00", true, "2026-03-07 00:00:00"},
		{"until midnight, said as 00:00", "fri", "22:00-00:00", "2026-03-06 23:00:00", true, "2026-03-07 00:00:00"},
		{"a short night", "", "22:00-06:00", "2026-03-28 23:00:00", true, "2026-03-29 06:00:00"},
		{"a day of 23 hours", "", "08:00-20:00", "2026-03-28 21:00:00", false, "2026-03-29 08:00:00"},
		{"a day of 25 hours", "", "08:00-20:00", "2026-10-24 21:00:00", false, "2026-10-25 08:00:00"},
		{"hours that the day does not have", "", "02:00-03:00", "2026-03-28 12:00:00", false, "2026-03-30 02:00:00"},
		{"hours of which the day has the end", "", "02:30-03:30", "2026-03-29 01:00:00", false, "2026-03-29 03:00:00"},
		{"hours of which the day has the beginning", "", "01:30-02:30", "2026-03-29 01:45:00", true, "2026-03-29 03:00:00"},
		{"only on the day that lacks them", "sun", "02:00-03:00", "2026-03-28 12:00:00", false, "2026-04-05 02:00:00"},
		{"hours that the day has twice, first", "", "02:00-02:30", "2026-10-25T02:10:00+02:00", true, "2026-10-25T02:30:00+02:00"},
		{"hours that the day has twice, between", "", "02:00-02:30", "2026-10-25T02:40:00+02:00", false, "2026-10-25T02:00:00+01:00"},
		{"hours that the day has twice, again", "", "02:00-02:30", "2026-10-25T02:10:00+01:00", true, "2026-10-25T02:30:00+01:00"},
		{"an hour that is open twice without a break", "", "02:00-03:00", "2026-10-25T02:10:00+02:00", true, "2026-10-25T03:00:00+01:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cal := calendar(t, window(t, berlin, c.days, c.hours))
			at := in(t, berlin, c.at)
			if got := cal.Open(at); got != c.open {
				t.Errorf("open: %v, want %v", got, c.open)
			}
			change, ok := cal.Change(at)
			if ok != (c.change != "") {
				t.Fatalf("change: %v, %v", change, ok)
			}
			if ok && !change.Equal(in(t, berlin, c.change)) {
				t.Errorf("changes at %v, want %s", change.In(at.Location()), c.change)
			}
		})
	}
}

// TestSeveralWindows: they add up, each by its own clock.
func TestSeveralWindows(t *testing.T) {
	t.Parallel()
	cal := calendar(t, window(t, berlin, "mon..fri", "08:00-12:00"), window(t, berlin, "mon..fri", "12:00-13:00"), window(t, "America/New_York", "mon..fri", "09:00-10:00"))
	at := in(t, berlin, "2026-03-02 08:00:00")
	var changes []string
	for range 4 {
		at, _ = cal.Change(at)
		changes = append(changes, at.UTC().Format("Mon 15:04"))
	}
	want := []string{"Mon 12:00", "Mon 14:00", "Mon 15:00", "Tue 07:00"}
	for i := range want {
		if changes[i] != want[i] {
			t.Errorf("changes at %v, want %v", changes, want)
			break
		}
	}
	// From Friday 14:00 UTC to Monday 07:00 UTC, when clocks went back in Berlin and
	// not yet in New York.
	if got := cal.LongestClosed(at); got != 65*time.Hour {
		t.Errorf("closed for %v at the longest", got)
	}
	var none *Calendar
	if _, ok := none.Change(at); ok || !none.Open(at) || none.LongestClosed(at) != 0 {
		t.Error("without windows it is not always open")
	}
}

// TestChangeIsWhenOpenChanges compares with asking every minute, over a year of
// every kind of day, in zones whose clocks change by an hour, by half of one, and
// at midnight.
func TestChangeIsWhenOpenChanges(t *testing.T) {
	t.Parallel()
	zones := []string{berlin, "America/New_York", "Australia/Lord_Howe", "America/Asuncion", "UTC", "Asia/Kathmandu", "Africa/Cairo"}
	rapid.Check(t, func(t *rapid.T) {
		var all []Window
		for range rapid.IntRange(1, 3).Draw(t, "windows") {
			w := Window{
				Zone: rapid.SampledFrom(zones).Draw(t, "zone"),
				Days: Days(rapid.IntRange(1, int(EveryDay)).Draw(t, "days")),
				From: rapid.IntRange(0, WholeDay-1).Draw(t, "from"),
				To:   rapid.IntRange(0, WholeDay).Draw(t, "to"),
			}
			if w.From != w.To {
				all = append(all, w)
			}
		}
		cal := calendar(t, all...)
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 365*24*60).Draw(t, "minute"))*time.Minute + time.Duration(rapid.IntRange(0, 59_999).Draw(t, "ms"))*time.Millisecond)
		open := cal.Open(at)
		change, ok := cal.Change(at)
		if !ok {
			change = at.Add(14 * 24 * time.Hour)
		}
		for m := at.Truncate(time.Minute).Add(time.Minute); m.Before(change); m = m.Add(time.Minute) {
			if cal.Open(m) != open {
				t.Fatalf("%v: it changes at %v, not at %v", all, m, change)
			}
		}
		if ok && cal.Open(change) == open {
			t.Fatalf("%v: nothing changes at %v", all, change)
		}
	})
}

func TestParsing(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"mon": "mon", "mon..fri": "mon..fri", "Sat..Sun": "sat..sun", "fri..mon": "mon,fri..sun", "sun": "sun", " tue .. tue ": "tue",
	} {
		d, err := ParseDays(s)
		if err != nil || d.String() != want {
			t.Errorf("%q: %s (%v), want %s", s, d, err, want)
		}
	}
	for _, s := range []string{"", "monday", "mon..", "..fri", "mon-fri", "1..5", "mon..fri..sun"} {
		if d, err := ParseDays(s); err == nil {
			t.Errorf("%q: %s", s, d)
		}
	}
	for s, want := range map[string][2]int{"08:00-20:00": {480, 1200}, "8:30 - 9:05": {510, 545}, "00:00-24:00": {0, 1440}, "22:00-06:00": {1320, 360}} {
		from, to, err := ParseHours(s)
		if err != nil || from != want[0] || to != want[1] {
			t.Errorf("%q: %d to %d (%v), want %v", s, from, to, err, want)
		}
	}
	for _, s := range []string{"", "8-20", "08:00", "08:00-08:00", "24:00-06:00", "08:60-09:00", "08:00-24:01", "-1:00-02:00", "08:00-25:00", "08:000-09:00", "+8:00-09:00"} {
		if from, to, err := ParseHours(s); err == nil {
			t.Errorf("%q: %d to %d", s, from, to)
		}
	}
	for _, zone := range []string{"", "Local", "Europe/Atlantis", "../etc/passwd", "CEST"} {
		if _, err := Zone(zone); err == nil {
			t.Errorf("%q is a zone", zone)
		}
	}
	w := window(t, berlin, "mon..fri", "08:00-20:00")
	if got := w.String(); got != "mon..fri 08:00-20:00 Europe/Berlin" {
		t.Errorf("window: %s", got)
	}
	for _, w := range []Window{{Zone: "nowhere", Days: EveryDay, To: 1}, {Zone: "UTC", To: 1}, {Zone: "UTC", Days: EveryDay}} {
		if _, err := New([]Window{w}); err == nil {
			t.Errorf("%s is a window", w)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("mon..fri", "08:00-20:00")
	f.Add("sun..", "24:00-1:0")
	f.Fuzz(func(t *testing.T, days, hours string) {
		w := Window{Zone: "UTC", Days: EveryDay, To: WholeDay}
		var err error
		if w.Days, err = ParseDays(days); err != nil {
			return
		}
		if w.From, w.To, err = ParseHours(hours); err != nil {
			return
		}
		c, err := New([]Window{w})
		if err != nil {
			t.Fatalf("%q %q: %v", days, hours, err)
		}
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if _, ok := c.Change(at); !ok && !c.Open(at) {
			t.Fatalf("%s never opens", w)
		}
	})
}
