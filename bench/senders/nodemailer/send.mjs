// Sends a scenario's letters with nodemailer: a pool of connections that stay
// open, and as many messages handed in as twice the connections. It composes and
// (with --key) signs itself, as it does for its users.
import fs from "node:fs"
import path from "node:path"
import { createRequire } from "node:module"
import { parseArgs } from "node:util"

const string = { type: "string" }
const { values: o } = parseArgs({ options: { modules: string, people: string, body: string, sink: string, connections: string, key: string, stats: string } })
const require = createRequire(path.join(o.modules, "package.json"))
const nodemailer = require("nodemailer")

const began = { at: process.hrtime.bigint(), cpu: process.cpuUsage() }
// phase is what stats.Phase has: since a beginning, or since the process's start.
const phase = (from) => {
  const cpu = process.cpuUsage(from.cpu)
  return { wall_ns: Number(process.hrtime.bigint() - from.at), user_ns: cpu.user * 1000, system_ns: cpu.system * 1000, mallocs: 0, alloc_bytes: 0, gcs: 0 }
}

const [columns, ...rows] = fs.readFileSync(o.people, "utf8").trimEnd().split("\n").map((line) => line.split(","))
const parts = fs.readFileSync(o.body, "utf8").split(/\{\{ (\w+) \}\}/).map((text, i) => (i % 2 ? columns.indexOf(text) : text))
const load = phase(began)
const sending = { at: process.hrtime.bigint(), cpu: process.cpuUsage() }

const [host, port] = o.sink.split(":")
const connections = Number(o.connections)
const options = { pool: true, host, port: Number(port), name: "bench.sender.test", maxConnections: connections, maxMessages: Infinity, ignoreTLS: true, disableFileAccess: true, disableUrlAccess: true }
if (o.key) options.dkim = { domainName: "sender.test", keySelector: "bench", privateKey: fs.readFileSync(o.key, "utf8"), cacheDir: false }
const transport = nodemailer.createTransport(options)

let next = 0
const worker = async () => {
  while (next < rows.length) {
    const row = rows[next++]
    await transport.sendMail({
      from: "Bench <bench@sender.test>",
      to: row[0],
      subject: "News for " + row[2],
      headers: { "X-Row": row[1] },
      html: parts.map((p) => (typeof p === "number" ? row[p] : p)).join(""),
    })
  }
}
await Promise.all(Array.from({ length: 2 * connections }, worker))
transport.close()

fs.writeFileSync(o.stats, JSON.stringify({
  version: 1, program: "nodemailer", revision: require("nodemailer/package.json").version, go: "", gomaxprocs: 0,
  recipients: rows.length, sent: rows.length, load, send: phase(sending), ledger: {},
}))
