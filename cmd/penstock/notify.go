package main

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// What systemd is told of a service of Type=notify (sd_notify(3)). Elsewhere
// nothing is sent.

func tellService(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("the service manager was not told", "state", state, "error", err)
	}
}

// serviceReady: campaigns can be steered, and those that were unfinished go on.
func serviceReady(log *slog.Logger) { tellService(log, daemon.SdNotifyReady) }

// serviceReloads: the configuration is read again; serviceReady follows.
func serviceReloads(log *slog.Logger) { tellService(log, daemon.SdNotifyReloading) }

// serviceStops: it ends within so long.
func serviceStops(log *slog.Logger, within time.Duration) {
	tellService(log, daemon.SdNotifyStopping+"\nEXTEND_TIMEOUT_USEC="+strconv.FormatInt(within.Microseconds(), 10))
}

// keepWatched tells the watchdog, if there is one, that the process lives, each
// time that look returns, until ctx ends.
func keepWatched(ctx context.Context, log *slog.Logger, look func()) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("no watchdog", "error", err)
	}
	if every <= 0 {
		return
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		look()
		tellService(log, daemon.SdNotifyWatchdog)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
