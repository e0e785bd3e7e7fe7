package dkim

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Signature is one signature that a campaign's messages carry.
type Signature struct {
	// Domain is the d= tag: the signing domain, in A-label form.
	Domain string
	// Selector is the s= tag.
	Selector string
	// Key signs.
	Key *Key
	// Lifetime is what x= lies after t=, in whole seconds; 0 leaves x= out.
	// Mail may sit in queues for days, so anything below a week invites
	// failures.
	Lifetime time.Duration
}

// Set is the signatures of a campaign's messages.
type Set struct {
	signatures []signature
}

// signature is a Signature with the constant part of its field.
type signature struct {
	key      *Key
	lifetime time.Duration
	// opening is the field up to the first tag that changes.
	opening string
}

// NewSet checks all signatures and reports everything that is wrong. A set
// without signatures is valid and adds nothing.
func NewSet(list ...Signature) (*Set, error) {
	set := &Set{}
	var all []error
	for i, s := range list {
		fail := func(err error) {
			all = append(all, fmt.Errorf("dkim signature %d (%s, %s): %w", i+1, s.Domain, s.Selector, err))
		}
		if err := checkNames(s.Domain, s.Selector); err != nil {
			fail(err)
		}
		if s.Key == nil {
			fail(errors.New("no key"))
			continue
		}
		if s.Lifetime < 0 {
			fail(fmt.Errorf("lifetime %v is below 0", s.Lifetime))
		}
		set.signatures = append(set.signatures, newSignature(s))
	}
	if err := errors.Join(all...); err != nil {
		return nil, err
	}
	return set, nil
}

func newSignature(s Signature) signature {
	opening := "DKIM-Signature: v=1; a=" + string(s.Key.Algorithm()) + "; c=relaxed/relaxed;" + fold +
		"d=" + strings.ToLower(s.Domain) + ";" + fold + "s=" + s.Selector + ";"
	return signature{
		key:      s.Key,
		lifetime: s.Lifetime,
		opening:  opening,
	}
}

// Len is how many signatures the set adds.
func (s *Set) Len() int { return len(s.signatures) }

// checkNames checks d= and s= (RFC 6376 3.5: domain names; the selector may
// have several labels).
func checkNames(domain, selector string) error {
	if err := checkName(domain); err != nil {
		return fmt.Errorf("domain %q: %w", domain, err)
	}
	if !strings.Contains(domain, ".") {
		return fmt.Errorf("domain %q: has no dot", domain)
	}
	if err := checkName(selector); err != nil {
		return fmt.Errorf("selector %q: %w", selector, err)
	}
	if n := len(RecordName(domain, selector)); n > 253 {
		return fmt.Errorf("the record's name, %s, has %d bytes: DNS takes 253", RecordName(domain, selector), n)
	}
	return nil
}

func checkName(name string) error {
	if name == "" {
		return errors.New("is empty")
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return errors.New("has an empty label")
		case len(label) > 63:
			return fmt.Errorf("has a label of %d bytes: DNS takes 63", len(label))
		case label[0] == '-' || label[len(label)-1] == '-':
			return fmt.Errorf("label %q begins or ends with a hyphen", label)
		}
		for i := range len(label) {
			switch c := lower(label[i]); {
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-':
			case c == '_': // not a host name, but names of records have it
			case c >= 0x80:
				return errors.New("is not ASCII: write the A-label form (xn--…)")
			default:
				return fmt.Errorf("has %q in it", label[i])
			}
		}
	}
	return nil
}
