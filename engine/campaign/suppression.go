package campaign

import (
	"bytes"
	"hash/maphash"
	"strings"

	"github.com/penstock-mail/penstock/engine/address"
	"github.com/penstock-mail/penstock/engine/document"
	"github.com/penstock-mail/penstock/engine/problem"
)

// Suppression is a set of addresses and domains that are never written to.
//
// It keeps 128-bit keyed hashes, 16 octets an entry (up to 43 with the table's
// free places), so that a list of ten million fits beside a campaign of as
// many. Two entries meeting in one hash would suppress an address that is not
// listed: at ten million entries and ten million recipients the odds are below
// 1 to 10^24, and the key keeps anybody from arranging it.
//
// A local part is compared octet for octet, a domain without regard to case.
// Safe for concurrent use once it is read.
type Suppression struct {
	seeds [2]maphash.Seed
	table hashTable
	// addresses, domains and trees (".example.com") say what to ask the table
	// for at all.
	addresses, domains, trees int
}

// maxSuppressionLine is far above any address.
const maxSuppressionLine = 4096

// maxShownLines bounds the warnings of one file.
const maxShownLines = 20

// ReadSuppression reads lists: an address or a domain a line, # begins a
// comment. A domain stands for itself; ".example.com" for example.com and every
// domain below it. Files may be packed (.gz, .zst). A line that is neither is a
// warning; a file that cannot be read is a mistake. The Suppression is never nil.
func ReadSuppression(files ...string) (*Suppression, problem.List) {
	list := make([]File, len(files))
	for i, name := range files {
		list[i] = File{Name: name, Path: name}
	}
	return ReadSuppressionFiles(list...)
}

// ReadSuppressionFiles is ReadSuppression for files that need not lie on disk.
func ReadSuppressionFiles(files ...File) (*Suppression, problem.List) {
	s := &Suppression{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	var problems problem.List
	var w window
	for _, file := range files {
		_, pack := packingOf(file.Name)
		in := &input{file: file, pack: pack}
		if file.Name == Stdin {
			problems.Add(file.Name, 0, 0, "", "cannot be standard input")
			continue
		}
		raw, err := in.openRaw(nil)
		if err == nil {
			err = in.unwrap(raw, &w)
		}
		if err == nil {
			err = s.read(in, &problems)
		}
		if err != nil {
			problems.Add(file.Name, 0, 0, "", "%s", document.Reason(err))
		}
		in.close()
	}
	return s, problems
}

func (s *Suppression) read(in *input, problems *problem.List) error {
	w := in.window
	var parser address.Parser
	bad := 0
	for first := true; ; first = false {
		line, _ := w.peekLine()
		if len(line) == 0 {
			break
		}
		number := w.line
		var fault error
		if len(line) > maxSuppressionLine {
			w.skipLine()
			fault = address.TooLong
		} else {
			w.take(len(line))
			if first {
				line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
			}
			fault = s.addLine(&parser, line)
		}
		if fault == nil {
			continue
		}
		if bad++; bad <= maxShownLines {
			problems.Warn(in.file.Name, number, 0, "", "is left out: %s", fault)
		}
	}
	if bad > maxShownLines {
		problems.Warn(in.file.Name, 0, 0, "", "%d more lines are left out for such reasons", bad-maxShownLines)
	}
	return w.fault()
}

// addLine takes one line; nothing on it is no fault.
func (s *Suppression) addLine(p *address.Parser, line []byte) error {
	if i := comment(line); i >= 0 {
		line = line[:i]
	}
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil
	}
	if bytes.IndexByte(line, '@') > 0 {
		a, err := p.Parse(line)
		if err == nil {
			s.addresses += s.add(a.Local, "@", a.Domain)
		}
		return err
	}
	text := strings.TrimPrefix(string(line), "@") // "@example.com" is a domain too
	rest, tree := strings.CutPrefix(text, ".")
	domain, err := address.ParseDomain(rest)
	if err == address.OneLabel {
		domain, err = strings.ToLower(rest), nil // a whole top-level domain
	}
	switch {
	case err != nil:
		return err
	case tree:
		s.trees += s.add(nil, ".", []byte(domain))
	default:
		s.domains += s.add(nil, "", []byte(domain))
	}
	return nil
}

// comment is where a comment begins: a # at the line's start or behind a space,
// since it may stand in a local part. -1: nowhere.
func comment(line []byte) int {
	for i, c := range line {
		if c == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return i
		}
	}
	return -1
}

// Len is how many different entries there are.
func (s *Suppression) Len() int { return s.addresses + s.domains + s.trees }

// Suppressed reports whether the address is listed, itself or by its domain.
// local and domain are as package address has them. It does not allocate.
func (s *Suppression) Suppressed(local, domain []byte) bool {
	if s.addresses > 0 && s.table.has(s.sum(local, "@", domain)) {
		return true
	}
	if s.domains > 0 && s.table.has(s.sum(nil, "", domain)) {
		return true
	}
	for tree := domain; s.trees > 0; {
		if s.table.has(s.sum(nil, ".", tree)) {
			return true
		}
		i := bytes.IndexByte(tree, '.')
		if i < 0 {
			break
		}
		tree = tree[i+1:]
	}
	return false
}

// add is 1 if the entry is new.
func (s *Suppression) add(local []byte, mark string, domain []byte) int {
	if s.table.add(s.sum(local, mark, domain)) {
		return 1
	}
	return 0
}

// sum hashes an entry twice with independent keys. The mark keeps the three
// kinds apart: a domain has neither "@" in it nor a dot at its start.
func (s *Suppression) sum(local []byte, mark string, domain []byte) hash128 {
	var buf [address.MaxAddress + 1]byte
	entry := append(append(append(buf[:0], local...), mark...), domain...)
	return hash128{maphash.Bytes(s.seeds[0], entry), maphash.Bytes(s.seeds[1], entry)}
}
