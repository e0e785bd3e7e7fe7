//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/penstock-mail/penstock/bench/stats"
)

// daemon is a process in the foreground.
type daemon struct {
	words []string
	// env is added to this process's.
	env []string
	// ready, if set, is a TCP address (with a colon) or a socket's path that is
	// there when it is.
	ready string
	cmd   *exec.Cmd
	ended chan error
}

// look is how often we look whether something has come true.
const look = 20 * time.Millisecond

func (d *daemon) start(j *job) error {
	log, err := os.OpenFile(filepath.Join(j.dir, "server.out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = exec.Command(d.words[0], d.words[1:]...)
	d.cmd.Dir = j.dir
	d.cmd.Env = append(os.Environ(), d.env...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	// A group of its own, since some end their whole group; and an end with us,
	// however we end.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	d.ended = make(chan error, 1)
	go func() { d.ended <- d.cmd.Wait() }()
	if d.ready == "" {
		return nil
	}
	deadline := time.Now().Add(30 * time.Second)
	for !listens(d.ready) {
		select {
		case err := <-d.ended:
			d.ended <- err
			return fmt.Errorf("%s ended at once: %v", filepath.Base(d.words[0]), err)
		case <-time.After(look):
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("%s does not listen at %s", filepath.Base(d.words[0]), d.ready), d.stop())
		}
	}
	return nil
}

func listens(at string) bool {
	if !strings.Contains(at, ":") {
		_, err := os.Stat(at)
		return err == nil
	}
	c, err := net.DialTimeout("tcp", at, time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// stop asks a daemon to end, and its group when it does not.
func (d *daemon) stop() error {
	if d.cmd == nil || d.cmd.Process == nil {
		return nil
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
		return nil // whatever it says of having been stopped
	case <-time.After(20 * time.Second):
		syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
		<-d.ended
		return fmt.Errorf("%s had to be killed", filepath.Base(d.words[0]))
	}
}

// prSetChildSubreaper is PR_SET_CHILD_SUBREAPER of prctl(2).
const prSetChildSubreaper = 36

func adoptOrphans() error {
	if _, _, err := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); err != 0 {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	return nil
}

// reapOrphans waits for every process that is left, having asked it to end.
// REQUIRES: each daemon has ended, so nobody else waits for a child.
func reapOrphans() error {
	deadline := time.Now().Add(20 * time.Second)
	sign := syscall.SIGTERM
	for round := 0; ; round++ {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.ECHILD):
			return nil
		case err != nil && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("wait for the server's processes: %w", err)
		case pid > 0:
			continue
		}
		if round%25 == 0 {
			for _, child := range children() {
				syscall.Kill(child, sign)
			}
		}
		if time.Now().After(deadline) {
			sign = syscall.SIGKILL
		}
		<-time.After(look)
	}
}

// children are the processes whose parent this one is.
func children() (pids []int) {
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// phase measures all processes that end between its beginning and its end.
type phase struct {
	at    time.Time
	usage syscall.Rusage
}

func usage(who int) (u syscall.Rusage) {
	syscall.Getrusage(who, &u) // cannot fail with these arguments
	return u
}

func beginPhase() phase { return phase{time.Now(), usage(syscall.RUSAGE_CHILDREN)} }

// end is the phase's figures. REQUIRES: its processes were waited for.
func (p phase) end() stats.Phase {
	u := usage(syscall.RUSAGE_CHILDREN)
	return stats.Phase{
		Wall:   time.Since(p.at),
		User:   time.Duration(u.Utime.Nano() - p.usage.Utime.Nano()),
		System: time.Duration(u.Stime.Nano() - p.usage.Stime.Nano()),
	}
}

// own is this process's CPU, largest the most memory that one process of the
// server had, in octets.
func own() time.Duration {
	u := usage(syscall.RUSAGE_SELF)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func largest() int64 {
	u := usage(syscall.RUSAGE_CHILDREN)
	return u.Maxrss * 1024
}
