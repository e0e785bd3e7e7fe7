//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/penstock-mail/penstock/bench/senders/letters"
)

// haraka takes letters and queues them to its own outbound engine, in one
// process (a cluster's processes cost the same for each message), its log at
// errors only, connections as many as the scenario allows. haraka-plugin-dkim
// signs, each field once: it cannot sign one that is not there.
var haraka = &agent{
	name: "haraka",
	configure: func(j *job) error {
		plugins := "bench_relay\n"
		if j.KeyFile != "" {
			plugins += "dkim\n"
		}
		values := map[string]string{"host": j.host, "port": j.port, "listen": fmt.Sprint(j.listen), "connections": fmt.Sprint(j.Connections)}
		// Haraka does without a setting of its own, but not without this file.
		connection, err := os.ReadFile(filepath.Join(j.senders, "node/node_modules/Haraka/config/connection.ini"))
		if err != nil {
			return err
		}
		for name, text := range map[string]string{
			"config/plugins": plugins, "config/smtp.ini": harakaSMTP, "config/outbound.ini": harakaOutbound, "config/me": "bench.sender.test\n",
			"config/log.ini": "[main]\nlevel=error\n", "config/dkim.ini": harakaDKIM, "plugins/bench_relay.js": harakaRelay,
			"config/internalcmd_key": "", "config/connection.ini": string(connection),
		} {
			if err := j.write("haraka/"+name, text, values); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(filepath.Join(j.dir, "haraka/queue"), 0o755); err != nil {
			return err
		}
		if j.KeyFile == "" {
			return nil
		}
		key, err := os.ReadFile(j.KeyFile)
		if err != nil {
			return err
		}
		if err := j.write("haraka/config/dkim/sender.test/private", string(key), nil); err != nil {
			return err
		}
		return j.write("haraka/config/dkim/sender.test/selector", letters.Selector+"\n", nil)
	},
	daemons: func(j *job, _ bool) ([]*daemon, error) {
		node, err := exec.LookPath("node")
		if err != nil {
			return nil, err
		}
		words := []string{node, filepath.Join(j.senders, "node/node_modules/Haraka/bin/haraka"), "-c", filepath.Join(j.dir, "haraka")}
		return []*daemon{{words: words, env: []string{"NODE_PATH=" + filepath.Join(j.senders, "node/node_modules"), "NODE_ENV=production"}, ready: j.intake()}}, nil
	},
	queue: func(j *job) []string { return []string{filepath.Join(j.dir, "haraka/queue")} },
	version: func(j *job) string {
		words := strings.Fields(firstLine("node", filepath.Join(j.senders, "node/node_modules/Haraka/bin/haraka"), "--version"))
		if len(words) == 0 {
			return ""
		}
		return words[len(words)-1]
	},
}

const harakaSMTP = `listen=127.0.0.1:$(listen)
nodes=0
daemonize=false
`

const harakaOutbound = `concurrency_max=$(connections)
enable_tls=false
local_mx_ok=true
inet_prefer=v4
pool_concurrency_max=$(connections)
`

const harakaDKIM = `[sign]
enabled=true
domain=sender.test
selector=bench
headers=From, To, Subject, Date, Message-ID, MIME-Version, Content-Type, Content-Transfer-Encoding
[canon]
body=relaxed
[verify]
enabled=false
`

// harakaRelay lets this machine relay, and leads all domains to the sink.
const harakaRelay = `'use strict'
exports.hook_connect = (next, connection) => { connection.relaying = true; next() }
exports.hook_rcpt = (next) => next(OK)
exports.hook_get_mx = (next) => next(OK, { priority: 0, exchange: '$(host)', port: $(port) })
`
