package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// The audit log's name within the data directory, and its bounds: audit.log,
// and behind it audit.log.1 to audit.log.9, the oldest last.
const (
	LogName     = "audit.log"
	LogFileSize = 16 << 20
	LogFiles    = 10
)

// Change is one change, as it was asked for and as it ended.
type Change struct {
	// ID rises from one change to the next.
	ID     uint64
	At     time.Time
	Caller Caller
	// Method is its full name, such as penstock.v1.SiteService/PauseSite.
	Method string
	// Request is a summary as a JSON object; empty: none could be made.
	Request json.RawMessage
	// Result is "ok" or a code such as not_found; empty while it is not known, and
	// for ever if the process ended first.
	Result string
	// Message is what the caller was told when it was not ok.
	Message string
	Took    time.Duration
}

// line is one line of the file: how a change began, or how it ended.
type line struct {
	ID      uint64          `json:"id"`
	Time    time.Time       `json:"time"`
	Event   string          `json:"event"` // asked, done
	Who     string          `json:"who,omitempty"`
	Role    string          `json:"role,omitempty"`
	Via     Via             `json:"via,omitempty"`
	Peer    string          `json:"peer,omitempty"`
	Method  string          `json:"method,omitempty"`
	Request json.RawMessage `json:"request,omitempty"`
	Result  string          `json:"result,omitempty"`
	Message string          `json:"message,omitempty"`
	// Took is in seconds.
	Took float64 `json:"took,omitempty"`
}

const (
	asked = "asked"
	done  = "done"
)

// Log is the audit log of a data directory: files of JSON lines that are only
// ever appended to. A change is two lines. The first is on disk (fsync) before
// the change is made, so that none is ever without; the second is handed to the
// system before the caller gets his answer, which outlasts a kill but perhaps
// not a loss of power. So a change costs one fsync more than it does by itself.
//
// Rejected: one line at the end. A process that is killed between a change and
// its line leaves a change that nobody has made.
type Log struct {
	path  string
	bound int64 // octets of a file
	files int

	mu   sync.Mutex
	file *os.File // guarded by mu; nil before the first line and after Close
	size int64    // guarded by mu
	last uint64   // guarded by mu
	// closed is guarded by mu.
	closed bool
}

// OpenLog gives the audit log in dir. Files are touched when the first change
// comes. Close must follow.
func OpenLog(dir string) *Log { return openLog(dir, LogFileSize, LogFiles) }

func openLog(dir string, bound int64, files int) *Log {
	return &Log{path: filepath.Join(dir, LogName), bound: bound, files: files}
}

// Close ends the log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// Begin notes a change that is about to be made and gives its number; on disk
// when it returns. Without it the change must not be made.
func (l *Log) Begin(c Change) (id uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.open(); err != nil {
		return 0, fmt.Errorf("write audit log: %w", err)
	}
	err = l.append(&line{
		ID: l.last + 1, Time: c.At.UTC(), Event: asked, Who: c.Caller.Name, Role: c.Caller.Role.String(), Via: c.Caller.Via, Peer: c.Caller.Peer,
		Method: c.Method, Request: c.Request,
	})
	if err == nil {
		l.last++ // also when it is not synced: no number twice
		err = l.file.Sync()
	}
	if err != nil {
		return 0, fmt.Errorf("write audit log: %w", err)
	}
	return l.last, nil
}

// End notes how a change ended that Begin has noted.
func (l *Log) End(id uint64, at time.Time, result, message string, took time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.open()
	if err == nil {
		err = l.append(&line{ID: id, Time: at.UTC(), Event: done, Result: result, Message: message, Took: took.Seconds()})
	}
	if err != nil {
		return fmt.Errorf("write audit log: %w", err)
	}
	return nil
}

// open makes the file ready for a line. REQUIRES: l.mu held.
func (l *Log) open() error {
	switch {
	case l.closed:
		return fs.ErrClosed
	case l.file != nil && l.size >= l.bound:
		if err := l.rotate(); err != nil {
			return err
		}
	case l.file != nil:
		return nil
	}
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	size, err := l.takeUp(file)
	if err == nil {
		err = syncFolder(filepath.Dir(l.path)) // the file's name, too, outlasts a loss of power
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.size = file, size
	return nil
}

// takeUp finds the last number, and ends a line that a crash cut short.
// REQUIRES: l.mu held.
func (l *Log) takeUp(file *os.File) (size int64, err error) {
	size, err = file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if size > 0 {
		var last [1]byte
		if _, err := file.ReadAt(last[:], size-1); err != nil {
			return 0, err
		}
		if last[0] != '\n' {
			if _, err := file.WriteString("\n"); err != nil {
				return 0, err
			}
			size++
		}
	}
	for number := 0; l.last == 0 && number < l.files; number++ {
		err := readLines(l.name(number), func(read *line) error {
			l.last = max(l.last, read.ID)
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	return size, nil
}

// name is a file's, 0 for the one that is written.
func (l *Log) name(number int) string {
	if number == 0 {
		return l.path
	}
	return l.path + "." + strconv.Itoa(number)
}

// rotate moves each file one further; the oldest is overwritten. REQUIRES: l.mu
// held.
func (l *Log) rotate() error {
	if err := l.file.Close(); err != nil {
		return err
	}
	l.file = nil
	for number := l.files - 2; number >= 0; number-- {
		if err := os.Rename(l.name(number), l.name(number+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// append writes a line, whole or not at all. REQUIRES: l.mu held.
func (l *Log) append(next *line) error {
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	n, err := l.file.Write(append(text, '\n'))
	if err != nil {
		if n > 0 { // a part of it, as on a full disk
			err = errors.Join(err, l.file.Truncate(l.size))
		}
		return err
	}
	l.size += int64(n)
	return nil
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// readLines calls fn for each line of a file. What is no line, as a crash leaves
// it, is passed over.
func readLines(path string, fn func(*line) error) error {
	text, err := os.ReadFile(path) // LogFileSize and a line at most
	if err != nil {
		return err
	}
	for one := range bytes.Lines(text) {
		var read line
		if json.Unmarshal(one, &read) != nil || read.ID == 0 {
			continue
		}
		if err := fn(&read); err != nil {
			return err
		}
	}
	return nil
}
