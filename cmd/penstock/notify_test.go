package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/config"
	"github.com/penstock-mail/penstock/engine/control"
)

// TestServiceManagerIsTold that it serves, lives, and stops, on a socket like
// systemd's.
func TestServiceManagerIsTold(t *testing.T) {
	dir, err := os.MkdirTemp("", "penstock-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", manager.LocalAddr().String())
	t.Setenv("WATCHDOG_USEC", "30000") // 30 ms
	path := filepath.Join(dir, "penstock.yaml")
	if err := os.WriteFile(path, []byte("data: data\nhostname: a.test\nledger: {min_free: 0}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems := config.Load(path)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, &serving{config: cfg, log: slog.New(slog.NewTextHandler(io.Discard, nil)), lock: &control.Lock{}})
	}()
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1\nEXTEND_TIMEOUT_USEC="} {
		if strings.HasPrefix(want, "STOPPING") {
			stop()
		}
		for told := ""; !strings.HasPrefix(told, want); {
			buf := make([]byte, 200)
			if err := manager.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := manager.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			told = string(buf[:n])
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
