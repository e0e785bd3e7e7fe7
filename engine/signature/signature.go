// Package signature is what a person writes about DKIM signatures, in a campaign
// file or in penstock.yaml:
//
//	dkim:
//	  - {domain: acme.example, selector: s2026, key: acme.pem}
//
// A setting names its key by file: the key itself is never stored.
package signature

import (
	"fmt"
	"io"
	"strings"

	"github.com/penstock-mail/penstock/engine/address"
	"github.com/penstock-mail/penstock/engine/compose/dkim"
	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/folder"
	"github.com/penstock-mail/penstock/engine/problem"
)

// Setting is one signature to be made.
type Setting struct {
	// Domain signs (d=), in A-label form; Selector names the key's record (s=).
	Domain   string `json:"domain"`
	Selector string `json:"selector"`
	// Key is the PEM file's path, as the process can open it.
	Key string `json:"key"`
	// Folder, if any, is one that Key lies below and never leads out of, by
	// symbolic links or otherwise.
	Folder string `json:"folder,omitempty"`
	// File and Line are where the setting stands.
	File string `json:"file"`
	Line int    `json:"line"`
}

// Read reads a list of settings. resolve makes a path of a file's name.
func Read(n *document.Node, resolve func(string) string) []Setting {
	entries, ok := n.List()
	if !ok {
		return nil
	}
	var all []Setting
	for _, e := range entries {
		m, ok := e.Mapping()
		if !ok {
			continue
		}
		s := Setting{File: e.File, Line: e.Line}
		complete := true
		for _, key := range []struct {
			name string
			dst  *string
		}{{"domain", &s.Domain}, {"selector", &s.Selector}, {"key", &s.Key}} {
			if v := m.Take(key.name); v == nil {
				e.Problem("has no %s", key.name)
				complete = false
			} else if !v.Word(key.dst) {
				complete = false
			}
		}
		m.Close()
		if !complete {
			continue
		}
		domain, err := address.ParseDomain(s.Domain)
		if err != nil {
			e.Problem("domain %q %v", s.Domain, err)
			continue
		}
		s.Domain, s.Key = domain, resolve(s.Key)
		all = append(all, s)
	}
	return all
}

// Set loads the keys and makes the set of signatures; what is wrong is told
// with the setting's place.
func Set(settings []Setting) (*dkim.Set, problem.List) {
	var problems problem.List
	signatures := make([]dkim.Signature, 0, len(settings))
	for _, s := range settings {
		key, err := s.load()
		if err != nil {
			problems.Add(s.File, s.Line, 0, "dkim", "%v", err)
			continue
		}
		one := dkim.Signature{Domain: s.Domain, Selector: s.Selector, Key: key}
		if _, err := dkim.NewSet(one); err != nil {
			problems.Add(s.File, s.Line, 0, "dkim", "%v", err)
			continue
		}
		signatures = append(signatures, one)
	}
	if problems.Err() != nil {
		return nil, problems
	}
	set, err := dkim.NewSet(signatures...)
	if err != nil {
		problems.Add("", 0, 0, "dkim", "%v", err)
	}
	return set, problems
}

// maxKey is far above any PEM file of a private key, in octets.
const maxKey = 1 << 16

// load reads the key.
func (s *Setting) load() (*dkim.Key, error) {
	if s.Folder == "" {
		return dkim.LoadKey(s.Key)
	}
	f, err := folder.Folder(s.Folder).Open(s.Key)
	if err != nil {
		return nil, fmt.Errorf("dkim key %s: %w", s.Key, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKey))
	if err != nil {
		return nil, fmt.Errorf("dkim key %s: %w", s.Key, err)
	}
	defer clear(text)
	key, err := dkim.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("dkim key %s: %w", s.Key, err)
	}
	return key, nil
}

// For chooses the settings whose domain is the sender's or above it (RFC 7489
// 3.1.1: that is what aligns).
func For(settings []Setting, sender string) []Setting {
	var chosen []Setting
	for _, s := range settings {
		if sender == s.Domain || strings.HasSuffix(sender, "."+s.Domain) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}
