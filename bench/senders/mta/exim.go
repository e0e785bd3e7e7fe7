//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// exim delivers each message as it comes, with processes and a connection of its
// own: queueing first (queue_only, then -qqff, which does send message after
// message over one connection) was tried and takes five to ten times as much. No
// message logs, no DNS, no rewriting; it signs itself (GnuTLS).
var exim = &agent{
	name: "exim",
	configure: func(j *job) error {
		for _, d := range []string{"spool", "log"} {
			if err := j.directory(d, 0o750, eximUser, eximUser); err != nil {
				return err
			}
		}
		path, err := j.eximProgram()
		if err != nil {
			return err
		}
		sign := ""
		if j.KeyFile != "" {
			sign = fill(eximSign, map[string]string{"key": filepath.Join(j.dir, "key.pem")})
			key, err := os.ReadFile(j.KeyFile)
			if err != nil {
				return err
			}
			// Its delivering processes are not root.
			if err := os.WriteFile(filepath.Join(j.dir, "key.pem"), key, 0o644); err != nil {
				return err
			}
		}
		return j.write("exim.conf", eximConf, map[string]string{
			"dir": j.dir, "host": j.host, "port": j.port, "listen": fmt.Sprint(j.listen), "exim": path, "sign": sign, "user": eximUser,
		})
	},
	daemons: func(j *job, _ bool) ([]*daemon, error) {
		path, err := j.eximProgram()
		if err != nil {
			return nil, err
		}
		return []*daemon{{words: []string{path, "-C", filepath.Join(j.dir, "exim.conf"), "-bdf"}, env: j.eximEnv(), ready: j.intake()}}, nil
	},
	queue: func(j *job) []string { return []string{filepath.Join(j.dir, "spool/input")} },
	version: func(j *job) string {
		path, err := j.eximProgram()
		if err != nil {
			return ""
		}
		_, version, _ := strings.Cut(firstLine(append(append([]string{"env"}, j.eximEnv()...), path, "-bV")...), "version ")
		version, _, _ = strings.Cut(version, " ")
		return version
	},
}

// eximUser is compiled into Debian's Exim.
const eximUser = "Debian-exim"

// eximProgram is the program itself and not its wrapper: it calls itself by this
// name for each delivery.
func (j *job) eximProgram() (string, error) {
	for _, p := range []string{filepath.Join(j.senders, "root/usr/sbin/exim4"), "/usr/sbin/exim4"} {
		if exists(p) {
			return p, nil
		}
	}
	return "", errors.New("exim4 is not installed")
}

// eximEnv has the libraries that lie beside an Exim that was only unpacked.
func (j *job) eximEnv() []string {
	dirs, _ := filepath.Glob(filepath.Join(j.senders, "root/usr/lib/*-linux-gnu*"))
	return []string{"LD_LIBRARY_PATH=" + strings.Join(dirs, ":")}
}

const eximConf = `
exim_path = $(exim)
exim_user = $(user)
exim_group = $(user)
keep_environment = LD_LIBRARY_PATH
spool_directory = $(dir)/spool
log_file_path = $(dir)/log/%slog
pid_file_path = $(dir)/exim.pid
primary_hostname = bench.sender.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = $(listen)
tls_advertise_hosts =
host_lookup =
rfc1413_hosts =
split_spool_directory = true
message_logs = false
write_rejectlog = false
log_selector = -all
smtp_accept_max = 200
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
queue_run_max = 20
remote_max_parallel = 4
deliver_drop_privilege = true
acl_smtp_rcpt = accept
untrusted_set_sender = *

begin routers
relay:
  driver = manualroute
  route_list = * $(host)::$(port) byname
  self = send
  transport = remote

begin transports
remote:
  driver = smtp
  allow_localhost = true
  hosts_avoid_tls = *
  connection_max_messages = 0
  max_rcpt = 1
$(sign)

begin retry
* * F,1h,1s
`

const eximSign = `  dkim_domain = sender.test
  dkim_selector = bench
  dkim_private_key = $(key)
  dkim_canon = relaxed
  dkim_sign_headers = From:From:To:Subject:Subject:Date:Message-ID:MIME-Version:Content-Type:Content-Transfer-Encoding
`
