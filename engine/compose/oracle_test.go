package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"regexp"
	"strings"

	gomessage "github.com/emersion/go-message"
)

// parse reads a message with the standard library, after the strict check.
func parse(t fataler, raw []byte) *mail.Message {
	t.Helper()
	if err := errors.Join(strict(raw), folded(raw)); err != nil {
		t.Fatalf("%v in\n%q", err, raw)
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in\n%q", err, raw)
	}
	return m
}

// folded tells of header lines over 78 octets that could be folded. A
// ready-made message's own may be.
func folded(raw []byte) error {
	header, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	for i, line := range strings.Split(string(header), "\r\n") {
		if len(line) > 78 && singleSpace.MatchString(line[strings.IndexByte(line, ' ')+1:]) {
			return fmt.Errorf("header line %d could be folded: %q", i+1, line)
		}
	}
	return nil
}

var singleSpace = regexp.MustCompile(`\S \S`)

// strict holds a message against the rules of RFC 5322, 2045 and 5321 that a
// reader would forgive.
func strict(raw []byte) error {
	if !bytes.HasSuffix(raw, []byte("\r\n")) {
		return fmt.Errorf("does not end in CRLF")
	}
	header, _, found := bytes.Cut(raw, []byte("\r\n\r\n"))
	if !found {
		return fmt.Errorf("no empty line behind the header")
	}
	for i, line := range bytes.Split(bytes.TrimSuffix(raw, []byte("\r\n")), []byte("\r\n")) {
		switch {
		case bytes.ContainsAny(line, "\r\n"):
			return fmt.Errorf("line %d: bare CR or LF: %q", i+1, line)
		case bytes.IndexByte(line, 0) >= 0:
			return fmt.Errorf("line %d: NUL", i+1)
		case len(line) > 998:
			return fmt.Errorf("line %d has %d octets", i+1, len(line))
		}
	}
	seen := map[string]bool{}
	for i, line := range strings.Split(string(header), "\r\n") {
		if line[0] == ' ' || line[0] == '\t' {
			if strings.Trim(line, " \t") == "" {
				return fmt.Errorf("header line %d is of white space", i+1)
			}
			continue
		}
		name, _, ok := strings.Cut(line, ":")
		if !ok || !validFieldName(name) {
			return fmt.Errorf("header line %d has no name: %q", i+1, line)
		}
		if lower := strings.ToLower(name); seen[lower] {
			return fmt.Errorf("%s occurs twice", name)
		} else {
			seen[lower] = true
		}
		for j := range len(line) {
			if line[j] < ' ' && line[j] != '\t' || line[j] == 0x7f {
				return fmt.Errorf("header line %d holds a control", i+1)
			}
		}
	}
	for _, name := range []string{"from", "to", "date", "message-id", "mime-version", "content-type"} {
		if !seen[name] {
			return fmt.Errorf("%s is missing", name)
		}
	}
	return nil
}

// leaf is one part that is not a container.
type leaf struct {
	contentType, encoding, disposition, id string
	params                                 map[string]string
	body                                   string
}

// leaves reads a message with emersion/go-message, and checks that each part's
// octets are what its encoding allows.
func leaves(t fataler, raw []byte) (all []leaf, subtypes []string) {
	t.Helper()
	parse(t, raw)
	e, err := gomessage.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in\n%q", err, raw)
	}
	err = e.Walk(func(path []int, e *gomessage.Entity, err error) error {
		if err != nil {
			return err
		}
		kind, params, err := e.Header.ContentType()
		if err != nil {
			return err
		}
		if strings.HasPrefix(kind, "multipart/") {
			subtypes = append(subtypes, strings.TrimPrefix(kind, "multipart/"))
			return nil
		}
		body, err := io.ReadAll(e.Body)
		disposition, _, _ := e.Header.ContentDisposition()
		all = append(all, leaf{contentType: kind, params: params, encoding: e.Header.Get("Content-Transfer-Encoding"),
			disposition: disposition, id: e.Header.Get("Content-Id"), body: string(body)})
		return err
	})
	if err != nil {
		t.Fatalf("%v in\n%q", err, raw)
	}
	return all, subtypes
}

// fataler is what a test and a property have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}
