package main

import (
	"testing"
	"time"
)

func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("there", 2*3600)
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"now":                       now,
		"+90m":                      now.Add(90 * time.Minute),
		"-24h":                      now.AddDate(0, 0, -1),
		"2026-04-01":                time.Date(2026, 4, 1, 0, 0, 0, 0, zone),
		"2026-04-01 09:00":          time.Date(2026, 4, 1, 9, 0, 0, 0, zone),
		"2026-04-01T09:00":          time.Date(2026, 4, 1, 9, 0, 0, 0, zone),
		"2026-04-01 09:00:30":       time.Date(2026, 4, 1, 9, 0, 30, 0, zone),
		"2026-04-01T09:00:00Z":      time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC),
		"2026-04-01T09:00:00+05:00": time.Date(2026, 4, 1, 4, 0, 0, 0, time.UTC),
	} {
		if at, err := parseInstant(text, now); err != nil || !at.Equal(want) {
			t.Errorf("%q is %v (%v), want %v", text, at, err, want)
		}
	}
	for _, text := range []string{"", "soon", "+", "+2", "09:00", "2026-13-01", "2026-04-01T09"} {
		if at, err := parseInstant(text, now); err == nil {
			t.Errorf("%q is taken for %v", text, at)
		}
	}
}
