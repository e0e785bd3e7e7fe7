package dkim

import (
	"bytes"
	"errors"
	"fmt"
)

// signedFields are the fields that a signature covers where they are present,
// in the order of the h= tag; beside them every Content- field. RFC 6376 5.4.1
// has the criteria; RFC 8058 4 demands the List-Unsubscribe pair, and Gmail
// asks for Feedback-ID. Fields that relays add or change (Received,
// Return-Path, Authentication-Results) are left out.
var signedFields = [...]string{
	"from", "to", "cc", "subject", "date", "message-id", "reply-to", "sender",
	"in-reply-to", "references", "mime-version",
	"list-id", "list-unsubscribe", "list-unsubscribe-post", "list-help", "list-subscribe", "list-post", "list-owner", "list-archive",
	"feedback-id", "auto-submitted", "precedence",
}

// oversigned fields are listed once more than they occur.
func oversigned(name string) bool { return name == "from" || name == "subject" }

// field is one header field, inside the header it was found in.
type field struct {
	// name is in lower case: from signedFields, or the message's own bytes
	// (any case) for a Content- field, which sets content.
	name    string
	content []byte
	// text is the whole field, name and final CRLF included.
	text []byte
	// colon is its place in text.
	colon int
}

// errNoFrom: a signature must cover From (RFC 6376 5.4).
var errNoFrom = errors.New("the header has no From field")

// scanFields appends the fields that a signature covers, in the order of the
// header, and allocates nothing once dst has grown. It stops at an empty line.
func scanFields(dst []field, header []byte) ([]field, error) {
	from := false
	for rest := header; len(rest) > 0 && !bytes.HasPrefix(rest, crlf); {
		end := fieldEnd(rest)
		text := rest[:end]
		rest = rest[end:]
		colon := bytes.IndexByte(text, ':')
		if colon <= 0 {
			return dst, fmt.Errorf("header line %.40q has no name", text)
		}
		// RFC 5322 4.5.3: the obsolete syntax has space before the colon.
		name := bytes.TrimRight(text[:colon], " \t")
		f := field{text: text, colon: colon}
		if hasPrefixFold(name, "content-") {
			f.content = name
		} else if f.name = signedName(name); f.name == "" {
			continue
		}
		from = from || f.name == "from"
		dst = append(dst, f)
	}
	if !from {
		return dst, errNoFrom
	}
	return dst, nil
}

var crlf = []byte("\r\n")

// fieldEnd is where the first field ends, its folded lines included.
func fieldEnd(header []byte) int {
	end := 0
	for {
		n := bytes.Index(header[end:], crlf)
		if n < 0 {
			return len(header)
		}
		end += n + 2
		if end == len(header) || header[end] != ' ' && header[end] != '\t' {
			return end
		}
	}
}

// signedName is the entry of signedFields with this name, or empty.
func signedName(name []byte) string {
	for _, s := range signedFields {
		if len(s) == len(name) && hasPrefixFold(name, s) {
			return s
		}
	}
	return ""
}

// hasPrefixFold compares in ASCII; prefix is in lower case.
func hasPrefixFold(name []byte, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if lower(name[i]) != prefix[i] {
			return false
		}
	}
	return true
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + ('a' - 'A')
	}
	return b
}

// appendField appends the relaxed canonical form of a field (RFC 6376 3.4.2),
// without the final CRLF: the last field of what is signed has none.
func appendField(dst, text []byte, colon int) []byte {
	name := text[:colon]
	for len(name) > 0 && class[name[len(name)-1]] == classSpace {
		name = name[:len(name)-1]
	}
	for _, b := range name {
		dst = append(dst, lower(b))
	}
	dst = append(dst, ':')

	value := text[colon+1:]
	space, begun := false, false
	for i := 0; i < len(value); i++ {
		b := value[i]
		if b == '\r' && i+1 < len(value) && value[i+1] == '\n' {
			i++ // unfolded: the white space behind it stays
			continue
		}
		if class[b] == classSpace {
			space = true
			continue
		}
		if space && begun {
			dst = append(dst, ' ')
		}
		space, begun = false, true
		dst = append(dst, b)
	}
	return dst
}

// appendSigned appends the canonical form of all covered fields, each with its
// CRLF, and to names what belongs into h=, with colons between. Where a field
// occurs more than once its last occurrence comes first (RFC 6376 5.4.2).
func appendSigned(dst, names []byte, fields []field) (canonical, list []byte) {
	for _, name := range signedFields {
		for i := len(fields) - 1; i >= 0; i-- {
			// Both are the string of signedFields, so this compares pointers
			// first.
			if fields[i].name == name {
				dst = append(appendField(dst, fields[i].text, fields[i].colon), '\r', '\n')
				names = append(append(names, name...), ':')
			}
		}
		if oversigned(name) {
			names = append(append(names, name...), ':')
		}
	}
	// Content- fields: any two of one name are of one kind, but they are rare
	// enough in a header to be taken from the bottom up as they come.
	for i := len(fields) - 1; i >= 0; i-- {
		if f := &fields[i]; f.content != nil {
			dst = append(appendField(dst, f.text, f.colon), '\r', '\n')
			for _, b := range f.content {
				names = append(names, lower(b))
			}
			names = append(names, ':')
		}
	}
	if len(names) > 0 {
		names = names[:len(names)-1]
	}
	return dst, names
}
