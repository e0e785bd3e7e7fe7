package hours

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for systems without a zone database
)

// Window is some hours on some days of the week in one place.
type Window struct {
	// Zone is the name of a time zone, such as Europe/Berlin (IANA).
	Zone string `json:"zone"`
	// Days it begins on.
	Days Days `json:"days"`
	// From and To are minutes since midnight, 0 to 1440. To is not part of it. A To
	// that is not behind From lies on the next day.
	From int `json:"from"`
	To   int `json:"to"`
}

// WholeDay is the end of a day in minutes.
const WholeDay = 24 * 60

// Most is how many windows a calendar may have.
const Most = 32

// Days is a set of days of the week: bit 0 is Sunday.
type Days uint8

// EveryDay is all of them.
const EveryDay Days = 1<<7 - 1

// Has reports whether a day is among them.
func (d Days) Has(day time.Weekday) bool { return d&(1<<day) != 0 }

// names are the days as a person writes them, from Monday.
var names = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// errDay says what days look like.
var errDay = errors.New("must be a day such as mon, or days such as mon..fri")

// ParseDays reads a day, such as mon, or a range of them, such as mon..fri or
// fri..mon.
func ParseDays(s string) (Days, error) {
	first, last, isRange := strings.Cut(s, "..")
	from, ok := dayNamed(first)
	to := from
	if isRange && ok {
		to, ok = dayNamed(last)
	}
	if !ok {
		return 0, errDay
	}
	var d Days
	for day := from; ; day = (day + 1) % 7 {
		d |= 1 << ((day + 1) % 7)
		if day == to {
			return d, nil
		}
	}
}

// dayNamed is the number of a day from Monday.
func dayNamed(s string) (day int, ok bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	for i, name := range names {
		if s == name {
			return i, true
		}
	}
	return 0, false
}

// String is the days as ParseDays reads them, with commas between.
func (d Days) String() string {
	var parts []string
	for i := 0; i < 7; {
		if !d.Has(time.Weekday((i + 1) % 7)) {
			i++
			continue
		}
		from := i
		for i < 7 && d.Has(time.Weekday((i+1)%7)) {
			i++
		}
		switch i - from {
		case 1:
			parts = append(parts, names[from])
		default:
			parts = append(parts, names[from]+".."+names[i-1])
		}
	}
	return strings.Join(parts, ",")
}

// Errors of ParseHours.
var (
	errHours = errors.New(`must be hours such as "08:00-20:00"`)
	errEmpty = errors.New(`is empty: for the whole day say "00:00-24:00", or leave hours out`)
)

// ParseHours reads hours such as 08:00-20:00 or, over midnight, 22:00-06:00.
func ParseHours(s string) (from, to int, err error) {
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		return 0, 0, errHours
	}
	from, ok = minuteOf(first)
	to, ok2 := minuteOf(last)
	switch {
	case !ok || !ok2 || from == WholeDay:
		return 0, 0, errHours
	case from == to:
		return 0, 0, errEmpty
	}
	return from, to, nil
}

// minuteOf reads the time of a day, 00:00 to 24:00.
func minuteOf(s string) (minute int, ok bool) {
	hour, rest, ok := strings.Cut(strings.TrimSpace(s), ":")
	if !ok || len(hour) < 1 || len(hour) > 2 || len(rest) != 2 {
		return 0, false
	}
	h, err := strconv.ParseUint(hour, 10, 8)
	if err != nil {
		return 0, false
	}
	m, err := strconv.ParseUint(rest, 10, 8)
	if err != nil || m > 59 || h > 24 || h == 24 && m > 0 {
		return 0, false
	}
	return int(60*h + m), true
}

// String is the window for people, such as "mon..fri 08:00-20:00 Europe/Berlin".
func (w Window) String() string {
	return fmt.Sprintf("%s %02d:%02d-%02d:%02d %s", w.Days, w.From/60, w.From%60, w.To/60, w.To%60, w.Zone)
}

// Zone finds a time zone by its name. "Local" and the empty name are none: they
// would mean something else on the next machine.
func Zone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is not a time zone; it must be a name such as Europe/Berlin, or UTC", name)
	}
	return zone, nil
}
