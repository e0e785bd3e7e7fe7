package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var eximDrives = []drive{
	{"lock-step", "none"}, {"pipelining", "none"}, {"chunking", "none"}, {"pipelining", "require"}, {"chunking", "require"},
}

// TestExim sends in every gear, plain and with STARTTLS, and reads from Exim's
// log which extensions were used.
func TestExim(t *testing.T) {
	s := exim(t)
	for _, d := range eximDrives {
		t.Run(d.String(), func(t *testing.T) {
			// "<= b@sender.test H=... P=esmtps L. X=TLS1.3:... K S=8000 ...": L is
			// PIPELINING (L- or L.- when it was not used), K is CHUNKING.
			marks := map[string]bool{
				` <= .* L\.? `:     d.gear != "lock-step",
				` <= .* K S=`:      d.gear == "chunking",
				` <= .* P=esmtps `: d.tls == "require",
			}
			before := map[string]int{}
			for pattern := range marks {
				before[pattern] = s.logged(t, pattern)
			}
			post(t, s, d)
			taken := people - people/refusedEvery - 1
			for pattern, used := range marks {
				if n := s.logged(t, pattern) - before[pattern]; used && n != taken || !used && n != 0 {
					t.Errorf("%d of %d messages were logged with %q", n, taken, pattern)
				}
			}
		})
	}
}

func exim(t *testing.T) *server {
	path := wanted(t, "exim", "exim4")
	dir := workplace(t)
	cert, key := certificate(t, dir)
	port := freePort(t)
	s := &server{name: "Exim", addr: fmt.Sprintf("127.0.0.1:%d", port), mail: filepath.Join(dir, "mail"), log: filepath.Join(dir, "log", "main")}
	for _, d := range []string{"spool", "log", "mail"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "exim.conf")
	write(t, conf, fill(eximConf, map[string]string{"dir": dir, "port": fmt.Sprint(port), "cert": cert, "key": key}), 0o644)
	var locals, domains strings.Builder
	for n := range people {
		fmt.Fprintf(&locals, "%s: %[1]s\n", local(n))
	}
	for _, d := range eximDrives {
		fmt.Fprintf(&domains, "%s: %[1]s\n", d.domain())
	}
	write(t, filepath.Join(dir, "people"), locals.String(), 0o644)
	write(t, filepath.Join(dir, "domains"), domains.String(), 0o644)
	args := []string{"Debian-exim:", filepath.Join(dir, "spool"), filepath.Join(dir, "log"), filepath.Join(dir, "mail"), cert, key}
	if out, err := exec.Command("chown", args...).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	s.push = func() {
		// One queue runner: a delivery process for each message would take
		// longer than all the rest.
		if out, err := exec.Command(path, "-C", conf, "-q").CombinedOutput(); err != nil {
			t.Errorf("exim -q: %v: %s", err, out)
		}
	}
	run(t, s.addr, path, "-C", conf, "-bdf")
	return s
}

const eximConf = `
spool_directory = $(dir)/spool
log_file_path = $(dir)/log/%s
pid_file_path = $(dir)/spool/exim.pid
primary_hostname = mx.interop.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = $(port)
domainlist ours = *.interop.test
acl_smtp_rcpt = rcpt
queue_only = true
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 50
smtp_accept_max_per_connection = 1000
# A refusal costs a RSET, which Exim counts as no mail command: 10 by default,
# then it says 554 and closes. Over TLS that can be lost with the reset, and what
# stands behind it is uncertain for minutes.
smtp_accept_max_nonmail = 500
smtp_max_unknown_commands = 3
smtp_enforce_sync = true
chunking_advertise_hosts = *
pipelining_advertise_hosts = *
tls_advertise_hosts = *
tls_certificate = $(cert)
tls_privatekey = $(key)
accept_8bitmime = true
never_users =
log_selector = +pipelining +tls_cipher
message_size_limit = 10M
keep_environment =

begin acl
rcpt:
  deny    domains = +ours
          local_parts = ^gone
          message = No such user here
  accept  domains = +ours
  deny    message = relay not permitted

begin routers
here:
  driver = accept
  domains = +ours
  # Looked up, so that what a stranger wrote is not part of a path.
  local_parts = lsearch;$(dir)/people
  transport = maildir
rest:
  driver = redirect
  data = :blackhole:

begin transports
maildir:
  driver = appendfile
  directory = $(dir)/mail/${lookup{$domain}lsearch{$(dir)/domains}}/${local_part_data}
  create_directory
  maildir_format
  user = Debian-exim
  group = Debian-exim
  return_path_add

begin retry
*  *  F,1m,1s
`
