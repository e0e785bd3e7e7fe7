// Package verify checks the DKIM signatures of a message, with a verifier that
// shares no code with the signer.
package verify

import (
	"fmt"
	"io"

	"github.com/emersion/go-msgauth/dkim"
)

// Lookup returns the TXT records of a name; net.LookupTXT is one.
type Lookup func(name string) ([]string, error)

// Result is what one signature is worth.
type Result struct {
	// Domain is the signature's d=, empty if it could not be read.
	Domain string
	// Fields are the names that it covers, as in h=.
	Fields []string
	// Err is nil for a valid signature. Temporary errors (DNS gave no answer)
	// say nothing about it: see Temporary.
	Err error
}

// Temporary reports whether the signature could not be judged for now.
func (r Result) Temporary() bool { return r.Err != nil && dkim.IsTempFail(r.Err) }

// Message checks every signature of a message (RFC 5322, CRLF or LF line
// breaks), in the order they stand. A message without any gives none. The error
// concerns the message, not its signatures.
func Message(r io.Reader, lookup Lookup) ([]Result, error) {
	source := &source{reader: r}
	list, err := dkim.VerifyWithOptions(source, &dkim.VerifyOptions{LookupTXT: lookup})
	if source.err != nil {
		return nil, fmt.Errorf("dkim verify: %w", source.err)
	}
	if err != nil {
		return nil, fmt.Errorf("dkim verify: %w", err)
	}
	results := make([]Result, len(list))
	for i, v := range list {
		results[i] = Result{Domain: v.Domain, Fields: v.HeaderKeys, Err: v.Err}
	}
	return results, nil
}

// source keeps a read error, which the verifier would report as text only.
type source struct {
	reader io.Reader
	err    error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
