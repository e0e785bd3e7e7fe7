//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// postfix relays through its smtp client to one next hop, over as many
// connections as the scenario allows, kept open between messages; with a key,
// OpenDKIM signs as a milter on the way in. Nothing is rewritten, looked up in
// DNS or limited. No log file: syslog, which costs nothing where none listens.
var postfix = &agent{
	name:  "postfix",
	holds: true,
	configure: func(j *job) error {
		if err := j.write("etc/main.cf", postfixMain, postfixValues(j)); err != nil {
			return err
		}
		for _, d := range []string{"queue", "queue/pid"} {
			if err := j.directory(d, 0o755, "root", "root"); err != nil {
				return err
			}
		}
		for _, d := range strings.Fields("active bounce corrupt defer deferred flush hold incoming private saved trace") {
			if err := j.directory("queue/"+d, 0o700, postfixOwner, "root"); err != nil {
				return err
			}
		}
		if err := j.directory("queue/maildrop", 0o1730, postfixOwner, postfixDrop); err != nil {
			return err
		}
		if err := j.directory("queue/public", 0o2710, postfixOwner, postfixDrop); err != nil {
			return err
		}
		if err := j.directory("data", 0o700, postfixOwner, postfixOwner); err != nil {
			return err
		}
		return j.write("opendkim.conf", opendkimConf, map[string]string{"key": j.KeyFile, "socket": filepath.Join(j.dir, "milter")})
	},
	daemons: func(j *job, holding bool) (all []*daemon, err error) {
		master := filepath.Join(postfixHome(j).daemons, "master")
		if p := filepath.Join(j.senders, "bin/master"); exists(p) {
			master = p
		}
		// Without a queue manager, what comes in stays.
		manager := "qmgr unix n - n 300 1 qmgr"
		if holding {
			manager = ""
		}
		values := map[string]string{"port": fmt.Sprint(j.listen), "manager": manager}
		if err := j.write("etc/master.cf", postfixMaster, values); err != nil {
			return nil, err
		}
		if j.KeyFile != "" {
			milter, err := j.program("opendkim")
			if err != nil {
				return nil, err
			}
			all = append(all, &daemon{words: []string{milter, "-f", "-x", filepath.Join(j.dir, "opendkim.conf")}, ready: filepath.Join(j.dir, "milter")})
		}
		return append(all, &daemon{words: []string{master, "-c", filepath.Join(j.dir, "etc"), "-d"}, ready: j.intake()}), nil
	},
	queue: func(j *job) []string {
		var dirs []string
		for _, d := range []string{"incoming", "active", "deferred", "maildrop"} {
			dirs = append(dirs, filepath.Join(j.dir, "queue", d))
		}
		return dirs
	},
	version: func(j *job) string {
		tool, err := j.program("postconf")
		if err != nil {
			return ""
		}
		version := firstLine(tool, "-d", "-h", "mail_version")
		if j.KeyFile == "" {
			return version
		}
		return version + " with OpenDKIM"
	},
}

// Users that every Debian has: an own pair is not worth an installation.
const (
	postfixOwner = "mail"
	postfixDrop  = "games"
)

// home is where an installation of Postfix lies.
type home struct{ daemons, commands, libraries, meta string }

func postfixHome(j *job) home {
	root := filepath.Join(j.senders, "root")
	if !exists(filepath.Join(root, "usr/lib/postfix")) {
		root = "/"
	}
	return home{filepath.Join(root, "usr/lib/postfix/sbin"), filepath.Join(root, "usr/sbin"), filepath.Join(root, "usr/lib/postfix"), filepath.Join(root, "etc/postfix")}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func postfixValues(j *job) map[string]string {
	h := postfixHome(j)
	milters := ""
	if j.KeyFile != "" {
		milters = "unix:" + filepath.Join(j.dir, "milter")
	}
	return map[string]string{
		"dir": j.dir, "host": j.host, "port": j.port, "connections": fmt.Sprint(j.Connections), "milters": milters,
		"daemons": h.daemons, "commands": h.commands, "libraries": h.libraries, "meta": h.meta,
		"owner": postfixOwner, "drop": postfixDrop, "people": fmt.Sprint(2 * len(j.Letters.People)),
	}
}

const postfixMain = `
compatibility_level = 3.6
queue_directory = $(dir)/queue
data_directory = $(dir)/data
daemon_directory = $(daemons)
command_directory = $(commands)
shlib_directory = $(libraries)
meta_directory = $(meta)
import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C LD_LIBRARY_PATH
mail_owner = $(owner)
setgid_group = $(drop)
myhostname = bench.sender.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
local_header_rewrite_clients =
relayhost = [$(host)]:$(port)
disable_dns_lookups = yes
smtp_host_lookup = native
smtp_tls_security_level = none
smtp_address_preference = ipv4
smtp_connection_cache_destinations = [$(host)]:$(port)
smtp_connection_reuse_time_limit = 3600s
smtpd_peername_lookup = no
smtpd_client_restrictions =
smtpd_helo_restrictions =
smtpd_sender_restrictions =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
smtpd_data_restrictions =
smtpd_tls_security_level = none
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_event_limit_exceptions = static:all
smtpd_milters = $(milters)
milter_default_action = tempfail
default_process_limit = 200
initial_destination_concurrency = $(connections)
default_destination_concurrency_limit = $(connections)
smtp_destination_concurrency_limit = $(connections)
qmgr_message_active_limit = $(people)
qmgr_message_recipient_limit = $(people)
in_flow_delay = 0
enable_long_queue_ids = no
hash_queue_names = deferred defer
header_checks =
smtputf8_enable = no
`

const postfixMaster = `
127.0.0.1:$(port) inet n - n - - smtpd
cleanup   unix  n - n -     0 cleanup
$(manager)
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
verify    unix  - - n -     1 verify
proxymap  unix  - - n -     - proxymap
tlsmgr    unix  - - n 1000? 1 tlsmgr
smtp      unix  - - n -     - smtp
relay     unix  - - n -     - smtp
error     unix  - - n -     - error
retry     unix  - - n -     - error
anvil     unix  - - n -     1 anvil
scache    unix  - - n -     1 scache
`

// opendkimConf signs what this machine sends, and verifies nothing.
const opendkimConf = `
Mode s
Domain sender.test
Selector bench
KeyFile $(key)
Socket local:$(socket)
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
OversignHeaders From,Subject
InternalHosts 0.0.0.0/0
UMask 000
Syslog no
Background no
RequireSafeKeys false
MilterDebug 0
`
