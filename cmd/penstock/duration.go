package main

import (
	"errors"
	"time"

	"github.com/spf13/pflag"

	"github.com/penstock-mail/penstock/engine/document"
)

// duration is a flag that takes what configuration files do, such as 3d, and
// what Go does, such as 1h30m.
type duration struct{ d *time.Duration }

// durationVar is a flag of that kind; set's default is what *d is.
func durationVar(set *pflag.FlagSet, d *time.Duration, name, usage string) {
	set.Var(&duration{d}, name, usage)
}

func parseDuration(text string) (time.Duration, error) {
	if d, ok := document.ParseDuration(text); ok {
		return d, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	return 0, errors.New("want a duration such as 30s, 90m, 1h30m or 3d")
}

// Set implements pflag.Value.
func (d *duration) Set(text string) (err error) {
	*d.d, err = parseDuration(text)
	return err
}

// String implements pflag.Value.
func (d *duration) String() string {
	if d.d == nil || *d.d == 0 {
		return ""
	}
	return d.d.String()
}

// Type implements pflag.Value.
func (d *duration) Type() string { return "duration" }
