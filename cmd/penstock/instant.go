package main

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// instant is a flag that names a time. Its zero value was not given.
type instant struct {
	at   time.Time
	text string
}

// layouts are how a time may be written; without a zone it is this machine's.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly}

// Set implements pflag.Value.
func (i *instant) Set(text string) error {
	at, err := parseInstant(text, time.Now())
	if err != nil {
		return err
	}
	i.at, i.text = at, text
	return nil
}

// parseInstant reads a time, or one relative to now: +2h from now on, -30m ago.
func parseInstant(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	if text != "" && (text[0] == '+' || text[0] == '-') {
		d, err := parseDuration(text[1:])
		if err != nil {
			return time.Time{}, fmt.Errorf("want + or - and a duration, such as +90m or -3d")
		}
		if text[0] == '-' {
			d = -d
		}
		return now.Add(d), nil
	}
	for _, layout := range layouts {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("want a time such as 2026-04-01T09:00:00+02:00, 2026-04-01 09:00, +2h, -30m or now")
}

// String implements pflag.Value.
func (i *instant) String() string { return i.text }

// Type implements pflag.Value.
func (i *instant) Type() string { return "time" }

// stamp is nil when no time was given.
func (i *instant) stamp() *timestamppb.Timestamp {
	if i.text == "" {
		return nil
	}
	return timestamppb.New(i.at)
}
