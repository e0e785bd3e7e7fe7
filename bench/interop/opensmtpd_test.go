package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The STARTTLS of Debian 12's OpenSMTPD 6.8 fails with every client, openssl's
// own included (it cannot use its key with OpenSSL 3): who is opportunistic goes
// on in plain text.
var opensmtpdDrives = []drive{{"lock-step", "none"}, {"auto", "none"}, {"auto", "opportunistic"}}

// TestOpenSMTPD sends to a server that offers neither PIPELINING nor CHUNKING,
// whatever gear is asked for. Its spool is the package's own: the path is
// compiled in.
func TestOpenSMTPD(t *testing.T) {
	s := opensmtpd(t)
	for _, d := range opensmtpdDrives {
		t.Run(d.String(), func(t *testing.T) { post(t, s, d) })
	}
}

func opensmtpd(t *testing.T) *server {
	path := wanted(t, "opensmtpd", "smtpd")
	if listens("127.0.0.1:25") {
		t.Skip("a mail server runs here, which would share the spool")
	}
	dir := workplace(t)
	cert, key := certificate(t, dir)
	port := freePort(t)
	s := &server{name: "OpenSMTPD", addr: fmt.Sprintf("127.0.0.1:%d", port), mail: filepath.Join(dir, "mail")}
	if err := os.Mkdir(s.mail, 0o755); err != nil {
		t.Fatal(err)
	}
	var actions, tables strings.Builder
	for _, d := range opensmtpdDrives {
		var table strings.Builder
		for n := range people {
			if !refused(n) {
				fmt.Fprintf(&table, "%s@%s: mail\n", local(n), d.domain())
			}
		}
		write(t, filepath.Join(dir, d.domain()), table.String(), 0o644)
		fmt.Fprintf(&tables, "table %q file:%s\n", d.domain(), filepath.Join(dir, d.domain()))
		fmt.Fprintf(&actions, "action %q maildir %q virtual <%q>\n", d.domain(), filepath.Join(s.mail, d.domain(), "%{dest.user}"), d.domain())
		fmt.Fprintf(&actions, "match from any for domain %q action %q\n", d.domain(), d.domain())
		if err := os.Mkdir(filepath.Join(s.mail, d.domain()), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chown", "-R", "mail", s.mail).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	conf := filepath.Join(dir, "smtpd.conf")
	write(t, conf, fmt.Sprintf("pki mx.interop.test cert %q\npki mx.interop.test key %q\n%slisten on 127.0.0.1 port %d hostname mx.interop.test tls pki mx.interop.test\n%s",
		cert, key, &tables, port, &actions), 0o600)
	if out, err := exec.Command(path, "-n", "-f", conf).CombinedOutput(); err != nil {
		t.Fatalf("smtpd -n: %v: %s", err, out)
	}
	run(t, s.addr, path, "-d", "-f", conf)
	return s
}
