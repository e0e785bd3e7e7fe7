package pool

import (
	"net/netip"

	"github.com/penstock-mail/penstock/pool/smtp"
)

// Tap hears the dialogues of all connections, those on the way included; under
// TLS, what is said above it. Event loops: it must not block, and what it is given
// is only lent for the call.
type Tap interface {
	Hear(d *Dialogue, l *smtp.Line)
}

// Dialogue is the one connection that a line belongs to.
type Dialogue struct {
	// Connection is a number of its own within this process.
	Connection         uint64
	Site, Host, Source string
	Addr               netip.AddrPort
	// TLS is the protocol version; empty: plain.
	TLS string
}

// SetTap has t hear all dialogues from here on; nil ends it. Connections take
// notice with their next event, so that without one an event costs one atomic
// load.
func (p *Pool) SetTap(t Tap) {
	if t == nil {
		p.tap.Store(nil)
		return
	}
	p.tap.Store(&t)
}

// ear is a connection's end of the tap, made when there is one.
type ear struct {
	pool *Pool
	Dialogue
}

// Line implements smtp.Tap.
func (e *ear) Line(l *smtp.Line) {
	if t := e.pool.tap.Load(); t != nil {
		(*t).Hear(&e.Dialogue, l)
	}
}

// note tells of what is no line: the connection's beginning and end.
func (e *ear) note(text string) {
	if e != nil {
		e.Line(&smtp.Line{Kind: smtp.Noted, Text: []byte(text)})
	}
}

// listen brings the connection in line with whether there is a tap. Loop only.
func (c *Connection) listen() {
	p := c.lane.site.pool
	if on := p.tap.Load() != nil; on != (c.ear != nil) {
		c.ear = p.attend(c.session, on, Dialogue{
			Connection: c.id, Site: c.lane.site.name, Host: c.to.Name, Source: c.Source(), Addr: c.addr, TLS: c.tls,
		})
	}
}

// listen is the same on the way to one. REQUIRES: there is a session.
func (a *approach) listen() {
	p := a.lane.site.pool
	if on := p.tap.Load() != nil; on != (a.ear != nil) {
		a.ear = p.attend(a.session, on, a.dialogue())
	}
}

// dialogue is the one that the approach leads.
func (a *approach) dialogue() Dialogue {
	s := a.lane.site
	d := Dialogue{Connection: a.id, Site: s.name, Host: a.to.Name, Source: s.pool.opts.Sources[a.source].Name, Addr: a.addr}
	if a.link != nil {
		d.TLS = a.link.Version()
	}
	return d
}

// noteEnd tells how the approach failed, also where there was nothing to hear.
func (a *approach) noteEnd() {
	p := a.lane.site.pool
	if p.tap.Load() != nil {
		(&ear{p, a.dialogue()}).note("closed: " + a.why.Error())
	}
}

// attend begins to listen to a session, or ends it.
func (p *Pool) attend(s *smtp.Session, on bool, d Dialogue) *ear {
	if !on {
		s.SetTap(nil)
		return nil
	}
	e := &ear{pool: p, Dialogue: d}
	s.SetTap(e)
	return e
}
