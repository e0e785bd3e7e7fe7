package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// program is the path of the built program; set by Main.
var program string

// Main builds the program, runs the tests and ends the process. PENSTOCK_BIN
// names a program that is built already.
func Main(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "trial:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if program = os.Getenv("PENSTOCK_BIN"); program != "" {
		if program, err = filepath.Abs(program); err != nil {
			return 1, err
		}
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "penstock-trial-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "penstock")
	args := []string{"build", "-o", program}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "github.com/penstock-mail/penstock/cmd/penstock")...)
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build penstock: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// Result is how a command ended.
type Result struct {
	// Code is the exit code; -1 when a signal ended the process.
	Code           int
	Stdout, Stderr string
	Took           time.Duration
}

// String shows all of it, for messages.
func (r Result) String() string {
	return fmt.Sprintf("exit code %d after %v\nstdout: %s\nstderr: %s", r.Code, r.Took.Round(time.Millisecond), r.Stdout, r.Stderr)
}

// Process is a command that runs.
type Process struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	began          time.Time
	done           chan struct{} // closed when it has ended
	result         Result        // set before done is closed
}

// longest is how long any command may take before the test gives up on it: a
// bound for hangs, not a measure.
const longest = 10 * time.Minute

func start(t testing.TB, dir, name string, args ...string) *Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	p := &Process{cmd: exec.CommandContext(ctx, name, args...), began: time.Now(), done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	// A test that dies takes its children with it.
	p.cmd.SysProcAttr = dieWithParent()
	if err := p.cmd.Start(); err != nil {
		cancel()
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.done)
		defer cancel()
		err := p.cmd.Wait()
		p.result = Result{Code: p.cmd.ProcessState.ExitCode(), Stdout: p.stdout.String(), Stderr: p.stderr.String(), Took: time.Since(p.began)}
		var exited *exec.ExitError
		if err != nil && !errors.As(err, &exited) {
			p.result.Stderr += "\ntrial: " + err.Error()
		}
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill() // nothing happens if it has ended
		<-p.done
	})
	return p
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait returns how it ended.
func (p *Process) Wait() Result {
	<-p.done
	return p.result
}

// Signal sends a signal; false when the process has ended already.
func (p *Process) Signal(s syscall.Signal) bool { return p.cmd.Process.Signal(s) == nil }

// Kill ends the process as kill -9 does, and waits for that. It is false when the
// process had ended by itself.
func (p *Process) Kill() bool {
	p.Signal(syscall.SIGKILL)
	<-p.done
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
