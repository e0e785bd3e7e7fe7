package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// postfixDrives with the command that ends messages.
var postfixDrives = []struct {
	drive
	ends string
}{
	{drive{"lock-step", "none"}, "data"},
	{drive{"pipelining", "none"}, "data"},
	{drive{"chunking", "none"}, "bdat"},
	{drive{"pipelining", "require"}, "data"},
	{drive{"chunking", "require"}, "bdat"},
}

// TestPostfix sends in every gear, plain and with STARTTLS, and reads from
// Postfix's log which commands it had.
func TestPostfix(t *testing.T) {
	s := postfix(t)
	for _, c := range postfixDrives {
		t.Run(c.String(), func(t *testing.T) {
			// "disconnect from unknown[127.0.0.1] ehlo=1 mail=100 rcpt=86/100 bdat=86/100"
			ends := `disconnect from.* ` + c.ends + `=(\d+)`
			secured := `disconnect from.* starttls=1`
			before, tlsBefore := s.logged(t, ends), s.logged(t, secured)
			post(t, s, c.drive)
			taken := people - people/refusedEvery - 1
			if !within(timeToLog, func() bool { return s.logged(t, ends)-before >= taken }) {
				t.Errorf("%d messages ended with %s, want %d", s.logged(t, ends)-before, c.ends, taken)
			}
			if n := s.logged(t, secured) - tlsBefore; (n > 0) != (c.tls == "require") {
				t.Errorf("%d sessions with TLS", n)
			}
		})
	}
}

func postfix(t *testing.T) *server {
	path := wanted(t, "postfix", "postfix")
	dir := workplace(t)
	cert, key := certificate(t, dir)
	port := freePort(t)
	s := &server{name: "Postfix", addr: fmt.Sprintf("127.0.0.1:%d", port), mail: filepath.Join(dir, "mail"), log: filepath.Join(dir, "mail.log")}
	for _, d := range []string{"etc", "queue", "data", "mail"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	values := map[string]string{"dir": dir, "port": fmt.Sprint(port), "cert": cert, "key": key}
	write(t, filepath.Join(dir, "etc/main.cf"), fill(postfixMain, values), 0o644)
	write(t, filepath.Join(dir, "etc/master.cf"), fill(postfixMaster, values), 0o644)
	// A table with every name: virtual(8) takes no substitution from patterns.
	var table strings.Builder
	for _, d := range postfixDrives {
		for n := range people {
			if !refused(n) {
				fmt.Fprintf(&table, "%s@%s %s/%s/\n", local(n), d.domain(), d.domain(), local(n))
			}
		}
	}
	write(t, filepath.Join(dir, "etc/people"), table.String(), 0o644)
	write(t, filepath.Join(dir, "etc/domains"), `/\.interop\.test$/ yes`+"\n", 0o644)
	for _, own := range [][2]string{{"postfix", "data"}, {"nobody", "mail"}} {
		if out, err := exec.Command("chown", own[0], filepath.Join(dir, own[1])).CombinedOutput(); err != nil {
			t.Fatalf("chown: %v: %s", err, out)
		}
	}
	etc := filepath.Join(dir, "etc")
	if out, err := exec.Command(path, "-c", etc, "check").CombinedOutput(); err != nil {
		t.Fatalf("postfix check: %v: %s", err, out)
	}
	// In the foreground, for a service that is not process 1.
	master, err := exec.Command("postconf", "-c", etc, "-h", "daemon_directory").Output()
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.addr, filepath.Join(string(master[:len(master)-1]), "master"), "-c", etc, "-d")
	return s
}

const postfixMain = `
compatibility_level = 3.6
queue_directory = $(dir)/queue
data_directory = $(dir)/data
maillog_file = $(dir)/mail.log
maillog_file_prefixes = /
myhostname = mx.interop.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = regexp:$(dir)/etc/domains
virtual_mailbox_maps = texthash:$(dir)/etc/people
virtual_mailbox_base = $(dir)/mail
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_tls_security_level = may
smtpd_tls_cert_file = $(cert)
smtpd_tls_key_file = $(key)
smtpd_client_restrictions =
smtpd_relay_restrictions = reject_unauth_destination
smtpd_forbid_unauth_pipelining = yes
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 1000
smtpd_soft_error_limit = 1000
smtputf8_enable = yes
`

const postfixMaster = `
127.0.0.1:$(port) inet n - n - - smtpd
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 300   1 qmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
verify    unix  - - n -     1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
tlsmgr    unix  - - n 1000? 1 tlsmgr
error     unix  - - n -     - error
retry     unix  - - n -     - error
discard   unix  - - n -     - discard
smtp      unix  - - n -     - discard
virtual   unix  - n n -     - virtual
anvil     unix  - - n -     1 anvil
scache    unix  - - n -     1 scache
postlog   unix-dgram n - n - 1 postlogd
`
