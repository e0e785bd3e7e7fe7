package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReadmeCalls runs the calls that the README shows, as they stand but for the
// port, against a process that serves. Without curl or grpcurl theirs are left
// out; under PENSTOCK_INTEROP they must be there.
func TestReadmeCalls(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	config := "hostname: out.sender.test\nledger: {min_free: 0}\nroutes: {\"*\": \"127.0.0.1:9\"}\nserve: {listen: \"" + at + "\"}\n"
	if err := os.WriteFile(filepath.Join(dir, "penstock.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	penstock, err := exec.LookPath("penstock") // testscript.Main puts this program there
	if err != nil {
		t.Fatal(err)
	}
	serve := exec.Command(penstock, "serve", "--quiet")
	serve.Dir = dir
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Signal(os.Interrupt) // it may have ended
		if err := serve.Wait(); err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		info := exec.Command(penstock, "server", "info", "--server", "./penstock-data")
		info.Dir = dir
		if info.Run() == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not serve")
		}
	}
	people, err := exec.Command("sh", "-c", "cd "+dir+" && printf 'email\\nann@x.example\\n' | gzip > people.csv.gz").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, people)
	}
	ran := 0
	for _, call := range calls(string(text)) {
		tool, _, _ := strings.Cut(call, " ")
		ours := tool == "penstock" && (strings.Contains(call, "token create") || strings.Contains(call, "--server"))
		if !ours && tool != "grpcurl" && (tool != "curl" || !strings.Contains(call, "penstock.v1")) {
			continue
		}
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("PENSTOCK_INTEROP") != "" {
				t.Error(err)
			}
			t.Logf("left out: %s", call)
			continue
		}
		c := exec.Command("sh", "-c", strings.ReplaceAll(call, "127.0.0.1:7411", at))
		c.Dir = dir
		said, err := c.CombinedOutput()
		if err != nil || tool == "curl" && strings.Contains(string(said), `"code"`) {
			t.Errorf("%s: %v\n%s", call, err, said)
		}
		ran++
	}
	if ran < 2 {
		t.Errorf("only %d calls were run", ran)
	}
}

// calls are the command lines of a text's indented blocks, each with the lines
// that go on with it.
func calls(text string) (all []string) {
	begun := false
	for line := range strings.Lines(text) {
		code, indented := strings.CutPrefix(line, "    ")
		tool, _, _ := strings.Cut(code, " ")
		switch {
		case !indented:
			begun = false
		case tool == "curl" || tool == "grpcurl" || tool == "penstock":
			all = append(all, code)
			begun = true
		case begun:
			all[len(all)-1] += code
		}
	}
	return all
}
