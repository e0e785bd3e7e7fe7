package access

import (
	"crypto/x509"
	"maps"
	"slices"
)

// Certificates is which client certificates have which role, by a name that the
// certificate has: a DNS name, e-mail address or URI of its subjectAltName (RFC
// 5280 4.2.1.6), or its whole subject as RFC 2253 writes it, such as
// "CN=ops,O=Acme". Names are compared exactly.
type Certificates map[string]Role

// Caller is who shows a certificate that the listener has verified. With several
// names that have roles it is the one with the highest. ok is false when none
// has.
func (c Certificates) Caller(shown *x509.Certificate) (caller Caller, ok bool) {
	names := slices.Concat(shown.DNSNames, shown.EmailAddresses, []string{shown.Subject.String()})
	for _, u := range shown.URIs {
		names = append(names, u.String())
	}
	slices.Sort(names) // of two with the same role always the same one
	for _, name := range names {
		if role := c[name]; name != "" && role > caller.Role && role <= Admin {
			caller = Caller{Name: name, Role: role, Via: ViaCertificate}
		}
	}
	return caller, caller.Role != RoleUnset
}

// Equal reports that both give the same roles to the same names.
func (c Certificates) Equal(other Certificates) bool { return maps.Equal(c, other) }
