package rsa8

import (
	"crypto/rsa"
	"fmt"
)

// Key is a private key, prepared for signing. It does not change once made and
// serves any number of goroutines.
type Key struct {
	private *rsa.PrivateKey
	lanes   *prepared // nil if the eight lanes do not take it
}

// NewKey checks a key (its parts must belong together) and prepares it. The
// key must not be changed afterwards.
func NewKey(private *rsa.PrivateKey) (*Key, error) {
	if err := private.Validate(); err != nil {
		return nil, fmt.Errorf("RSA key: %w", err)
	}
	private.Precompute()
	key := &Key{private: private}
	if path == Eight {
		key.lanes = prepare(private)
	}
	return key, nil
}

// Size is the length of a signature in bytes.
func (k *Key) Size() int { return k.private.Size() }

// Public is the public half.
func (k *Key) Public() *rsa.PublicKey { return &k.private.PublicKey }

// Path is how this key signs.
func (k *Key) Path() Path {
	if k.lanes != nil {
		return Eight
	}
	return Generic
}
