package wire

import (
	"context"
	"fmt"
	"log/slog"
)

// logger bridges gnet's logging to slog. gnet keeps a process-wide default
// logger, which the newest client replaces; ours says nothing unless asked to.
type logger struct{ to *slog.Logger }

func (l logger) Debugf(format string, args ...any) { l.log(slog.LevelDebug, format, args) }

// Infof is debug to us: gnet informs about its own start and stop.
func (l logger) Infof(format string, args ...any)  { l.log(slog.LevelDebug, format, args) }
func (l logger) Warnf(format string, args ...any)  { l.log(slog.LevelWarn, format, args) }
func (l logger) Errorf(format string, args ...any) { l.log(slog.LevelError, format, args) }

// Fatalf does not end the process: that is not a transport's decision.
func (l logger) Fatalf(format string, args ...any) { l.log(slog.LevelError, format, args) }

func (l logger) log(level slog.Level, format string, args []any) {
	if l.to == nil || !l.to.Enabled(context.Background(), level) {
		return
	}
	l.to.Log(context.Background(), level, fmt.Sprintf(format, args...), slog.String("from", "gnet"))
}
