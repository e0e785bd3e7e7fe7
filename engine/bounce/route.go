package bounce

import (
	"github.com/penstock-mail/penstock/mx"
	"github.com/penstock-mail/penstock/pool/smtp"
)

// Unroutable judges a domain for which package mx found no hosts, with the
// code and enhanced code (RFC 3463, RFC 7505) to record. A domain's verdict
// holds for each of its recipients. For mx.Found, and a status that was never
// set, the verdict's Action is ActionUnset: there is nothing to judge.
func Unroutable(status mx.Status) (v Verdict, code int, enhanced smtp.EnhancedCode) {
	permanent := Verdict{Class: DNS, Scope: Domain, Action: Bounce}
	switch status {
	case mx.NullMX:
		return permanent, 556, smtp.EnhancedCode{5, 1, 10} // RFC 7504, RFC 7505 4.2
	case mx.NoDomain:
		return permanent, 550, smtp.EnhancedCode{5, 1, 2}
	case mx.Prohibited:
		return permanent, 550, smtp.EnhancedCode{5, 4, 4}
	case mx.TemporaryFailure:
		// Not asked yet is no attempt.
		return Verdict{Class: DNS, Scope: Domain, Action: Requeue}, 451, smtp.EnhancedCode{4, 4, 3}
	case mx.Found, mx.StatusUnset:
	}
	return Verdict{}, 0, smtp.EnhancedCode{}
}
