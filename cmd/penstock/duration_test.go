package main

import (
	"testing"
	"time"
)

func TestDurationsAreReadAsFilesHaveThem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want time.Duration
	}{
		{"30s", 30 * time.Second}, {"3d", 72 * time.Hour}, {"1h30m", 90 * time.Minute}, {"-5m", -5 * time.Minute},
	} {
		var got time.Duration
		if err := (&duration{&got}).Set(c.text); err != nil || got != c.want {
			t.Errorf("%s is %v, %v; want %v", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "soon", "3", "d", "1e9h"} {
		var got time.Duration
		if err := (&duration{&got}).Set(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
