// Package stats is the file that a sender leaves for the benchmark harness: what
// only the sender itself can know. It is what `penstock send --stats FILE`
// writes, and any other sender may write it too.
package stats

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"syscall"
	"time"
)

// Version is Sender.Version of this layout.
const Version = 1

// Sender is one run of a sender. Counts are numbers, zeros present; times are
// nanoseconds.
type Sender struct {
	Version int `json:"version"`
	// Program and Revision name what ran; Go is its compiler.
	Program    string `json:"program"`
	Revision   string `json:"revision"`
	Go         string `json:"go"`
	GOMAXPROCS int    `json:"gomaxprocs"`
	// Recipients were loaded in all, Sent had an attempt in this run.
	Recipients int64 `json:"recipients"`
	Sent       int64 `json:"sent"`
	// Load is reading the recipients; Send is from the first lease to the last
	// outcome. A phase that did not happen is zero. They may overlap.
	Load Phase `json:"load"`
	Send Phase `json:"send"`
	// Ledger is what the run wrote.
	Ledger Ledger `json:"ledger"`
	// Aside is CPU time of this process and its children that is the measuring's
	// own and not the sender's: what fills another program's queue.
	Aside time.Duration `json:"aside_ns,omitempty"`
	// PeakBytes is resident memory where the sender knows better than the system,
	// which would count this process too.
	PeakBytes int64 `json:"peak_bytes,omitempty"`
}

// Phase is a span of a process's life, measured by a Meter.
type Phase struct {
	Wall time.Duration `json:"wall_ns"`
	// User and System are the whole process's CPU time.
	User   time.Duration `json:"user_ns"`
	System time.Duration `json:"system_ns"`
	// Mallocs is heap objects allocated, AllocBytes their octets.
	Mallocs    uint64 `json:"mallocs"`
	AllocBytes uint64 `json:"alloc_bytes"`
	// GCs is collections that ended.
	GCs uint64 `json:"gcs"`
}

// CPU is user and system time together.
func (p Phase) CPU() time.Duration { return p.User + p.System }

// Ledger is what the state store cost.
type Ledger struct {
	// BytesWritten to log and tables, compactions included; DiskBytes is what
	// the data directory occupies at the end.
	BytesWritten int64 `json:"bytes_written"`
	DiskBytes    int64 `json:"disk_bytes"`
	// Commits is groups committed, Syncs the fdatasyncs they took.
	Commits int64 `json:"commits"`
	Syncs   int64 `json:"syncs"`
}

// New returns a Sender that knows its program's surroundings.
func New(program, revision string) *Sender {
	return &Sender{Version: Version, Program: program, Revision: revision, Go: runtime.Version(), GOMAXPROCS: runtime.GOMAXPROCS(0)}
}

// Write leaves s in a file, whole or not at all. It ends the process's profile.
func (s *Sender) Write(path string) error {
	if err := endProfile(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("stats: %w", err)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("stats: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("stats: %w", err)
	}
	return nil
}

// Read reads what Write wrote. A file of another version is an error.
func Read(path string) (*Sender, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("stats: %w", err)
	}
	s := new(Sender)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("stats %s: %w", path, err)
	}
	if s.Version != Version {
		return nil, fmt.Errorf("stats %s: version %d, this program reads %d", path, s.Version, Version)
	}
	return s, nil
}

// Meter is the beginning of a Phase.
type Meter struct {
	at    time.Time
	usage syscall.Rusage
	heap  [3]uint64
}

// Begin starts to measure. It costs a few microseconds and stops nothing.
func Begin() *Meter {
	beginProfile()
	m := &Meter{at: time.Now(), heap: heap()}
	syscall.Getrusage(syscall.RUSAGE_SELF, &m.usage) // cannot fail with these arguments
	return m
}

// End is what happened since Begin. It may be called more than once.
func (m *Meter) End() Phase {
	now := Begin()
	return Phase{
		Wall: now.at.Sub(m.at),
		User: since(m.usage.Utime, now.usage.Utime), System: since(m.usage.Stime, now.usage.Stime),
		Mallocs: now.heap[0] - m.heap[0], AllocBytes: now.heap[1] - m.heap[1], GCs: now.heap[2] - m.heap[2],
	}
}

func since(a, b syscall.Timeval) time.Duration { return time.Duration(b.Nano() - a.Nano()) }

func heap() (v [3]uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s)
	for i := range v {
		v[i] = s[i].Value.Uint64()
	}
	return v
}
