//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/penstock-mail/penstock/bench/senders/letters"
	"github.com/penstock-mail/penstock/bench/sink"
	"github.com/penstock-mail/penstock/bench/stats"
)

// The tests of this package run one after another, since a process can adopt
// orphans only as a whole.

// TestOrphansAreCounted: work of a process whose parent has ended is the
// server's, and the process ends with it.
func TestOrphansAreCounted(t *testing.T) {
	if err := adoptOrphans(); err != nil {
		t.Skip(err)
	}
	j := &job{dir: t.TempDir()}
	worked := filepath.Join(j.dir, "worked")
	const burn = `(i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo $$ >"$0"; exec sleep 1000) & exec sleep 1000`
	d := &daemon{words: []string{"/bin/sh", "-c", burn, worked}, ready: worked}
	began := beginPhase()
	if err := d.start(j); err != nil {
		t.Fatal(err)
	}
	if err := stop([]*daemon{d}); err != nil {
		t.Fatal(err)
	}
	if cpu := began.end().CPU(); cpu < 5*time.Millisecond {
		t.Errorf("%v of CPU for a hundred thousand rounds of a shell", cpu)
	}
	if left := children(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestADaemonThatEndsIsAnError(t *testing.T) {
	j := &job{dir: t.TempDir()}
	d := &daemon{words: []string{"/bin/sh", "-c", "echo no such luck; exit 1"}, ready: filepath.Join(j.dir, "never")}
	if err := d.start(j); err == nil || !strings.Contains(err.Error(), "ended at once") {
		t.Errorf("%v", err)
	}
	if said := j.lastWords(); !strings.Contains(said, "no such luck") {
		t.Errorf("last words %q", said)
	}
	if err := d.stop(); err != nil {
		t.Error(err)
	}
}

func TestEmptiedNamesWhatIsLeft(t *testing.T) {
	dir := t.TempDir()
	if err := emptied(t.Context(), []string{dir, filepath.Join(dir, "absent")}); err != nil {
		t.Error(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a/b/message"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := emptied(ctx, []string{dir}); err == nil || !strings.Contains(err.Error(), "a/b/message") {
		t.Errorf("%v", err)
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "first word"},
		{"sendmail", "first word"},
		{"exim --connections 0", "connections"},
		{"exim --people nowhere", "nowhere"},
	} {
		if err := run(t.Context(), strings.Fields(c.args)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.args, err, c.want)
		}
	}
}

// TestServersRelayEverything runs each server that is fetched or installed, with
// a handful of letters. PENSTOCK_SENDERS says where they are.
func TestServersRelayEverything(t *testing.T) {
	senders := os.Getenv("PENSTOCK_SENDERS")
	if senders == "" || os.Geteuid() != 0 {
		t.Skip("PENSTOCK_SENDERS names what bench/senders/install filled; servers take root")
	}
	if err := adoptOrphans(); err != nil {
		t.Skip(err)
	}
	for name, needs := range map[string]string{"postfix": "bin/postconf", "exim": "bin/exim4", "opensmtpd": "bin/smtpd", "haraka": "node/node_modules/Haraka"} {
		for _, signed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s signed %v", name, signed), func(t *testing.T) {
				if !exists(filepath.Join(senders, needs)) {
					t.Skip("not fetched")
				}
				relay(t, name, senders, signed)
			})
		}
	}
}

func relay(t *testing.T, name, senders string, signed bool) {
	dir := t.TempDir()
	mail := filepath.Join(dir, "mail")
	s, err := sink.Start(sink.Options{Listen: []string{"127.0.0.1:0"}, Maildir: mail})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var people strings.Builder
	people.WriteString("email,id,first_name\n")
	for n := range 20 {
		fmt.Fprintf(&people, "u%d@a.test,%d,Björn\n", n, n)
	}
	for file, text := range map[string]string{"people.csv": people.String(), "body.html": "<p>Dear {{ first_name }}, {{ id }}</p>\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	figures := filepath.Join(dir, "stats.json")
	args := []string{name, "--people", filepath.Join(dir, "people.csv"), "--body", filepath.Join(dir, "body.html"), "--sink", s.Addrs()[0],
		"--connections", "5", "--stats", figures, "--dir", filepath.Join(dir, "run"), "--senders", senders}
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	record := ""
	if signed {
		var key string
		key, record = newKey(t, dir)
		args = append(args, "--key", key)
	}
	if err := run(t.Context(), args); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Accepted; n != 20 {
		t.Errorf("%d of 20 arrived", n)
	}
	got, err := stats.Read(figures)
	if err != nil {
		t.Fatal(err)
	}
	if got.Send.CPU() <= 0 || got.Aside <= 0 || got.PeakBytes <= 0 || got.Sent != 20 || got.Revision == "" {
		text, _ := json.Marshal(got)
		t.Errorf("figures %s", text)
	}
	whole := 0
	filepath.WalkDir(mail, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && judge(t, path, record) {
			whole++
		}
		return nil
	})
	if whole != 20 {
		t.Errorf("%d of 20 are whole, and signed as wanted", whole)
	}
	if _, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
		t.Errorf("processes are left: %v", err)
	}
}

// newKey writes a key, and returns its DNS record too.
func newKey(t *testing.T, dir string) (path, record string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
}

// judge says whether a message that arrived is a letter, and has a signature
// that is good by the record, or none if there is no record.
func judge(t *testing.T, path, record string) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), letters.Sender) || !strings.Contains(string(text), "<p>Dear Björn, ") {
		return false
	}
	found, err := dkim.VerifyWithOptions(bytes.NewReader(text), &dkim.VerifyOptions{
		LookupTXT: func(string) ([]string, error) { return []string{record}, nil },
	})
	if record == "" {
		return err == nil && len(found) == 0
	}
	if err != nil || len(found) != 1 {
		t.Logf("%v, %d signatures", err, len(found))
		return false
	}
	if found[0].Err != nil {
		t.Logf("signature: %v", found[0].Err)
	}
	return found[0].Err == nil
}
