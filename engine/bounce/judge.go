package bounce

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/penstock-mail/penstock/pool/smtp"
	"github.com/penstock-mail/penstock/throttle"
)

// Facts is what was observed. For a message they come from smtp.Outcome
// ([FactsOf]); for a connection that never became useful, Command is the step
// it failed at and Fate is smtp.NotAttempted.
type Facts struct {
	// Site is the name that package mx gave; rules for one site need it.
	Site    string
	Fate    smtp.Fate
	Command smtp.Command
	// Reply is the deciding reply; Code 0: there was none.
	Reply smtp.Reply
	// Err is why there was no reply.
	Err error
	// Fresh: the connection had carried no message before this one. A server
	// that ends a session at its first message is busy, not done.
	Fresh bool
}

// FactsOf takes the facts from a message's outcome.
func FactsOf(site string, out *smtp.Outcome) Facts {
	return Facts{Site: site, Fate: out.Fate, Command: out.Command, Reply: out.Reply, Err: out.Err}
}

// accepted is the answer to almost everything; nothing is looked up for it.
var accepted = Verdict{Class: Accepted, Scope: Recipient, Action: Deliver}

// Judge says what the facts mean. Any goroutine; for what was delivered it
// costs nothing.
func Judge(f Facts) Verdict {
	switch {
	case f.Fate == smtp.Delivered:
		return accepted
	case f.Reply.Code == 0:
		return silence(f)
	}
	text := strings.ToLower(f.Reply.Text)
	r := builtin.match(&f, text)
	v := f.verdict(r.class)
	hint := parseHint(text)
	if v.Action == Retry {
		v.RetryAfter = hint
	}
	if v.Signal.Kind != throttle.KindNone {
		v.Signal.RetryAfter = hint
		if r.rest > 0 {
			v.Signal.RetryAfter = r.rest
		}
		v.Signal.Hold = r.hold
	}
	if f.Reply.Code >= 500 && traits[v.Class].breaker && v.Action != Requeue {
		v.BreakerKey = refusalKey(f.Reply.Code, f.Reply.Enhanced, text)
	}
	return v
}

// silence judges what ended without a reply.
func silence(f Facts) Verdict {
	if f.Fate == smtp.Uncertain {
		return Verdict{Class: Lost, Scope: Recipient, Action: Doubt}
	}
	class := Network
	if f.Command == smtp.StartTLS || isTLS(f.Err) {
		class = TLS
	}
	return Verdict{Class: class, Scope: traits[class].scope, Action: Requeue}
}

func isTLS(err error) bool {
	if err == nil {
		return false
	}
	var (
		alert      tls.AlertError
		record     tls.RecordHeaderError
		cert       *tls.CertificateVerificationError
		authority  x509.UnknownAuthorityError
		wrongName  x509.HostnameError
		badCertify x509.CertificateInvalidError
	)
	return errors.As(err, &alert) || errors.As(err, &record) || errors.As(err, &cert) ||
		errors.As(err, &authority) || errors.As(err, &wrongName) || errors.As(err, &badCertify)
}

// verdict joins the class with the laws of the package: what was asked when
// the reply came decides more than its words.
func (f *Facts) verdict(class Class) Verdict {
	switch {
	case f.Command == smtp.StartTLS:
		class = TLS // whatever else they say
	case class == SessionEnd && f.Fresh:
		class = Busy
	}
	t := &traits[class]
	v := Verdict{Class: class, Scope: t.scope, Signal: throttle.Signal{Kind: t.signal}}
	permanent := f.Reply.Code >= 500
	switch f.Command {
	case smtp.Rcpt, smtp.End:
		v.Action = Retry
		if permanent {
			v.Action = t.permanent
		}
	case smtp.Data:
		// The recipient was accepted and the content not seen yet: neither is
		// to blame.
		v.Action = Retry
		if v.Scope == Recipient {
			v.Scope = Message
		}
	case smtp.Mail:
		v.Action = Retry
		v.Scope = SourceAndSite
		if !permanent && (v.Signal.Kind != throttle.KindNone || class == SessionEnd) {
			v.Action = Requeue
		}
	default:
		// Greeting, EHLO, STARTTLS, RSET, QUIT: no message was spoken of.
		v.Action = Requeue
		v.Scope = SourceAndSite
		if v.Signal.Kind == throttle.KindNone && class != SessionEnd && f.Command != smtp.Quit {
			v.Signal.Kind = throttle.Busy
		}
	}
	// RFC 5321 3.8: 421 may answer any command and speaks of the connection.
	if f.Reply.Code == 421 {
		v.Scope = SourceAndSite
		if f.Command != smtp.End {
			v.Action = Requeue
		}
		if v.Signal.Kind == throttle.KindNone && class != SessionEnd {
			v.Signal.Kind = throttle.Busy
		}
	}
	if f.Fate == smtp.NotAttempted && f.Command != smtp.Connect && f.Command != smtp.Ehlo &&
		f.Command != smtp.Helo && f.Command != smtp.StartTLS {
		// Behind somebody else's reply, which has its own verdict: the site
		// must not hear of it once for every message that waited.
		v.Action = Requeue
		v.Signal = throttle.Signal{}
	}
	return v
}
