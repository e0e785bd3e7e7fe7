package config

import (
	"net/netip"
	"time"

	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/signature"
)

// Rate is so many events per time; the zero Rate was not given, "none" has an
// infinite Count.
type Rate = document.Rate

// Config is every setting, with defaults filled in.
type Config struct {
	// File is the configuration's path; empty when there is none.
	File string

	// Hostname is the EHLO name of sources that have none of their own.
	Hostname string
	// Data is the data directory.
	Data string

	DNS     DNS
	MX      MX
	SMTP    SMTP
	Routes  map[string]string // domain (lower-case A-labels) or "*" to host:port
	Sources []Source          // never empty
	Limits  Limits
	Retry   Retry
	// Breaker is how many recipients in a row must meet the same policy refusal
	// for a site to be rested; 0: never.
	Breaker int
	Ledger  Ledger
	Events  Events
	// Suppress is files of addresses and domains that are never written to.
	Suppress []string
	// DKIM is the signatures for campaigns that name none of their own, by the
	// domain of their From address.
	DKIM []signature.Setting
	// Serve is how the control plane is reached.
	Serve Serve
	Log   Log
	// Intake is what campaigns that come over the API may name.
	Intake Intake
	// MaxInDoubt is the most recipients a connection may have unanswered, and
	// so the most that become uncertain if it breaks: 1 to 128.
	MaxInDoubt int

	origins map[string]Origin
}

// DNS is how names are resolved.
type DNS struct {
	// Servers are host:port; empty: the system's resolvers.
	Servers []string
	// Timeout is for one question to one server.
	Timeout time.Duration
	// Concurrency is the most look-ups at once.
	Concurrency int
}

// MX is which hosts may be connected to, and what sites they make up.
type MX struct {
	// Prohibited networks are never connected to. nil: the built-in list
	// (loopback, private, link-local and the like); empty: none.
	Prohibited []netip.Prefix
	// Rules is a file of site names that goes before the built-in one; empty:
	// none.
	Rules string
}

// SMTP is how the dialogue is held.
type SMTP struct {
	// Port of MX hosts.
	Port int
	// Gear is the highest one: auto, lock-step, pipelining or chunking.
	Gear string
	// TLS is none, opportunistic or require.
	TLS      string
	Timeouts Timeouts
	// Drain is how long a stop waits for messages on the wire.
	Drain time.Duration
}

// Timeouts is how long to wait in each phase (RFC 5321 4.5.3.2).
type Timeouts struct {
	Connect  time.Duration
	Greeting time.Duration
	TLS      time.Duration // the handshake
	Hello    time.Duration // EHLO, HELO, STARTTLS, RSET
	Mail     time.Duration
	Rcpt     time.Duration
	Data     time.Duration // the 354
	Block    time.Duration // a write without progress
	End      time.Duration // the final dot or BDAT LAST
	Quit     time.Duration
	Idle     time.Duration // an open connection without a message
}

// Source is what connections go out from.
type Source struct {
	Name string
	// IP is the local address; the zero Addr lets the system choose.
	IP   netip.Addr
	EHLO string
}

// Limits is what destinations are held to.
type Limits struct {
	// Default has nothing left unsaid but rates, which are then unlimited.
	Default Limit
	// Sites by site name, Domains by domain (lower-case A-labels); what they
	// leave unsaid is filled from Default.
	Sites, Domains map[string]Limit
}

// Limit is the bounds for one site and source.
type Limit struct {
	// Connections is the most open at once.
	Connections    int
	ConnectionRate Rate
	MessageRate    Rate
	// MessagesPerConnection closes a connection after so many.
	MessagesPerConnection int
	// Gear as SMTP.Gear.
	Gear string
}

// Retry is when a deferred recipient is tried again: after First, then Factor
// times the last wait, at most Max, until Expire after the first attempt.
type Retry struct {
	First  time.Duration
	Factor float64
	Max    time.Duration
	Expire time.Duration
}

