package engine

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/penstock-mail/penstock/engine/compose"
	"github.com/penstock-mail/penstock/engine/compose/dkim"
)

// signatures is what a run's messages are signed with: the keys, and the
// canonical form of the template's fixed text, made once.
type signatures struct {
	set   *dkim.Set
	fixed []*dkim.Fixed // by segment of the template
}

func newSignatures(set *dkim.Set, t *compose.Template) *signatures {
	s := &signatures{set: set, fixed: make([]*dkim.Fixed, t.Segments())}
	for i := range s.fixed {
		s.fixed[i] = dkim.Prepare(t.Segment(i))
	}
	return s
}

// signer signs a worker's messages, a batch at a time so that RSA is done eight
// at once. Not safe for concurrent use.
type signer struct {
	rsa     dkim.RSASigner
	pending []*dkim.Pending
	body    *dkim.BodyHash

	// The last body that was fixed from its first to its last octet, and the
	// fixed beginning of the last one that was not: most messages of a run have
	// the same, which is then hashed once. Both are of run.
	run       *Run
	whole     []int
	wholeSum  [sha256.Size]byte
	prefix    []int
	prefixEnd *dkim.Snapshot
	segments  []int
}

func newSigner(rsa dkim.RSASigner) *signer { return &signer{rsa: rsa, body: dkim.NewBodyHash()} }

// sign puts the run's signatures in front of the messages. After an error none
// of them may be sent.
func (s *signer) sign(ctx context.Context, r *Run, batch []*envelope, now time.Time) error {
	if s.run != r {
		s.run, s.whole, s.prefix, s.prefixEnd = r, nil, nil, nil
	}
	for len(s.pending) < len(batch) {
		s.pending = append(s.pending, new(dkim.Pending))
	}
	for i, e := range batch {
		m := &e.composed
		if err := r.signatures.set.Prepare(s.pending[i], m.Header(), s.bodyHash(r.signatures, m), now); err != nil {
			return err
		}
	}
	if err := r.signatures.set.Sign(ctx, s.rsa, s.pending[:len(batch)]); err != nil {
		return err
	}
	for i, e := range batch {
		fields, err := s.pending[i].AppendTo(e.signed[:0])
		if err != nil {
			return err
		}
		e.signed = fields
		e.composed.Prepend(fields)
	}
	return nil
}

// bodyHash hashes a message's body, but for what was hashed before.
func (s *signer) bodyHash(sigs *signatures, m *compose.Message) [sha256.Size]byte {
	body := m.Body()
	s.segments = s.segments[:0]
	for i := range body {
		segment := m.Segment(i)
		if segment < 0 {
			break
		}
		s.segments = append(s.segments, segment)
	}
	n := len(s.segments)
	if n == len(body) {
		if s.whole == nil || !slices.Equal(s.whole, s.segments) {
			s.body.Reset()
			s.writeFixed(sigs, s.segments)
			s.whole, s.wholeSum = append(s.whole[:0], s.segments...), s.body.Sum()
		}
		return s.wholeSum
	}
	if s.prefixEnd == nil || !slices.Equal(s.prefix, s.segments) {
		s.body.Reset()
		s.writeFixed(sigs, s.segments)
		s.prefix, s.prefixEnd = append(s.prefix[:0], s.segments...), s.body.Snapshot()
	}
	s.body.Restore(s.prefixEnd)
	for i := n; i < len(body); i++ {
		if segment := m.Segment(i); segment >= 0 {
			s.body.WriteFixed(sigs.fixed[segment])
		} else {
			_, _ = s.body.Write(body[i]) // never fails
		}
	}
	return s.body.Sum()
}

func (s *signer) writeFixed(sigs *signatures, segments []int) {
	for _, segment := range segments {
		s.body.WriteFixed(sigs.fixed[segment])
	}
}
