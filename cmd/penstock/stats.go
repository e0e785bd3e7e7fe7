package main

import (
	"runtime/debug"

	"github.com/penstock-mail/penstock/bench/stats"
	"github.com/penstock-mail/penstock/engine"
)

// usage measures what a send uses, for the benchmark harness.
type usage struct {
	path       string
	meter      *stats.Meter
	load, send stats.Phase
}

func (u *usage) begin() { u.meter = stats.Begin() }

// loaded ends the load's phase and begins the sending's.
func (u *usage) loaded() {
	u.load = u.meter.End()
	u.meter = stats.Begin()
}

func (u *usage) sent() { u.send = u.meter.End() }

// write leaves the figures in the file asked for, if one was.
func (u *usage) write(e *engine.Engine, recipients uint64) error {
	if u.path == "" {
		return nil
	}
	revision := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		revision = info.Main.Version
	}
	l := e.Ledger().Stats()
	s := stats.New("penstock", revision)
	s.Recipients, s.Sent = int64(recipients), int64(l.Settled)
	s.Load, s.Send = u.load, u.send
	s.Ledger = stats.Ledger{BytesWritten: int64(l.WrittenBytes), DiskBytes: int64(l.DiskBytes), Commits: int64(l.Commits), Syncs: int64(l.Commits)}
	return s.Write(u.path)
}
