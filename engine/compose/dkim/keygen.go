package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// Kind is a kind of key to generate.
type Kind string

// What [Generate] makes. RSA2048 is what every receiver takes and the only
// size that signs eight at a time.
const (
	RSA2048 Kind = "rsa2048"
	RSA3072 Kind = "rsa3072"
	RSA4096 Kind = "rsa4096"
	Ed25519 Kind = "ed25519"
)

// Generated is a new key and how to publish it.
type Generated struct {
	Key *Key
	// PEM is the private key, PKCS#8. Keep it in a file of mode 0600.
	PEM []byte
	// Name is the record's owner name, without the final dot.
	Name string
	// Record is the TXT record's text, in one piece.
	Record string
}

// Generate makes a new key for a selector of a domain.
func Generate(domain, selector string, kind Kind) (*Generated, error) {
	if err := checkNames(domain, selector); err != nil {
		return nil, fmt.Errorf("dkim keygen: %w", err)
	}
	private, err := generatePrivate(kind)
	if err != nil {
		return nil, fmt.Errorf("dkim keygen: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("dkim keygen: %w", err)
	}
	key, err := NewKey(private)
	if err != nil {
		return nil, fmt.Errorf("dkim keygen: %w", err)
	}
	return &Generated{
		Key:    key,
		PEM:    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		Name:   RecordName(domain, selector),
		Record: key.Record(),
	}, nil
}

func generatePrivate(kind Kind) (crypto.PrivateKey, error) {
	switch kind {
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	case Ed25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	default:
		return nil, fmt.Errorf("unknown kind %q: rsa2048, rsa3072, rsa4096 and ed25519 are known", kind)
	}
}

// RecordName is where a selector's key is published (RFC 6376 3.6.2.1).
func RecordName(domain, selector string) string {
	return selector + "._domainkey." + domain
}

// ZoneLine is the record as a line for a zone file: strings of at most 255
// bytes, since a TXT record's strings hold no more (RFC 6376 3.6.2.2).
func (g *Generated) ZoneLine() string {
	var b strings.Builder
	b.WriteString(g.Name)
	b.WriteString(". IN TXT (")
	for rest := g.Record; rest != ""; {
		n := min(len(rest), 255)
		b.WriteString(` "` + rest[:n] + `"`)
		rest = rest[n:]
	}
	b.WriteString(" )")
	return b.String()
}
