//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// opensmtpd relays to one host with its limits on connections raised; the filter
// dkimsign signs on the way in. Its spool's place is compiled in: the daemon gets
// a view of the file system in which the run's directory lies there.
var opensmtpd = &agent{
	name: "opensmtpd",
	configure: func(j *job) error {
		for _, d := range []string{"/var/spool/smtpd", "/var/lib/opensmtpd/empty"} {
			if err := os.MkdirAll(d, 0o711); err != nil {
				return err
			}
		}
		if err := j.directory("spool", 0o711, "root", "root"); err != nil {
			return err
		}
		for _, d := range []struct {
			name, owner, group string
			mode               os.FileMode
		}{
			{"queue", "opensmtpq", "root", 0o700}, {"corrupt", "opensmtpq", "root", 0o700}, {"incoming", "opensmtpq", "root", 0o700},
			{"temporary", "opensmtpq", "root", 0o700}, {"purge", "opensmtpq", "root", 0o700}, {"offline", "root", "opensmtpq", 0o770},
		} {
			if err := j.directory("spool/"+d.name, d.mode, d.owner, d.group); err != nil {
				return err
			}
		}
		filter, use := "", ""
		if j.KeyFile != "" {
			program, err := j.program("filter-dkimsign")
			if err != nil {
				return err
			}
			key, err := os.ReadFile(j.KeyFile)
			if err != nil {
				return err
			}
			// The filter is not root when it reads the key.
			if err := os.WriteFile(filepath.Join(j.dir, "key.pem"), key, 0o644); err != nil {
				return err
			}
			filter = fmt.Sprintf("filter \"dkim\" proc-exec \"%s -a rsa-sha256 -c relaxed/relaxed -d sender.test -s bench -k %s\" user opensmtpd group opensmtpd", program, filepath.Join(j.dir, "key.pem"))
			use = "filter \"dkim\""
		}
		return j.write("smtpd.conf", opensmtpdConf, map[string]string{
			"host": j.host, "port": j.port, "listen": fmt.Sprint(j.listen), "connections": fmt.Sprint(j.Connections), "filter": filter, "use": use,
		})
	},
	daemons: func(j *job, _ bool) ([]*daemon, error) {
		program, err := j.program("smtpd")
		if err != nil {
			return nil, err
		}
		view := `mount --bind "$1" /var/spool/smtpd && mount -t tmpfs none /run && exec "$2" -d -f "$3"`
		words := []string{"unshare", "--mount", "/bin/sh", "-c", view, "sh", filepath.Join(j.dir, "spool"), program, filepath.Join(j.dir, "smtpd.conf")}
		return []*daemon{{words: words, ready: j.intake()}}, nil
	},
	queue: func(j *job) []string {
		return []string{filepath.Join(j.dir, "spool/queue"), filepath.Join(j.dir, "spool/incoming")}
	},
	version: func(j *job) string {
		program, err := j.program("smtpd")
		if err != nil {
			return ""
		}
		return strings.TrimPrefix(firstLine(program, "-h"), "version: OpenSMTPD ")
	},
}

const opensmtpdConf = `
mta limit max-conn-per-host $(connections)
mta limit max-conn-per-route $(connections)
mta limit max-conn-per-source $(connections)
mta limit max-conn-per-connector $(connections)
mta limit max-conn-per-relay $(connections)
mta limit max-conn-per-domain $(connections)
mta limit conn-delay-host 0
mta limit conn-delay-route 0
mta limit conn-delay-source 0
mta limit conn-delay-connector 0
mta limit conn-delay-relay 0
mta limit conn-delay-domain 0
mta limit reconn-delay-route 0
mta limit session-transaction-delay 0
mta max-deferred 100000
scheduler limit max-inflight 100000
$(filter)
listen on 127.0.0.1 port $(listen) hostname bench.sender.test $(use)
action "out" relay host "smtp://$(host):$(port)" helo bench.sender.test
match from any for any action "out"
`
