package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// Options are what a sink starts with.
type Options struct {
	// Listen are addresses "host:port"; port 0 takes a free one. Default one
	// at 127.0.0.1:0.
	Listen []string
	// Script is behaviour; nil: a plain, fast server.
	Script *Script
	// Accept sees every accepted message before its answer leaves. It is
	// called on event loops, for several connections at once, and must not
	// block; what it is given dies when it returns.
	Accept func(*Message)
	// Record is a file that gets one line for each accepted recipient, written
	// before the answer leaves; an existing one is added to. See [ReadArrivals].
	Record string
	// IDHeader is the header whose value identifies a message in the record;
	// default Message-ID.
	IDHeader string
	// Maildir is a directory that gets every accepted message as a file.
	Maildir string
	// Certificate for STARTTLS; nil: one is made.
	Certificate *tls.Certificate
	// Loops is the number of event loops; default one for each processor.
	Loops int
	// LocalOnly closes connections from other machines at once: for listening
	// on 0.0.0.0, which stands for the whole of 127.0.0.0/8.
	LocalOnly bool
	// Log hears what goes wrong inside; nil: nothing is logged.
	Log *slog.Logger
}

// Sink is a running server.
type Sink struct {
	options  Options
	profiles []*profile
	epoch    time.Time
	addrs    []string
	tls      *tls.Config
	certPEM  []byte
	recorder *recorder
	engine   gnet.Engine
	stopped  chan struct{} // closed when the loops have ended

	all         counters // connections only; the rest is summed over hosts
	serial      atomic.Uint64
	first, last atomic.Int64

	mu    sync.Mutex
	hosts map[netip.AddrPort]*host // guarded by mu

	// gate is read-locked by timers that are about to reach for a loop, so that
	// none does while, or after, the loops are torn down.
	gate    sync.RWMutex
	closing bool // guarded by gate

	securedMu sync.Mutex
	secured   map[*secureLink]struct{} // guarded by securedMu
	waiting   sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

// Start listens, and returns when connections are welcome.
func Start(o Options) (*Sink, error) {
	if len(o.Listen) == 0 {
		o.Listen = []string{"127.0.0.1:0"}
	}
	if o.Script == nil {
		o.Script = new(Script)
	}
	if m := o.Script.check(); len(m) > 0 {
		return nil, fmt.Errorf("sink: script: %s: %s", m[0].path, m[0].text)
	}
	if o.Loops <= 0 {
		o.Loops = runtime.GOMAXPROCS(0)
	}
	s := &Sink{
		options: o, profiles: compile(o.Script), epoch: time.Now(), stopped: make(chan struct{}),
		hosts: map[netip.AddrPort]*host{}, secured: map[*secureLink]struct{}{},
	}
	if err := s.prepareTLS(o.Certificate); err != nil {
		return nil, err
	}
	if o.Record != "" || o.Maildir != "" || o.Accept != nil {
		var err error
		if s.recorder, err = openRecorder(&s.options); err != nil {
			return nil, err
		}
	}
	if err := s.listen(); err != nil {
		if s.recorder != nil {
			err = errors.Join(err, s.recorder.close())
		}
		return nil, err
	}
	return s, nil
}

// listen runs the event loops.
func (s *Sink) listen() error {
	var held reservations
	defer held.release()
	urls := make([]string, len(s.options.Listen))
	for i, l := range s.options.Listen {
		addr, err := held.resolve(l)
		if err != nil {
			return fmt.Errorf("sink: listen on %s: %w", l, err)
		}
		s.addrs = append(s.addrs, addr.String())
		urls[i] = "tcp://" + addr.String()
	}
	h := &handler{sink: s, booted: make(chan gnet.Engine, 1)}
	failed := make(chan error, 1)
	go func() {
		failed <- gnet.Rotate(h, urls,
			gnet.WithNumEventLoop(s.options.Loops), gnet.WithReuseAddr(true), gnet.WithReadBufferCap(256<<10),
			gnet.WithLogger(loopLog{s.options.Log}))
		close(s.stopped)
	}()
	select {
	case s.engine = <-h.booted:
		return nil
	case err := <-failed:
		if err == nil {
			err = errors.New("the loops ended before they began")
		}
		return fmt.Errorf("sink: listen on %v: %w", s.options.Listen, err)
	}
}

// Addrs returns the addresses in the order of Options.Listen, with real ports.
func (s *Sink) Addrs() []string { return append([]string(nil), s.addrs...) }

// Certificate returns the server's certificate in PEM form, for clients that
// are to trust it.
func (s *Sink) Certificate() []byte { return append([]byte(nil), s.certPEM...) }

// Stats returns what was seen so far.
func (s *Sink) Stats() Stats {
	st := Stats{First: time.Duration(s.first.Load()), Last: time.Duration(s.last.Load()), Listeners: map[string]Totals{}}
	s.mu.Lock()
	for _, h := range s.hosts {
		t := h.count.totals()
		st.Listeners[string(h.key)] = t
		st.Totals.add(t)
	}
	s.mu.Unlock()
	st.MaxConnections = s.all.maxOpen.Load()
	return st
}

// Close ends all connections and loops, and closes the record. It may be called
// more than once.
func (s *Sink) Close() error {
	s.closeOnce.Do(func() {
		s.gate.Lock()
		s.closing = true
		s.gate.Unlock()
		// With a context that is over, Stop asks the loops to end and does not
		// poll for it every half second; stopped tells when they have.
		over, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.engine.Stop(over); err != nil && !errors.Is(err, context.Canceled) {
			s.closeErr = fmt.Errorf("sink: stop: %w", err)
		}
		<-s.stopped
		s.securedMu.Lock()
		for l := range s.secured {
			l.conn.Close()
		}
		s.securedMu.Unlock()
		s.waiting.Wait()
		if s.recorder != nil {
			s.closeErr = errors.Join(s.closeErr, s.recorder.close())
		}
	})
	return s.closeErr
}

func (s *Sink) now() time.Duration { return time.Since(s.epoch) }

// host returns the record of a local address, made when first asked for.
func (s *Sink) host(a netip.AddrPort) *host {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[a]
	if h == nil {
		h = &host{addr: a, key: []byte(a.String()), prof: s.profiles[len(s.profiles)-1]}
		for _, p := range s.profiles {
			if p.serves(a) {
				h.prof = p
				break
			}
		}
		s.hosts[a] = h
	}
	return h
}

// newSession begins the dialogue of a connection that came in at local.
func (s *Sink) newSession(local netip.AddrPort) *session {
	h := s.host(local)
	h.count.opened()
	s.all.opened()
	return &session{prof: h.prof, host: h, serial: s.serial.Add(1), recorder: s.recorder}
}

// gone is the counterpart of newSession.
func (s *Sink) gone(d *session) {
	d.host.count.closed()
	if d.entered {
		d.host.leave()
	}
	s.all.closed()
	s.settle(d)
}

// settle makes the session's counts and records known. It comes before the
// replies leave, so that what a client was told is what the sink says.
func (s *Sink) settle(d *session) {
	if d.tally.accepted > 0 {
		now := max(1, int64(d.now))
		s.first.CompareAndSwap(0, now)
		s.last.Store(now)
		if s.recorder != nil {
			if err := s.recorder.flush(); err != nil {
				s.complain("record", err)
			}
		}
	}
	d.host.count.report(&d.tally)
	d.tally = tally{}
}

func (s *Sink) complain(what string, err error) {
	if s.options.Log != nil {
		s.options.Log.Error("sink: "+what, "error", err)
	}
}

// addrPort converts an address of the net package.
func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
