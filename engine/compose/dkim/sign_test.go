package dkim

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/compose/dkim/rsa8"
	"github.com/penstock-mail/penstock/engine/compose/dkim/verify"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// testSet signs with RSA-2048, with a larger key and with a fixed Ed25519 key.
func testSet(t testing.TB) *Set {
	t.Helper()
	set, err := NewSet(
		Signature{Domain: "rsa.example", Selector: "s1", Key: mustKey(rsaKey2048()), Lifetime: 14 * 24 * time.Hour},
		Signature{Domain: "big.example", Selector: "s3", Key: mustKey(rsaKey3072())},
		Signature{Domain: "Ed.Example", Selector: "k.two", Key: mustKey(ed25519.NewKeyFromSeed(make([]byte, 32)))},
	)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func lookupIn(set *Set) verify.Lookup {
	return func(name string) ([]string, error) {
		switch name {
		case "s1._domainkey.rsa.example":
			return []string{set.signatures[0].key.Record()}, nil
		case "k.two._domainkey.ed.example":
			return []string{set.signatures[2].key.Record()}, nil
		case "s3._domainkey.big.example":
			return []string{set.signatures[1].key.Record()}, nil
		}
		return nil, fmt.Errorf("unexpected look-up of %s", name)
	}
}

// signMessage signs a whole message in one go.
func signMessage(t interface {
	Fatalf(string, ...any)
	Helper()
}, set *Set, header, body []byte) []byte {
	t.Helper()
	h := NewBodyHash()
	h.Write(body)
	var p Pending
	if err := set.Prepare(&p, header, h.Sum(), time.Now()); err != nil {
		t.Fatalf("prepare %q: %v", header, err)
	}
	if err := set.Sign(context.Background(), rsa8.NewSigner(), []*Pending{&p}); err != nil {
		t.Fatalf("sign: %v", err)
	}
	out, err := p.AppendTo(nil)
	if err != nil {
		t.Fatalf("place: %v", err)
	}
	if len(out) != p.Size() {
		t.Fatalf("%d bytes, announced were %d", len(out), p.Size())
	}
	out = append(out, header...)
	out = append(out, '\r', '\n')
	return append(out, body...)
}

func TestSignaturesVerify(t *testing.T) {
	t.Parallel()
	set := testSet(t)
	rapid.Check(t, func(t *rapid.T) {
		header, body := drawMessage(t)
		message := signMessage(t, set, header, body)
		results, err := verify.Message(bytes.NewReader(message), lookupIn(set))
		if err != nil {
			t.Fatalf("%q: %v", message, err)
		}
		if len(results) != 3 {
			t.Fatalf("%d signatures found in %q", len(results), message)
		}
		for _, r := range results {
			if r.Err != nil {
				t.Fatalf("%s: %v in %q", r.Domain, r.Err, message)
			}
		}
	})
}

// A verifier that accepts everything would make the test above worthless.
func TestChangedMessagesDoNotVerify(t *testing.T) {
	t.Parallel()
	set := testSet(t)
	message := string(signMessage(t, set, []byte("From: a@rsa.example\r\nTo: b@c.d\r\nSubject: x\r\nList-Unsubscribe: <u>\r\n"), []byte("text\r\n")))
	for name, changed := range map[string]string{
		"body":             strings.Replace(message, "text", "Text", 1),
		"subject":          strings.Replace(message, "Subject: x", "Subject: y", 1),
		"unsubscribe":      strings.Replace(message, "<u>", "<v>", 1),
		"a second From":    strings.Replace(message, "From: ", "From: evil@e.f\r\nFrom: ", 1),
		"a second Subject": strings.Replace(message, "Subject: ", "Subject: z\r\nSubject: ", 1),
		"time":             strings.ReplaceAll(message, " t=", " t=1"),
	} {
		if changed == message {
			t.Fatalf("%s: nothing changed", name)
		}
		results, err := verify.Message(strings.NewReader(changed), lookupIn(set))
		if err != nil || len(results) != 3 || results[0].Err == nil || results[1].Err == nil {
			t.Errorf("%s: %v, %v", name, results, err)
		}
	}
}

func TestTheFieldItself(t *testing.T) {
	t.Parallel()
	set := testSet(t)
	var p Pending
	if err := set.Prepare(&p, []byte("From: a@b.c\r\n"), [32]byte{}, noon); err != nil {
		t.Fatal(err)
	}
	if _, err := p.AppendTo(nil); err == nil {
		t.Error("fields without signatures were placed")
	}
	want := "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n\td=rsa.example;\r\n\ts=s1; t=1777896000; x=1779105600;\r\n\th=from:from:subject;\r\n\tbh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=;\r\n\tb="
	if got := string(p.parts[0].text); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if err := set.Prepare(&p, []byte("From: a@b.c\r\n"), [32]byte{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got := string(p.parts[0].text); strings.Contains(got, "t=1") || strings.Contains(got, "x=") {
		t.Errorf("a time where none was given: %q", got)
	}
}

func TestLinesStayShort(t *testing.T) {
	t.Parallel()
	set := testSet(t)
	var header strings.Builder
	for _, name := range signedFields {
		fmt.Fprintf(&header, "%s: x\r\n", name)
	}
	message := signMessage(t, set, []byte(header.String()), nil)
	for line := range strings.SplitSeq(string(message), "\r\n") {
		if len(line) > 78 {
			t.Errorf("%d bytes: %s", len(line), line)
		}
	}
}

func TestWrongSettingsAreAllReported(t *testing.T) {
	t.Parallel()
	key := mustKey(ed25519.NewKeyFromSeed(make([]byte, 32)))
	_, err := NewSet(
		Signature{Domain: "example", Selector: "s", Key: key},
		Signature{Domain: "a.example", Selector: "", Key: key},
		Signature{Domain: "b.example", Selector: "s"},
		Signature{Domain: "münchen.example", Selector: "s", Key: key},
		Signature{Domain: "c.example", Selector: "s;x", Key: key},
		Signature{Domain: "c.example", Selector: "s", Key: key, Lifetime: -1},
		Signature{Domain: strings.Repeat("abcdefghi.", 25) + "example", Selector: "s", Key: key},
		Signature{Domain: "-a.example", Selector: strings.Repeat("x", 64), Key: key},
	)
	if err == nil {
		t.Fatal("nothing was found wrong")
	}
	for _, want := range []string{"no dot", `selector "": is empty`, "no key", "A-label", `';'`, "below 0", "DNS takes 253", "hyphen"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestNoSignaturesIsASet(t *testing.T) {
	t.Parallel()
	set, err := NewSet()
	if err != nil || set.Len() != 0 {
		t.Fatal(set, err)
	}
	var p Pending
	if err := set.Prepare(&p, nil, [32]byte{}, noon); err != nil {
		t.Fatal(err)
	}
	if err := set.Sign(context.Background(), nil, []*Pending{&p}); err != nil {
		t.Fatal(err)
	}
	if out, err := p.AppendTo(nil); err != nil || len(out) != 0 {
		t.Fatalf("%q, %v", out, err)
	}
}

// refuse is an RSA signer that does not sign.
type refuse struct{}

var errRefused = errors.New("refused")

func (refuse) Sign(context.Context, []*rsa8.Job) error { return errRefused }

func TestAFailedSignaturePlacesNothing(t *testing.T) {
	t.Parallel()
	set := testSet(t)
	var p Pending
	if err := set.Prepare(&p, []byte("From: a@b.c\r\n"), [32]byte{}, noon); err != nil {
		t.Fatal(err)
	}
	if err := set.Sign(context.Background(), refuse{}, []*Pending{&p}); !errors.Is(err, errRefused) {
		t.Fatalf("got %v", err)
	}
	if out, err := p.AppendTo(nil); err == nil || len(out) != 0 {
		t.Errorf("placed %q", out)
	}
}

// accept leaves the signature as it is.
type accept struct{}

func (accept) Sign(context.Context, []*rsa8.Job) error { return nil }

func TestPreparingAndPlacingAllocatesNothing(t *testing.T) {
	set, err := NewSet(Signature{Domain: "a.example", Selector: "s", Key: mustKey(rsaKey2048())})
	if err != nil {
		t.Fatal(err)
	}
	header := []byte(typicalHeader)
	batch := []*Pending{new(Pending), new(Pending)}
	var out []byte
	var signer RSASigner = accept{}
	run := func() {
		out = out[:0]
		for _, p := range batch {
			if err := set.Prepare(p, header, [32]byte{}, noon); err != nil {
				t.Fatal(err)
			}
		}
		if err := set.Sign(context.Background(), signer, batch); err != nil {
			t.Fatal(err)
		}
		for _, p := range batch {
			if out, err = p.AppendTo(out); err != nil {
				t.Fatal(err)
			}
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations for two messages", n)
	}
}

const typicalHeader = "From: Acme News <news@acme.example>\r\nTo: Ann Example <ann@example.com>\r\nSubject: Hello Ann, our spring collection is here\r\n" +
	"Date: Mon, 04 May 2026 12:00:00 +0000\r\nMessage-ID: <1234567890.abcdef@acme.example>\r\nMIME-Version: 1.0\r\nReply-To: Acme <hello@acme.example>\r\n" +
	"List-Unsubscribe: <https://acme.example/u/1234567890>,\r\n <mailto:unsub@acme.example>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" +
	"X-Campaign: spring\r\nContent-Type: multipart/alternative;\r\n boundary=\"0123456789abcdef\"\r\n"

func BenchmarkPrepare(b *testing.B) {
	set, err := NewSet(Signature{Domain: "a.example", Selector: "s", Key: mustKey(rsaKey2048())})
	if err != nil {
		b.Fatal(err)
	}
	header := []byte(typicalHeader)
	var p Pending
	for b.Loop() {
		if err := set.Prepare(&p, header, [32]byte{}, noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEd25519(b *testing.B) {
	set, err := NewSet(Signature{Domain: "a.example", Selector: "s", Key: mustKey(ed25519.NewKeyFromSeed(make([]byte, 32)))})
	if err != nil {
		b.Fatal(err)
	}
	var p Pending
	batch := []*Pending{&p}
	if err := set.Prepare(&p, []byte(typicalHeader), [32]byte{}, noon); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := set.Sign(context.Background(), nil, batch); err != nil {
			b.Fatal(err)
		}
	}
}
