package pool

import (
	"net/netip"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
)

// Source is what a connection goes out from: a local address and the EHLO name
// that belongs to it.
type Source struct {
	Name string
	// Addr is the local address to bind; the zero value lets the system choose.
	Addr netip.Addr
	// Hello is the EHLO name (RFC 5321 4.1.1.1).
	Hello string
}

// Host is one SMTP server of a route.
type Host struct {
	// Name is what TLS verifies against and the report shows: an MX target or
	// a fixed route's target.
	Name string
	// Preference is the MX preference: lower first, equal ones share the load.
	Preference uint16
	// Addrs are tried in order within one connect.
	Addrs []netip.AddrPort
}

// Queue is where a lane's connections pull from. The engine implements it.
type Queue interface {
	// Pull appends at most n messages for a connection, fit for the capabilities
	// of its server. Fewer, or none, means that no more are ready now; Lane.Wake follows
	// when there are. Event loop: must not block.
	Pull(dst []*smtp.Message, via *Connection, n int) []*smtp.Message
	// Settle takes the fate of a pulled message; NotAttempted hands it back.
	// Called exactly once for every message pulled. Event loop: must not block.
	Settle(via *Connection, m *smtp.Message, out *smtp.Outcome, took time.Duration)
	// Backlog is about how many messages wait, ready or not yet composed: the
	// lane sizes itself by it. Negative: none, and none is expected, so that a
	// connection without a message need not wait for more. Any goroutine.
	Backlog() int
	// Unreachable reports that every host of the route was tried in this round
	// and none could be used; the last failure is given. The lane rests until
	// retry. Any goroutine.
	Unreachable(f Failure, retry time.Time)
}

// Gate holds a site to its limits for one source. package throttle has the
// rules; the engine joins the two.
type Gate interface {
	// Connect asks for a place for one more connection. ok false: not now; try
	// again after wait, or when a place is free if wait is 0. Each true is
	// given back by exactly one Disconnect.
	Connect(now time.Time) (ok bool, wait time.Duration)
	Disconnect(now time.Time)
	// Grant asks to begin n messages; granted 0 to n. When granted < n, wait
	// is how long until the next may begin (0: ask again when called upon).
	Grant(now time.Time, n int) (granted int, wait time.Duration)
	// Refund gives back grants that were not used.
	Refund(now time.Time, n int)
	// MessagesPerConnection is the most messages one connection may carry; 0:
	// no limit.
	MessagesPerConnection() int
}

// Observer hears what connections meet. Event loops and handshakes' goroutines:
// must not block.
type Observer interface {
	// ConnectFailed: a connection could not be made useful: dial, greeting,
	// EHLO, STARTTLS or handshake. The place at the gate was given back.
	ConnectFailed(s *Site, f Failure)
	// Opened and Closed bracket a connection that became ready.
	Opened(s *Site, c *Connection)
	Closed(s *Site, c *Connection, why error)
	// Waited: a connection stood at a step for so long until the server moved.
	Waited(at Step, took time.Duration)
}

// Failure is why a host could not be used.
type Failure struct {
	Host   string
	Addr   netip.AddrPort
	Source string
	At     time.Time
	// Step is what was being done: smtp.Connect covers dial and greeting.
	Step smtp.Command
	// Reply is the server's answer when it gave one (Code 0: none).
	Reply smtp.Reply
	// Err is set when there was no reply: time-out, refused, TLS.
	Err error
}

// Traits is what a host turned out not to bear. The zero value: nothing known.
type Traits struct {
	// TopGear is the highest gear that works; GearAuto: no limit known.
	TopGear smtp.Gear
	// Window is the largest window that works; 0: no limit known.
	Window int
	// Plain: the TLS handshake failed; opportunistic TLS is left out.
	Plain bool
	// Reason is for people.
	Reason string
	// Until is when to try anew.
	Until time.Time
}

// Memory keeps Traits per host, across restarts if the owner stores them.
// Any goroutine; must not block.
type Memory interface {
	Recall(host string, now time.Time) Traits
	Remember(host string, t Traits)
}
