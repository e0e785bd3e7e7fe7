package verify_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/compose/dkim"
	"github.com/penstock-mail/penstock/engine/compose/dkim/rsa8"
	"github.com/penstock-mail/penstock/engine/compose/dkim/verify"
)

// signed returns a message with one signature, and the key's record.
func signed(t *testing.T) (message []byte, record string) {
	t.Helper()
	g, err := dkim.Generate("acme.example", "s1", dkim.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	set, err := dkim.NewSet(dkim.Signature{Domain: "acme.example", Selector: "s1", Key: g.Key})
	if err != nil {
		t.Fatal(err)
	}
	header, body := []byte("From: a@acme.example\r\nSubject: x\r\n"), []byte("text\r\n")
	hash := dkim.NewBodyHash()
	hash.Write(body)
	var p dkim.Pending
	if err := set.Prepare(&p, header, hash.Sum(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := set.Sign(context.Background(), rsa8.NewSigner(), []*dkim.Pending{&p}); err != nil {
		t.Fatal(err)
	}
	message, err = p.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(append(message, header...), '\r', '\n'), body...), g.Record
}

func TestResults(t *testing.T) {
	t.Parallel()
	message, record := signed(t)
	_, otherRecord := signed(t)
	for _, c := range []struct {
		name      string
		message   string
		record    string
		err       error
		valid     bool
		temporary bool
	}{
		{"good", string(message), record, nil, true, false},
		{"LF line breaks", strings.ReplaceAll(string(message), "\r\n", "\n"), record, nil, true, false},
		{"another key", string(message), otherRecord, nil, false, false},
		{"changed", strings.Replace(string(message), "text", "next", 1), record, nil, false, false},
		{"no key", string(message), "", &net.DNSError{Err: "no such host", IsNotFound: true}, false, false},
		{"no answer", string(message), "", &net.DNSError{Err: "timeout", IsTimeout: true, IsTemporary: true}, false, true},
	} {
		results, err := verify.Message(strings.NewReader(c.message), func(name string) ([]string, error) {
			if name != "s1._domainkey.acme.example" {
				t.Errorf("%s: look-up of %s", c.name, name)
			}
			return []string{c.record}, c.err
		})
		if err != nil || len(results) != 1 {
			t.Errorf("%s: %v, %v", c.name, results, err)
			continue
		}
		r := results[0]
		if r.Domain != "acme.example" || (r.Err == nil) != c.valid || r.Temporary() != c.temporary {
			t.Errorf("%s: %+v, temporary %v", c.name, r, r.Temporary())
		}
		if c.valid && strings.Join(r.Fields, ":") != "from:from:subject:subject" {
			t.Errorf("%s: covers %v", c.name, r.Fields)
		}
	}
}

func TestNoSignatures(t *testing.T) {
	t.Parallel()
	results, err := verify.Message(strings.NewReader("From: a@b.c\r\n\r\ntext\r\n"), nil)
	if err != nil || len(results) != 0 {
		t.Errorf("%v, %v", results, err)
	}
	broken := errors.New("broken")
	if _, err := verify.Message(failing{broken}, nil); !errors.Is(err, broken) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }
