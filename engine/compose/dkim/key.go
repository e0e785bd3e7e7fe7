package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/penstock-mail/penstock/engine/compose/dkim/rsa8"
)

// Bounds of an RSA key's modulus. RFC 8301 3.2 lets a signer go down to 1024
// bits and advises 2048; large receivers treat the smaller ones as no
// signature. Verifiers need not take more than 4096.
const (
	MinRSABits = 2048
	MaxRSABits = 4096
)

// ErrWeakKey is an RSA key below MinRSABits.
var ErrWeakKey = errors.New("RSA key is too short")

// Algorithm is a signature algorithm, the a= tag.
type Algorithm string

// The two algorithms in use. rsa-sha1 is historic (RFC 8301).
const (
	RSASHA256     Algorithm = "rsa-sha256"
	Ed25519SHA256 Algorithm = "ed25519-sha256"
)

// Key is a private signing key, fit for use.
type Key struct {
	rsa     *rsa8.Key // nil for Ed25519
	ed25519 ed25519.PrivateKey
}

// LoadKey reads a key from a PEM file. Its errors name the file.
func LoadKey(path string) (*Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("dkim key: %w", err)
	}
	defer clear(text)
	key, err := ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("dkim key %s: %w", path, err)
	}
	return key, nil
}

// ParseKey reads the first private key in a PEM text: PKCS#1 ("RSA PRIVATE
// KEY") or PKCS#8 ("PRIVATE KEY"), RSA of 2048 to 4096 bits or Ed25519. What
// stands before it (openssl writes parameters there) is passed over. Everything
// that would keep the key from signing is an error here, and none later.
func ParseKey(text []byte) (*Key, error) {
	var seen string
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errors.New("the key is encrypted; store it decrypted, readable by Penstock alone")
			}
			private, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			clear(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("parse PKCS#1: %w", err)
			}
			return NewKey(private)
		case "PRIVATE KEY":
			private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			clear(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("parse PKCS#8: %w", err)
			}
			return NewKey(private)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("the key is encrypted; store it decrypted, readable by Penstock alone")
		}
		seen = block.Type
	}
	switch {
	case seen == "PUBLIC KEY" || seen == "RSA PUBLIC KEY":
		return nil, errors.New("this is a public key; signing takes the private one")
	case seen != "":
		return nil, fmt.Errorf("no private key in it, only %q", seen)
	case bytes.Contains(text, []byte("p=")):
		return nil, errors.New("not PEM; is this the DNS record?")
	}
	return nil, errors.New("not PEM (expected -----BEGIN PRIVATE KEY-----)")
}

// NewKey takes an *rsa.PrivateKey or an ed25519.PrivateKey.
func NewKey(private crypto.PrivateKey) (*Key, error) {
	switch k := private.(type) {
	case *rsa.PrivateKey:
		switch bits := k.N.BitLen(); {
		case bits < MinRSABits:
			return nil, fmt.Errorf("%w: %d bits, at least %d are needed (receivers ignore less)", ErrWeakKey, bits, MinRSABits)
		case bits > MaxRSABits:
			return nil, fmt.Errorf("RSA key of %d bits: receivers take at most %d", bits, MaxRSABits)
		}
		prepared, err := rsa8.NewKey(k)
		if err != nil {
			return nil, err
		}
		return &Key{rsa: prepared}, nil
	case ed25519.PrivateKey:
		if len(k) != ed25519.PrivateKeySize {
			return nil, fmt.Errorf("Ed25519 key of %d bytes, want %d", len(k), ed25519.PrivateKeySize)
		}
		return &Key{ed25519: k}, nil
	default:
		return nil, fmt.Errorf("a %T cannot sign DKIM: RSA and Ed25519 can", private)
	}
}

// Algorithm is the key's a= tag.
func (k *Key) Algorithm() Algorithm {
	if k.rsa != nil {
		return RSASHA256
	}
	return Ed25519SHA256
}

// Bits is the size of the modulus, 2048 to 4096, or 256 for Ed25519.
func (k *Key) Bits() int {
	if k.rsa != nil {
		return k.rsa.Size() * 8
	}
	return 256
}

// signatureSize is the signature's length in bytes.
func (k *Key) signatureSize() int {
	if k.rsa != nil {
		return k.rsa.Size()
	}
	return ed25519.SignatureSize
}

// Public is the public half: *rsa.PublicKey or ed25519.PublicKey.
func (k *Key) Public() crypto.PublicKey {
	if k.rsa != nil {
		return k.rsa.Public()
	}
	return k.ed25519.Public()
}

// Record is the text of the TXT record that publishes the key (RFC 6376
// 3.6.1), in one piece; a zone file wants strings of at most 255 bytes, see
// [Generated.ZoneLine].
func (k *Key) Record() string {
	var kind string
	var public []byte
	if k.rsa != nil {
		// SubjectPublicKeyInfo, which is what verifiers read in practice
		// (RFC 6376 erratum 3017).
		der, err := x509.MarshalPKIXPublicKey(k.rsa.Public())
		if err != nil {
			panic("dkim: marshal of a checked public key: " + err.Error())
		}
		kind, public = "rsa", der
	} else {
		kind, public = "ed25519", k.ed25519.Public().(ed25519.PublicKey) // RFC 8463 4.2: the bare 32 bytes
	}
	return "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(public)
}
