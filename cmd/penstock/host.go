package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/penstock-mail/penstock/engine"
	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/control"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
)

// host is the process of `penstock serve` as it can be asked about itself; it
// implements control.Process.
type host struct {
	*serving
	engine *engine.Engine
	door   *control.Door
	server *control.Server
	// drain is closed when the process is to end.
	drain    chan struct{}
	draining sync.Once

	mu       sync.Mutex         // held during a reload: one at a time
	settings []config.Effective // guarded by mu: what is in force
	tls      config.ServeTLS    // guarded by mu: what the door has
	within   time.Duration      // guarded by mu: how long a drain may take
}

func newHost(s *serving, e *engine.Engine) *host {
	return &host{
		serving: s, engine: e, door: control.NewDoor(s.lock), drain: make(chan struct{}),
		settings: s.config.Effective(), tls: s.config.Serve.TLS, within: s.config.SMTP.Drain,
	}
}

// Settings implements control.Process.
func (d *host) Settings() []config.Effective {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settings
}

// Reload implements control.Process. Everything is read before anything is put in
// force.
func (d *host) Reload(ctx context.Context) (*control.Reloaded, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	serviceReloads(d.log)
	defer serviceReady(d.log)
	next, problems := d.read()
	if err := problems.Err(); err != nil {
		return nil, err
	}
	lists, found := d.engine.PrepareReload(next)
	problems = append(problems, found...)
	lock, err := control.ReadLock(next.Serve)
	if err != nil {
		problems.Add(next.File, next.Origin("serve.tls.cert").Line, 0, "", "%v", err)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	// A listener begins with TLS or without, and stays so.
	sameDoor := (next.Serve.TLS.Cert == "") == (d.tls.Cert == "")
	live := func(key string) bool {
		return d.engine.Reloads(key) || key == "log.level" || key == "smtp.drain" ||
			sameDoor && (strings.HasPrefix(key, "serve.tls.") || strings.HasPrefix(key, "serve.clients."))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := lists.Apply(); err != nil {
		return nil, err
	}
	done := &control.Reloaded{Warnings: problems, Reread: []string{"suppression lists: " + numberedEntries(lists.Suppressed())}}
	if sameDoor {
		d.tls = next.Serve.TLS
		d.door.Change(lock)
		d.server.Reconsider()
		if until := lock.Until(); !until.IsZero() {
			done.Reread = append(done.Reread, "certificate "+next.Serve.TLS.Cert+": good until "+until.UTC().Format(time.RFC3339))
		}
	}
	d.within = next.SMTP.Drain
	var level slog.Level
	if err := level.UnmarshalText([]byte(next.Log.Level)); err == nil { // always: it was checked when it was read
		d.level.Set(level)
	}
	for _, c := range config.Compare(d.settings, next.Effective()) {
		if live(c.Key) {
			done.Applied = append(done.Applied, c)
		} else {
			done.Restart = append(done.Restart, c)
		}
	}
	d.settings = config.Merge(d.settings, next.Effective(), live)
	return done, nil
}

func numberedEntries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return count(n) + " entries"
}

// Drain implements control.Process.
func (d *host) Drain(ctx context.Context, within *time.Duration) error {
	d.draining.Do(func() {
		if within != nil {
			d.mu.Lock()
			d.within = *within
			d.mu.Unlock()
		}
		close(d.drain)
	})
	select {
	case <-d.engine.Drains():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drainTime is how long a drain may take.
func (d *host) drainTime() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.within
}

// hearHangups has SIGHUP no longer end the process.
func hearHangups() chan os.Signal {
	hangups := make(chan os.Signal, 1) // one more while one is heeded is enough
	signal.Notify(hangups, syscall.SIGHUP)
	return hangups
}

// heedHangups reloads at each SIGHUP until ctx ends: over the socket, so that it
// is in the audit log like any other reload.
func (d *host) heedHangups(ctx context.Context, hangups chan os.Signal) {
	defer signal.Stop(hangups)
	for {
		select {
		case <-hangups:
			d.reload(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (d *host) reload(ctx context.Context) {
	c := control.Dial(d.config.Data)
	defer c.Close()
	res, err := c.Reload(ctx, &pb.ReloadRequest{})
	if err != nil {
		d.log.Error("nothing was reloaded", "error", control.Cause(err))
		return
	}
	for _, w := range res.Warnings {
		d.log.Warn(w)
	}
	for _, c := range res.Restart {
		d.log.Warn("this setting needs a restart", "key", c.Key, "is", c.Was, "configured", c.Is)
	}
	for _, c := range res.Applied {
		d.log.Info("setting changed", "key", c.Key, "was", c.Was, "is", c.Is)
	}
	d.log.Info("reloaded", "read", fmt.Sprint(res.Reread))
}

var _ control.Process = (*host)(nil)