// Ledger is how the data directory is written.
type Ledger struct {
	// SyncEvery is the longest that an outcome waits for its fdatasync.
	SyncEvery time.Duration
	// MinFree is the free space in octets below which sending stops.
	MinFree int64
	// Cache is Pebble's block cache in octets.
	Cache int64
}

// Intake is what campaigns that come over the API may name.
type Intake struct {
	// Folder is where the files lie that they may name without sending them;
	// empty: none may be named.
	Folder string
}

// Serve is how the control plane is reached beside the Unix socket.
type Serve struct {
	// Listen is host:port of a TCP listener; empty: none. Off loopback it takes TLS.
	Listen string
	TLS    ServeTLS
	// Clients is the role of client certificates by a name that they have.
	Clients map[string]string
	// Streams are the most that may be open at once, in all and of one caller.
	Streams, StreamsPerClient int
}

// ServeTLS is files in PEM form; empty: none.
type ServeTLS struct {
	Cert, Key string
	// ClientCA signs the client certificates that are taken.
	ClientCA string
}

// Events is how long the event log is kept; recipients' histories are kept in
// any case.
type Events struct {
	// Keep is for how long; 0: for ever.
	Keep time.Duration
	// MaxSize is the most that the log may take, in octets; 0: no bound.
	MaxSize int64
}

// Log is what is logged where.
type Log struct {
	Level  string // debug, info, warn, error
	Format string // text, json
	File   string // empty: standard error
}

// DefaultSource is the name of the only source when none is configured.
const DefaultSource = "default"

// defaults is every default in one place. What depends on other settings is
// filled by complete.
func defaults(hostname string) *Config {
	return &Config{
		Hostname: hostname,
		Data:     "./penstock-data",
		DNS:      DNS{Timeout: 5 * time.Second, Concurrency: 200},
		SMTP: SMTP{
			Port: 25, Gear: "auto", TLS: "opportunistic", Drain: 30 * time.Second,
			Timeouts: Timeouts{
				Connect:  30 * time.Second,
				Greeting: 5 * time.Minute,  // RFC 5321 4.5.3.2.1
				TLS:      30 * time.Second, //
				Hello:    5 * time.Minute,  // not given there: as MAIL
				Mail:     5 * time.Minute,  // 4.5.3.2.2
				Rcpt:     5 * time.Minute,  // 4.5.3.2.3
				Data:     2 * time.Minute,  // 4.5.3.2.4
				Block:    3 * time.Minute,  // 4.5.3.2.5
				End:      10 * time.Minute, // 4.5.3.2.6
				Quit:     5 * time.Second,  // nothing depends on its answer
				Idle:     5 * time.Second,
			},
		},
		Routes: map[string]string{},
		Limits: Limits{
			Default: Limit{Connections: 20, MessagesPerConnection: 1000},
			Sites:   map[string]Limit{}, Domains: map[string]Limit{},
		},
		Retry:      Retry{First: 5 * time.Minute, Factor: 2, Max: 4 * time.Hour, Expire: 72 * time.Hour},
		Breaker:    20,
		Ledger:     Ledger{SyncEvery: 2 * time.Millisecond, MinFree: 256e6, Cache: 64e6},
		Serve:      Serve{Clients: map[string]string{}, Streams: 1000, StreamsPerClient: 250},
		Events:     Events{Keep: 7 * 24 * time.Hour, MaxSize: 2 << 30},
		Log:        Log{Level: "info", Format: "text"},
		MaxInDoubt: 16,
		origins:    map[string]Origin{},
	}
}

// over fills what l leaves unsaid from wider.
func (l Limit) over(wider Limit) Limit {
	if l.Connections == 0 {
		l.Connections = wider.Connections
	}
	if l.ConnectionRate.Per == 0 {
		l.ConnectionRate = wider.ConnectionRate
	}
	if l.MessageRate.Per == 0 {
		l.MessageRate = wider.MessageRate
	}
	if l.MessagesPerConnection == 0 {
		l.MessagesPerConnection = wider.MessagesPerConnection
	}
	if l.Gear == "" {
		l.Gear = wider.Gear
	}
	return l
}
