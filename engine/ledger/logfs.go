package ledger

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logFS is the file system as Pebble sees it. When a write to the log fails,
// Pebble panics with locks in a state that ends the process without a word. So
// the failure is told here, and the goroutine that met it goes no further, as
// with pebbleLog.Fatalf.
type logFS struct {
	vfs.FS
	giveUp func(error) // does not return
}

func (l *Ledger) logFS() vfs.FS {
	return &logFS{l.fs, func(err error) {
		l.writer.fail(err)
		select {}
	}}
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

func (f *logFS) Unwrap() vfs.FS { return f.FS }

func (f *logFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	return f.wrap(name, file, err)
}

func (f *logFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(from, to, category)
	return f.wrap(to, file, err)
}

func (f *logFS) wrap(name string, file vfs.File, err error) (vfs.File, error) {
	if !isLog(name) {
		return file, err
	}
	if err != nil {
		f.giveUp(err)
	}
	return logFile{file, f.giveUp}, nil
}

// OpenDir: the folder is synced for each new log.
func (f *logFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return logFile{file, f.giveUp}, nil
}

type logFile struct {
	vfs.File
	giveUp func(error)
}

func (f logFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.check(err)
	return n, err
}

func (f logFile) Sync() error     { return f.check(f.File.Sync()) }
func (f logFile) SyncData() error { return f.check(f.File.SyncData()) }
func (f logFile) Close() error    { return f.check(f.File.Close()) }

func (f logFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.check(err)
}

func (f logFile) check(err error) error {
	if err != nil {
		f.giveUp(err)
	}
	return err
}
