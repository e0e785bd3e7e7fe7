package interop

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/bench/trial"
)

func TestMain(m *testing.M) { trial.Main(m) }

// wanted skips the test unless it was asked for and can run here.
func wanted(t *testing.T, name, binary string) (path string) {
	t.Helper()
	asked := os.Getenv("PENSTOCK_INTEROP")
	if asked != "1" && asked != name {
		t.Skipf("PENSTOCK_INTEROP=1 or %s runs it, make interop installs what it needs", name)
	}
	miss := t.Skipf
	if asked == name {
		miss = t.Fatalf
	}
	if os.Geteuid() != 0 {
		miss("%s delivers mail as another user: that takes root", name)
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		path = filepath.Join("/usr/sbin", binary)
		if _, err := os.Stat(path); err != nil {
			miss("%s is not installed: make interop installs it, in a container", name)
		}
	}
	return path
}

// server is a mail server that runs for one test.
type server struct {
	name string
	// addr is where it listens.
	addr string
	// mail has what it stored: mail/DOMAIN/LOCAL/new.
	mail string
	// log is its log file; "" when standard error is it.
	log string
	// push, if set, has it deliver what it queued.
	push func()
}

// workplace is a directory that other users may enter.
func workplace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// freePort is a port of the loopback that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// certificate makes a self-signed one for mx.interop.test.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.interop.test"}, DNSNames: []string{"mx.interop.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	bits, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bits})), 0o600)
	return cert, key
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// fill puts values into a configuration: $(name).
func fill(text string, values map[string]string) string {
	for name, value := range values {
		text = strings.ReplaceAll(text, "$("+name+")", value)
	}
	return text
}

// run starts a server that stays in the foreground, waits until it listens, and
// ends it, with all the processes it started, when the test ends.
func run(t *testing.T, addr, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	out, err := os.Create(filepath.Join(t.TempDir(), "server.out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		// A daemon's children may have groups of their own: it ends them itself
		// when asked to.
		cmd.Process.Signal(syscall.SIGTERM)
		if !within(20*time.Second, func() bool { return over(ended) }) {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whoever is left of the group
		if t.Failed() {
			text, _ := os.ReadFile(out.Name())
			t.Logf("%s said:\n%s", name, tail(string(text), 40))
		}
	})
	if !within(30*time.Second, func() bool { return over(ended) || listens(addr) }) || over(ended) {
		text, _ := os.ReadFile(out.Name())
		t.Fatalf("%s does not listen at %s:\n%s", name, addr, text)
	}
}

// timeToLog is how long a server may take to write down what it did.
const timeToLog = 20 * time.Second

func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// within asks again and again whether something has come true.
func within(limit time.Duration, ok func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		if ok() {
			return true
		}
		select {
		case <-every.C:
		case <-deadline.C:
			return ok()
		}
	}
}

func listens(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// logged adds up a number that the server's log has, or counts lines where the
// pattern has no group.
func (s *server) logged(t *testing.T, pattern string) (sum int) {
	t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // nothing was logged yet
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
		if len(m) == 1 {
			sum++
			continue
		}
		n, _ := strconv.Atoi(string(m[1]))
		sum += n
	}
	return sum
}
