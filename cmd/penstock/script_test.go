package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/penstock-mail/penstock/bench/nameserver"
	"github.com/penstock-mail/penstock/bench/sink"
)

// TestMain lets scripts run this very program as `penstock`.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"penstock": main})
}

// TestScripts runs the dialogues in testdata/script: what a person types, and
// what the program answers. The commands that they have beside testscript's own
// are those below.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"mailbox": mailbox,
			"names":   names,
			"door":    door,
			"people":  people,
			"soon":    soon,
			"started": started,
			"signal":  sendSignal,
			"ended":   ended,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			e.Setenv("GOMAXPROCS", "2")
			return nil
		},
	})
}

// exits CODE COMMAND...: the command ends with just that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	if code := codeOf(ts.Exec(args[1], args[2:]...)); strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d instead of %s", code, args[0])
	}
}

func codeOf(err error) int {
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ended):
		return ended.ExitCode()
	}
	return -1
}

// mailbox [SCRIPT]: a receiving server, at $SINK, port $PORT, which behaves as
// the file says.
func mailbox(ts *testscript.TestScript, neg bool, args []string) {
	o := sink.Options{Loops: 1}
	if len(args) > 0 {
		script, err := sink.LoadScript(ts.MkAbs(args[0]))
		ts.Check(err)
		o.Script = script
	}
	s, err := sink.Start(o)
	ts.Check(err)
	ts.Defer(func() { _ = s.Close() })
	_, port, err := net.SplitHostPort(s.Addrs()[0])
	ts.Check(err)
	ts.Setenv("SINK", s.Addrs()[0])
	ts.Setenv("PORT", port)
}

// names ZONE: a DNS server with that zone, at $DNS.
func names(ts *testscript.TestScript, neg bool, args []string) {
	zone, err := nameserver.LoadZone(ts.MkAbs(args[0]))
	ts.Check(err)
	s, err := nameserver.Start("", zone)
	ts.Check(err)
	ts.Defer(func() { _ = s.Close() })
	ts.Setenv("DNS", s.Addr())
}

// door NAME: a loopback address and port that nothing listens at, in $NAME.
func door(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

// people N DOMAIN FILE: so many rows, u1@DOMAIN and so on.
func people(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	var b strings.Builder
	b.WriteString("email,first_name\n")
	for i := range n {
		fmt.Fprintf(&b, "u%d@%s,Ada\n", i+1, args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(b.String()), 0o600))
}

// soon PATTERN COMMAND...: the command's output matches before long.
func soon(ts *testscript.TestScript, neg bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + args[0])
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var said []byte
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); <-tick.C {
		c := command(ts, args[1:])
		said, _ = c.CombinedOutput() // until it works, it does not match
		if pattern.Match(said) {
			return
		}
	}
	ts.Fatalf("%s never matched %q; last it said:\n%s", args[1], args[0], said)
}

// command is a process with the script's environment and directory.
func command(ts *testscript.TestScript, args []string) *exec.Cmd {
	program := args[0]
	for _, dir := range strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator)) {
		if path := dir + "/" + program; !strings.Contains(program, "/") && exists(path) {
			program = path
			break
		}
	}
	c := exec.Command(program, args[1:]...)
	c.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TZ", "GOMAXPROCS", "GOCOVERDIR"} {
		c.Env = append(c.Env, name+"="+ts.Getenv(name))
	}
	return c
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// running is the background process of each script that has one.
var running = make(chan map[string]*exec.Cmd, 1)

func init() { running <- map[string]*exec.Cmd{} }

// started COMMAND...: it runs in the background, its output in the files out and
// err.
func started(ts *testscript.TestScript, neg bool, args []string) {
	c := command(ts, args)
	out, err := os.Create(ts.MkAbs("out"))
	ts.Check(err)
	defer out.Close()
	errs, err := os.Create(ts.MkAbs("err"))
	ts.Check(err)
	defer errs.Close()
	c.Stdout, c.Stderr = out, errs
	ts.Check(c.Start())
	all := <-running
	all[ts.Name()] = c
	running <- all
	ts.Defer(func() { _ = c.Process.Kill(); _ = c.Wait() }) // both fail when it has ended
}

// signal NAME: the background process gets it.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	s, ok := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "HUP": syscall.SIGHUP}[args[0]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[0])
	}
	ts.Check(background(ts).Process.Signal(s))
}

// ended CODE: the background process ends with the exit code; -1 stands for the
// end by a signal.
func ended(ts *testscript.TestScript, neg bool, args []string) {
	if code := codeOf(background(ts).Wait()); strconv.Itoa(code) != args[0] {
		said, _ := os.ReadFile(ts.MkAbs("err"))
		ts.Fatalf("exit code %d instead of %s:\n%s", code, args[0], said)
	}
}

func background(ts *testscript.TestScript) *exec.Cmd {
	all := <-running
	defer func() { running <- all }()
	c := all[ts.Name()]
	if c == nil {
		ts.Fatalf("nothing was started")
	}
	return c
}
