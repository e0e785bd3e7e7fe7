package bounce

import (
	"strings"
	"time"
)

// Bounds of a server's hint: below, it says nothing; above, the schedule of
// retries knows better than to wait so long.
const (
	MinHint = time.Second
	MaxHint = 4 * time.Hour
)

// hintWords must stand before the number, so that "wrote 300 seconds ago" or a
// reference that ends in "4 h" is no hint.
var hintWords = [...]string{
	"try again", "try later", "retry", "try after", "come back", "wait", "resend",
	"greylist", "graylist", "deferred for", "blocked for", "again in", "available in",
}

// parseHint finds "try again in 300 seconds", "retry after 5 minutes", "wait
// 1h", "come back in 00:04:30" and the like, and gives 0 when there is none.
// text is in lower case.
func parseHint(text string) time.Duration {
	start := -1
	for _, w := range hintWords {
		if i := strings.Index(text, w); i >= 0 && (start < 0 || i < start) {
			start = i
		}
	}
	if start < 0 {
		return 0
	}
	// The hint is in the same breath as its words.
	text = text[start:min(len(text), start+80)]
	for i := 0; i < len(text); i++ {
		if !digit(text[i]) {
			continue
		}
		if i > 0 && (letter(text[i-1]) || text[i-1] == '.' || text[i-1] == '-' || text[i-1] == '#') {
			// Part of a reference or an address.
			for i < len(text) && text[i] != ' ' {
				i++
			}
			continue
		}
		if d, ok := clock(text[i:]); ok {
			return bound(d)
		}
		d, length := amount(text[i:])
		if d > 0 {
			// "1 hour 30 minutes", "4m50s".
			if more, _ := amount(strings.TrimLeft(text[i+length:], " ,")); more > 0 && more < d {
				d += more
			}
			return bound(d)
		}
		for i < len(text) && text[i] != ' ' {
			i++
		}
	}
	return 0
}

func bound(d time.Duration) time.Duration { return min(max(d, MinHint), MaxHint) }

// amount reads a number and its unit at the start of s, and how long they are.
func amount(s string) (d time.Duration, length int) {
	n, i := 0, 0
	for i < len(s) && digit(s[i]) {
		if n = n*10 + int(s[i]-'0'); n > 1e6 {
			return 0, 0
		}
		i++
	}
	if i == 0 {
		return 0, 0
	}
	for i < len(s) && (s[i] == ' ' || s[i] == '-') {
		i++
	}
	from := i
	for i < len(s) && letter(s[i]) {
		i++
	}
	switch s[from:i] {
	case "s", "sec", "secs", "second", "seconds":
		return time.Duration(n) * time.Second, i
	case "m", "min", "mins", "minute", "minutes":
		return time.Duration(n) * time.Minute, i
	case "h", "hr", "hrs", "hour", "hours":
		return time.Duration(n) * time.Hour, i
	}
	return 0, 0
}

// clock reads "00:04:30".
func clock(s string) (time.Duration, bool) {
	if len(s) < 8 || s[2] != ':' || s[5] != ':' || (len(s) > 8 && digit(s[8])) {
		return 0, false
	}
	var parts [3]int
	for i := range parts {
		a, b := s[3*i], s[3*i+1]
		if !digit(a) || !digit(b) {
			return 0, false
		}
		parts[i] = int(a-'0')*10 + int(b-'0')
	}
	if parts[1] > 59 || parts[2] > 59 {
		return 0, false
	}
	return time.Duration(parts[0])*time.Hour + time.Duration(parts[1])*time.Minute + time.Duration(parts[2])*time.Second, true
}

func digit(c byte) bool  { return '0' <= c && c <= '9' }
func letter(c byte) bool { return 'a' <= c && c <= 'z' }
