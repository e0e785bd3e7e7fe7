package rsa8

import (
	"crypto/rsa"
	"fmt"
)

// Key is a private key, prepared for signing. It does not change once made and
// serves any number of goroutines.
type Key struct {
	private *rsa.PrivateKey
}

// NewKey checks a key (its parts must belong together) and prepares it. The
// key must not be changed afterwards.
func NewKey(private *rsa.PrivateKey) (*Key, error) {
	if err := private.Validate(); err != nil {
		return nil, fmt.Errorf("RSA key: %w", err)
	}
	private.Precompute()
	return &Key{private: private}, nil
}

// Size is the length of a signature in bytes.
func (k *Key) Size() int { return k.private.Size() }

// Public is the public half.
func (k *Key) Public() *rsa.PublicKey { return &k.private.PublicKey }
