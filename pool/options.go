package pool

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/penstock-mail/penstock/pool/smtp"
)

// Options of a Pool. Zero values take the defaults named.
type Options struct {
	// Sources to send from, at least one, each with a Hello; connections are
	// spread over them. Their addresses must exist on this machine.
	Sources []Source
	// Loops is the number of event loops; 0: one per processor.
	Loops int
	// Timeouts for replies; the zero value is smtp.DefaultTimeouts.
	Timeouts smtp.Timeouts
	// ConnectTimeout bounds one TCP connect to one address: 30 s.
	ConnectTimeout time.Duration
	// HandshakeTimeout bounds a TLS handshake: 30 s.
	HandshakeTimeout time.Duration
	// IdleTimeout closes a connection that has had nothing to send: 5 s.
	IdleTimeout time.Duration
	// TLS is the policy for all lanes; a lane may be stricter.
	TLS smtp.TLSMode
	// Roots is what lanes that verify certificates trust; nil: the system's.
	Roots *x509.CertPool
	// TopGear is the highest gear used; GearAuto: no limit.
	TopGear smtp.Gear
	// Window (max_in_doubt) is the most messages unanswered on one connection,
	// 1 to smtp.MaxWindow: 16.
	Window int
	// MaxConnections is the most connections at once in this process, those
	// being dialled included: by default what RLIMIT_NOFILE allows, less a reserve.
	MaxConnections int
	// DialConcurrency is the most dials at once, not counting those that have
	// already taken a second: 256.
	DialConcurrency int
	// PerConnection is how many waiting messages justify one more connection: 25.
	PerConnection int
	// RestFirst and RestMax: a failing host rests that long at first, and twice
	// as long each time it fails again: 15 s and 4 min.
	RestFirst, RestMax time.Duration
	// TraitsAge is how long what a host does not bear is remembered: 24 h.
	TraitsAge time.Duration
	// Memory keeps what hosts do not bear; nil: in this process only.
	Memory Memory
	// Observer is told what connections meet; nil: nobody.
	Observer Observer
	// Log is told when an event loop fails; nil: nobody is.
	Log *slog.Logger
	// Dial opens a connection, which must have a descriptor, as a *net.TCPConn
	// does; it may wait. nil: the event loops connect by themselves.
	Dial func(ctx context.Context, local netip.Addr, remote netip.AddrPort, timeout time.Duration) (net.Conn, error)
	// Now is the clock for gates, rests and durations; nil: time.Now.
	Now func() time.Time
}

// SiteOptions are one site's own.
type SiteOptions struct {
	// TopGear lowers the pool's for this site; GearAuto: the pool's.
	TopGear smtp.Gear
	// Line is the order in which lanes get places; nil: first come, first served.
	Line Line
}

// LaneOptions are one lane's own.
type LaneOptions struct {
	// RequireTLS: nothing is sent in plain, whatever the pool's policy.
	RequireTLS bool
	// Verify: the certificate must be valid for the host's name. It implies
	// RequireTLS.
	Verify bool
}

// prepare returns o with its defaults, or every bound it violates.
func (o Options) prepare() (Options, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if len(o.Sources) == 0 {
		bad("no source is given")
	}
	for _, s := range o.Sources {
		if s.Hello == "" {
			bad("source %q has no EHLO name", s.Name)
		}
		if err := sourceExists(s.Addr); err != nil {
			bad("source %q: %w", s.Name, err)
		}
	}
	setDefault(&o.ConnectTimeout, 30*time.Second)
	setDefault(&o.HandshakeTimeout, 30*time.Second)
	setDefault(&o.IdleTimeout, 5*time.Second)
	setDefault(&o.Window, smtp.DefaultWindow)
	setDefault(&o.MaxConnections, descriptorBudget())
	setDefault(&o.DialConcurrency, 256)
	setDefault(&o.PerConnection, 25)
	setDefault(&o.RestFirst, 15*time.Second)
	setDefault(&o.RestMax, 4*time.Minute)
	setDefault(&o.TraitsAge, 24*time.Hour)
	if o.Timeouts == (smtp.Timeouts{}) {
		o.Timeouts = smtp.DefaultTimeouts()
	}
	t := &o.Timeouts
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"connect time-out", o.ConnectTimeout}, {"handshake time-out", o.HandshakeTimeout},
		{"idle time-out", o.IdleTimeout}, {"first rest", o.RestFirst}, {"traits' age", o.TraitsAge},
		{"greeting time-out", t.Greeting}, {"EHLO time-out", t.Hello}, {"MAIL time-out", t.Mail},
		{"RCPT time-out", t.Rcpt}, {"DATA time-out", t.Data}, {"content time-out", t.End}, {"QUIT time-out", t.Quit},
		{"block time-out", t.Block},
	} {
		if d.d <= 0 {
			bad("%s is %v, must be more than 0", d.name, d.d)
		}
	}
	if o.RestMax < o.RestFirst {
		bad("longest rest %v is shorter than the first, %v", o.RestMax, o.RestFirst)
	}
	if o.Window < 1 || o.Window > smtp.MaxWindow {
		bad("window is %d, must be 1 to %d", o.Window, smtp.MaxWindow)
	}
	for _, n := range []struct {
		name string
		n    int
	}{{"connections", o.MaxConnections}, {"dial concurrency", o.DialConcurrency}, {"messages per connection opened", o.PerConnection}} {
		if n.n < 1 {
			bad("%s is %d, must be at least 1", n.name, n.n)
		}
	}
	if o.Memory == nil {
		o.Memory = newForgetful()
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := errors.Join(errs...); err != nil {
		return o, fmt.Errorf("pool options: %w", err)
	}
	return o, nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// sourceExists binds to the address once. Later, EADDRNOTAVAIL can only mean
// that no port is free, which is waited for.
func sourceExists(a netip.Addr) error {
	if !a.IsValid() {
		return nil
	}
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		return fmt.Errorf("address %v cannot be used: %w", a, err)
	}
	return l.Close()
}

// descriptorBudget is how many connections the process may hold: each is one
// descriptor, two for a moment around a handshake, and the ledger, the
// resolvers and the log need theirs.
func descriptorBudget() int {
	const reserve = 256
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return 512
	}
	n := int(min(lim.Cur, 1<<20))
	return max((n-reserve)*9/10, n/4, 1)
}

// nobody is the Observer of those who need none.
type nobody struct{}

func (nobody) ConnectFailed(*Site, Failure)     {}
func (nobody) Opened(*Site, *Connection)        {}
func (nobody) Closed(*Site, *Connection, error) {}
func (nobody) Waited(Step, time.Duration)       {}
