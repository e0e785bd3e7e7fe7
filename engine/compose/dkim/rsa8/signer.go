package rsa8

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
)

// Job is one signature to make.
type Job struct {
	Key *Key
	// Digest is the SHA-256 of what is signed.
	Digest [sha256.Size]byte
	// Signature receives the result: Key.Size() bytes of the caller's.
	Signature []byte
}

// signGeneric signs with crypto/rsa, which checks its own result.
func signGeneric(j *Job) error {
	signature, err := rsa.SignPKCS1v15(nil, j.Key.private, crypto.SHA256, j.Digest[:])
	if err != nil {
		return fmt.Errorf("RSA signature: %w", err)
	}
	copy(j.Signature, signature)
	return nil
}

// Signer signs on the caller's goroutine. It belongs to one goroutine at a
// time.
type Signer struct{}

// NewSigner is ready for use.
func NewSigner() *Signer { return &Signer{} }

// Sign makes all signatures, or returns the first error.
func (s *Signer) Sign(ctx context.Context, jobs []*Job) error {
	for _, j := range jobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := signGeneric(j); err != nil {
			return err
		}
	}
	return nil
}
