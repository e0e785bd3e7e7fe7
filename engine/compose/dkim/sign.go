package dkim

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/penstock-mail/penstock/engine/compose/dkim/rsa8"
)

// fold begins a new line inside the field.
const fold = "\r\n\t"

// lineWidth is how many base64 characters of b= stand in a line, and about how
// long a line of h= gets: well below the 78 of RFC 5322 2.1.1.
const lineWidth = 72

// RSASigner signs RSA digests: a [rsa8.Batcher], which fills batches from
// many goroutines, or a [rsa8.Signer], which belongs to one.
type RSASigner interface {
	// Sign fills in each job's signature. It returns when all are done, with
	// the first error.
	Sign(ctx context.Context, jobs []*rsa8.Job) error
}

// Pending is a message's signatures on their way: digests first, then
// signatures, then fields. Keep one per message in work and use it again; the
// zero value is ready.
type Pending struct {
	parts []part
	// What preparing needs, kept for the next message.
	fields    []field
	canonical []byte
	names     []byte
	jobs      []*rsa8.Job // used by Set.Sign in the first Pending of a batch
}

// part is one signature.
type part struct {
	key *Key
	job rsa8.Job // Digest, and for RSA the rest
	// text is the field up to "b=".
	text []byte
	// signature has room for the key's.
	signature []byte
	done      bool
}

var errNotSigned = errors.New("dkim: fields asked for before all signatures were made")

// Prepare computes what is signed. header is the whole header in wire form (a
// final empty line may be there or not) without the signatures to be made;
// those already in it are left alone. now becomes t=, and x= counts from it; a
// zero time leaves both out. p keeps nothing of header.
func (s *Set) Prepare(p *Pending, header []byte, bodyHash [sha256.Size]byte, now time.Time) error {
	if cap(p.parts) < len(s.signatures) {
		p.parts = append(p.parts[:cap(p.parts)], make([]part, len(s.signatures)-cap(p.parts))...)
	}
	p.parts = p.parts[:len(s.signatures)]
	for i := range p.parts {
		p.parts[i].done = false
	}
	if len(s.signatures) == 0 {
		return nil
	}
	var err error
	p.fields, err = scanFields(p.fields[:0], header)
	if err != nil {
		return fmt.Errorf("dkim: %w", err)
	}
	p.canonical, p.names = appendSigned(p.canonical[:0], p.names[:0], p.fields)
	clear(p.fields) // let go of header
	common := len(p.canonical)
	for i := range s.signatures {
		sig, part := &s.signatures[i], &p.parts[i]
		part.key = sig.key
		part.text = sig.appendField(part.text[:0], p.names, bodyHash, now)
		// The field itself is signed last, with an empty b= and no CRLF (RFC
		// 6376 3.7).
		p.canonical = appendField(p.canonical[:common], part.text, len("DKIM-Signature"))
		part.job.Digest = sha256.Sum256(p.canonical)
		size := sig.key.signatureSize()
		if cap(part.signature) < size {
			part.signature = make([]byte, size)
		}
		part.signature = part.signature[:size]
	}
	return nil
}

// appendField appends the field up to and with "b=".
func (s *signature) appendField(dst, names []byte, bodyHash [sha256.Size]byte, now time.Time) []byte {
	dst = append(dst, s.opening...)
	if !now.IsZero() {
		t := now.Unix()
		dst = append(dst, " t="...)
		dst = strconv.AppendInt(dst, t, 10)
		dst = append(dst, ';')
		if s.lifetime > 0 {
			dst = append(dst, " x="...)
			dst = strconv.AppendInt(dst, t+int64(s.lifetime/time.Second), 10)
			dst = append(dst, ';')
		}
	}
	dst = append(dst, fold...)
	dst = append(dst, "h="...)
	dst = appendNames(dst, names)
	dst = append(dst, ';')
	dst = append(dst, fold...)
	dst = append(dst, "bh="...)
	dst = base64.StdEncoding.AppendEncode(dst, bodyHash[:])
	dst = append(dst, ';')
	dst = append(dst, fold...)
	return append(dst, "b="...)
}

// appendNames appends the h= list, folded behind colons (RFC 6376 3.5 allows
// folding white space there).
func appendNames(dst, names []byte) []byte {
	width := len("h=")
	for len(names) > 0 {
		n := 0
		for n < len(names) && names[n] != ':' {
			n++
		}
		n = min(n+1, len(names)) // with its colon
		if width+n > lineWidth {
			dst = append(dst, fold...)
			width = 0
		}
		dst = append(dst, names[:n]...)
		width += n
		names = names[n:]
	}
	return dst
}

// Sign makes the signatures of all messages of a batch, which p lists; they
// must have been prepared. RSA goes to rsa in one call, Ed25519 is done here.
// After an error none of them may be placed.
func (s *Set) Sign(ctx context.Context, rsa RSASigner, batch []*Pending) error {
	if len(batch) == 0 {
		return nil
	}
	jobs := batch[0].jobs[:0]
	for _, p := range batch {
		for i := range p.parts {
			part := &p.parts[i]
			if part.key.rsa != nil {
				part.job.Key, part.job.Signature = part.key.rsa, part.signature
				jobs = append(jobs, &part.job)
				continue
			}
			// RFC 8463 3: PureEdDSA over the SHA-256 of the header.
			copy(part.signature, ed25519.Sign(part.key.ed25519, part.job.Digest[:]))
			part.done = true
		}
	}
	batch[0].jobs = jobs
	if len(jobs) > 0 {
		err := rsa.Sign(ctx, jobs)
		clear(jobs)
		if err != nil {
			return fmt.Errorf("dkim: %w", err)
		}
	}
	for _, p := range batch {
		for i := range p.parts {
			p.parts[i].done = true
		}
	}
	return nil
}

// AppendTo appends the DKIM-Signature fields, each with its final CRLF, to go
// in front of the header. It fails if a signature is missing.
func (p *Pending) AppendTo(dst []byte) ([]byte, error) {
	for i := range p.parts {
		part := &p.parts[i]
		if !part.done {
			return dst, errNotSigned
		}
		dst = append(dst, part.text...)
		dst = appendFolded(dst, part.signature)
		dst = append(dst, '\r', '\n')
	}
	return dst, nil
}

// Size is the exact number of bytes that AppendTo adds, known once prepared:
// what SIZE in MAIL needs (RFC 1870).
func (p *Pending) Size() int {
	n := 0
	for i := range p.parts {
		encoded := base64Size(len(p.parts[i].signature))
		n += len(p.parts[i].text) + encoded + (encoded-1)/lineWidth*len(fold) + 2
	}
	return n
}

func base64Size(n int) int { return base64.StdEncoding.EncodedLen(n) }

// appendFolded appends base64 in lines of lineWidth.
func appendFolded(dst, raw []byte) []byte {
	const rawWidth = lineWidth / 4 * 3
	for len(raw) > rawWidth {
		dst = base64.StdEncoding.AppendEncode(dst, raw[:rawWidth])
		dst = append(dst, fold...)
		raw = raw[rawWidth:]
	}
	return base64.StdEncoding.AppendEncode(dst, raw)
}
