package document

import (
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// ParseDuration is time.ParseDuration with days ("3d", "1d12h") and without a
// sign: every setting is a span, none a difference.
func ParseDuration(s string) (time.Duration, bool) {
	if s == "0" {
		return 0, true
	}
	var days time.Duration
	if number, rest, found := strings.Cut(s, "d"); found {
		v, err := strconv.ParseFloat(number, 64)
		if err != nil || !(v >= 0 && v <= 36500) {
			return 0, false
		}
		days = time.Duration(v * float64(day))
		if rest == "" {
			return days, true
		}
		s = rest
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 || strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") || v > math.MaxInt64-days {
		return 0, false
	}
	return days + v, true
}

// FormatDuration writes what ParseDuration reads, without the zero units that
// time.Duration prints: 5m, not 5m0s; whole days from three on as days.
func FormatDuration(d time.Duration) string {
	if d >= 3*day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// sizeUnits from the largest: decimal as in the SI, binary with the i.
var sizeUnits = []struct {
	name   string
	octets int64
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9},
	{"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}, {"B", 1},
}

// ParseSize reads a number of octets: 64MB is 64,000,000, 64MiB 67,108,864. The
// letters' case does not matter, and B may be left out.
func ParseSize(s string) (int64, bool) {
	number := strings.TrimRightFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	unit := strings.ToUpper(strings.TrimSpace(s[len(number):]))
	octets := int64(0)
	for _, u := range sizeUnits {
		name := strings.ToUpper(u.name)
		if unit == name || unit == strings.TrimSuffix(name, "B") {
			octets = u.octets
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || octets == 0 || strings.Trim(number, "0123456789.") != "" || v*float64(octets) > 1<<60 {
		return 0, false
	}
	return int64(math.Round(v * float64(octets))), true
}

// FormatSize writes n with the largest unit that divides it.
func FormatSize(n int64) string {
	for _, u := range sizeUnits {
		if n != 0 && n%u.octets == 0 {
			return strconv.FormatInt(n/u.octets, 10) + u.name
		}
	}
	return "0"
}

// Rate is Count events per Per. The zero Rate was not given; "none" has an
// infinite Count.
type Rate struct {
	Count float64       `json:"count"`
	Per   time.Duration `json:"per"`
}

// rateUnits are the names that a rate's time goes by beside a time span.
var rateUnits = map[string]time.Duration{
	"s": time.Second, "sec": time.Second, "second": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute,
	"h": time.Hour, "hour": time.Hour, "d": day, "day": day,
}

// ParseRate reads count/time, such as 100/s, 5000/h or 10/30s, or "none". The
// count is above 0 and at most a thousand million, the time from 1ms to 31d.
func ParseRate(s string) (Rate, bool) {
	if s == "none" {
		return Rate{Count: math.Inf(1), Per: time.Second}, true
	}
	number, unit, found := strings.Cut(s, "/")
	count, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(number), "_", ""), 64)
	if !found || err != nil || !(count > 0 && count <= 1e9) {
		return Rate{}, false
	}
	unit = strings.TrimSpace(unit)
	per, known := rateUnits[unit]
	if !known {
		if per, known = ParseDuration(unit); !known || per < time.Millisecond || per > 31*day {
			return Rate{}, false
		}
	}
	return Rate{Count: count, Per: per}, true
}

// String writes what ParseRate reads; empty when not given.
func (r Rate) String() string {
	switch {
	case r.Per == 0:
		return ""
	case math.IsInf(r.Count, 1):
		return "none"
	}
	count := strconv.FormatFloat(r.Count, 'f', -1, 64)
	switch r.Per {
	case time.Second:
		return count + "/s"
	case time.Minute:
		return count + "/m"
	case time.Hour:
		return count + "/h"
	case day:
		return count + "/d"
	}
	return count + "/" + FormatDuration(r.Per)
}

// PerSecond is the rate as a number: 0 when not given, infinite without limit.
func (r Rate) PerSecond() float64 {
	if r.Per == 0 {
		return 0
	}
	return r.Count / r.Per.Seconds()
}
