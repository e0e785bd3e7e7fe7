package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// SocketName is the Unix socket's name within the data directory.
const SocketName = "penstock.sock"

// maxSocketPath is how long a Unix socket's address can be (sun_path of unix(7)
// has 108 octets, the last of them zero).
const maxSocketPath = 107

// reach calls use with a name of the directory's socket that is short enough to
// be an address: a longer one is named through the open directory. The name
// holds during the call only.
func reach[T any](dir string, use func(name string) (T, error)) (T, error) {
	path := filepath.Join(dir, SocketName)
	if len(path) <= maxSocketPath {
		return use(path)
	}
	folder, err := os.Open(dir)
	if err != nil {
		var none T
		return none, err
	}
	defer folder.Close()
	return use(fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), SocketName))
}

// Listen opens the Unix socket of a data directory, mode 0600. The caller holds
// the directory, so a socket that is there was left by a process that died.
func Listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove stale socket: %w", err)
	}
	l, err := reach(dir, func(name string) (*net.UnixListener, error) {
		return net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	})
	if err != nil {
		return nil, fmt.Errorf("listen on control socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // by its own path, below
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("protect control socket: %w", err)
	}
	return &socket{UnixListener: l, path: path}, nil
}

// socket removes itself from the directory when it is closed.
type socket struct {
	*net.UnixListener
	path string
}

func (s *socket) Close() error {
	err := s.UnixListener.Close()
	if errors.Is(err, net.ErrClosed) {
		return err // it was removed then
	}
	return errors.Join(err, os.Remove(s.path))
}

// dialSocket reaches the process that holds dir.
func dialSocket(ctx context.Context, dir string) (net.Conn, error) {
	return reach(dir, func(name string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", name)
	})
}

// Answers reports whether a process that holds dir takes calls.
func Answers(ctx context.Context, dir string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := dialSocket(ctx, dir)
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was said
	return true
}
