package rsa8

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"sync/atomic"
)

// lanes is how many signatures are made at once: eight digits of 64 bits fill
// a vector register.
const lanes = 8

// Job is one signature to make.
type Job struct {
	Key *Key
	// Digest is the SHA-256 of what is signed.
	Digest [sha256.Size]byte
	// Signature receives the result: Key.Size() bytes of the caller's. After an
	// error its content is undefined, but never a faulty signature.
	Signature []byte
}

func (j *Job) check() error {
	if len(j.Signature) != j.Key.Size() {
		return fmt.Errorf("RSA signature: room for %d bytes, want %d", len(j.Signature), j.Key.Size())
	}
	return nil
}

// faults counts for Faults.
var faults atomic.Uint64

// Faults is how many signatures of this process failed their check and were
// made again by crypto/rsa. Anything but zero means that this machine computes
// wrongly.
func Faults() uint64 { return faults.Load() }

// Signer signs on the caller's goroutine. It belongs to one goroutine at a
// time, and holds 75 kB of scratch memory where there are lanes.
type Signer struct {
	eight *eight // nil if no key had use for it yet
	batch []*Job
}

// NewSigner is ready for use.
func NewSigner() *Signer { return &Signer{} }

// Sign makes all signatures, eight at a time where the keys allow it; they may
// differ from job to job. It returns early when ctx ends, between batches.
func (s *Signer) Sign(ctx context.Context, jobs []*Job) error {
	batch := s.batch[:0]
	defer func() {
		clear(batch[:cap(batch)])
		s.batch = batch[:0]
	}()
	for _, j := range jobs {
		if err := j.check(); err != nil {
			return err
		}
		if j.Key.lanes == nil {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := signGeneric(j); err != nil {
				return err
			}
			continue
		}
		if batch = append(batch, j); len(batch) == lanes {
			if err := s.signEight(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if len(batch) > 0 {
		return s.signEight(ctx, batch)
	}
	return nil
}

// signEight signs one to eight jobs in the lanes. Fewer than eight take as
// long as eight, which is still less than crypto/rsa takes for one.
func (s *Signer) signEight(ctx context.Context, jobs []*Job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.eight == nil {
		s.eight = newEight()
	}
	failed := s.eight.sign(jobs)
	for i, j := range jobs {
		if !failed[i] {
			continue
		}
		// A wrong signature by one prime gives the key away (Boneh, DeMillo,
		// Lipton 1997), so it went nowhere.
		faults.Add(1)
		if err := signGeneric(j); err != nil {
			return err
		}
	}
	return nil
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
