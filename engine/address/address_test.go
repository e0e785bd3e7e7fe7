package address

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 64)
	label := strings.Repeat("b", 63)
	for _, c := range []struct {
		in            string
		local, domain string
		fault         Fault
	}{
		{in: "bob@example.com", local: "bob", domain: "example.com"},
		{in: "Bob.O'Brien+tag@EXAMPLE.Com", local: "Bob.O'Brien+tag", domain: "example.com"},
		{in: "  bob@example.com\t\r\n", local: "bob", domain: "example.com"},
		{in: "!#$%&'*+-/=?^_`{|}~@example.com", local: "!#$%&'*+-/=?^_`{|}~", domain: "example.com"},
		{in: "1@2.3d", local: "1", domain: "2.3d"},
		{in: long + "@example.com", local: long, domain: "example.com"},
		{in: "a@" + label + ".com", local: "a", domain: label + ".com"},
		{in: "a@r3---sn.example", local: "a", domain: "r3---sn.example"},

		{in: `"bob"@example.com`, local: "bob", domain: "example.com"},
		{in: `"b\ob"@example.com`, local: "bob", domain: "example.com"},
		{in: `"b ob"@example.com`, local: `"b ob"`, domain: "example.com"},
		{in: `"b\"\\ \ob"@example.com`, local: `"b\"\\ ob"`, domain: "example.com"},
		{in: `"a@b"@example.com`, local: `"a@b"`, domain: "example.com"},
		{in: `""@example.com`, local: `""`, domain: "example.com"},
		{in: `".a"@example.com`, local: `".a"`, domain: "example.com"},
		{in: `"é"@example.com`, local: "é", domain: "example.com"},

		{in: "jörg@example.com", local: "jörg", domain: "example.com"},
		{in: "用户@例子.广告", local: "用户", domain: "xn--fsqu00a.xn--4rr70v"},
		{in: "a@Bücher.Example", local: "a", domain: "xn--bcher-kva.example"},
		{in: "a@straße.example", local: "a", domain: "xn--strae-oqa.example"},
		{in: "a@xn--bcher-kva.example", local: "a", domain: "xn--bcher-kva.example"},
		{in: "a@XN--BCHER-KVA.example", local: "a", domain: "xn--bcher-kva.example"},
		{in: "a@ｅｘａｍｐｌｅ。com", local: "a", domain: "example.com"},

		{in: "", fault: Empty},
		{in: "   ", fault: Empty},
		{in: "bob", fault: NoAt},
		{in: "bob.example.com", fault: NoAt},
		{in: "@example.com", fault: NoLocal},
		{in: "bob@", fault: NoDomain},
		{in: "Bob <bob@example.com>", fault: DisplayName},
		{in: "<bob@example.com>", fault: DisplayName},
		{in: `"Bob" <bob@example.com>`, fault: DisplayName},
		{in: "a@example.com,b@example.com", fault: SeveralAddresses},
		{in: "a@example.com; b@example.com", fault: SeveralAddresses},
		{in: "mailto:bob@example.com", fault: Scheme},
		{in: "bob smith@example.com", fault: Space},
		{in: "bob@exam ple.com", fault: Space},
		{in: ".bob@example.com", fault: LocalDots},
		{in: "bob.@example.com", fault: LocalDots},
		{in: "b..ob@example.com", fault: LocalDots},
		{in: "b(ob)@example.com", fault: LocalCharacter},
		{in: `b"ob"@example.com`, fault: LocalCharacter},
		{in: `"bob"x@example.com`, fault: LocalCharacter},
		{in: `"b<ob"@example.com`, fault: DisplayName},
		{in: `"bob@example.com`, fault: Unquoted},
		{in: `"bob\`, fault: Unquoted},
		{in: long + "a@example.com", fault: LocalTooLong},
		{in: "bob@example..com", fault: DomainDots},
		{in: "bob@.example.com", fault: DomainDots},
		{in: "bob@example.com.", fault: DomainDots},
		{in: "bob@-example.com", fault: DomainHyphen},
		{in: "bob@example-.com", fault: DomainHyphen},
		{in: "bob@exam_ple.com", fault: DomainCharacter},
		{in: "a@b@example.com", fault: DomainCharacter},
		{in: "a@" + strings.Repeat("c.", 130) + "com", fault: DomainTooLong},
		{in: "a@" + label + "b.com", fault: LabelTooLong},
		{in: "bob@localhost", fault: OneLabel},
		{in: "bob@192.0.2.1", fault: Numeric},
		{in: "bob@[192.0.2.1]", fault: Literal},
		{in: "bob@[IPv6:2001:db8::1]", fault: Literal},
		{in: "bob@xn--a.example", fault: IDN},
		{in: "bob@\u0301a.example", fault: IDN},
		{in: "bob@ex\u202eample.com", fault: IDN},
		{in: "a@例子", fault: OneLabel},
		{in: long + "@" + strings.Repeat("c.", 94) + "com", fault: TooLong},
		{in: "b\x00ob@example.com", fault: Control},
		{in: "b\nob@example.com", fault: Control},
		{in: "\"b\rob\"@example.com", fault: Control},
		{in: "b\u0085ob@example.com", fault: Control},
		{in: "bob@exam\x00ple.com", fault: Control},
		{in: "bo\u200bb@example.com", fault: Invisible},
		{in: "bo\u00a0b@example.com", fault: Invisible},
		{in: "bo\u2066b@example.com", fault: Invisible},
		{in: "bo\xffb@example.com", fault: NotUTF8},
		{in: "bob@ex\xffample.com", fault: NotUTF8},
	} {
		local, domain, err := Parse(c.in)
		if c.fault != 0 {
			if !errors.Is(err, c.fault) {
				t.Errorf("%q: got %q %q %v, want %q", c.in, local, domain, err, c.fault)
			}
			continue
		}
		if err != nil || local != c.local || domain != c.domain {
			t.Errorf("%q: got %q at %q, %v; want %q at %q", c.in, local, domain, err, c.local, c.domain)
		}
	}
}

func TestEveryFaultHasItsText(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for f := Empty; int(f) < numFaults; f++ {
		if text := f.Error(); text == "" || seen[text] {
			t.Errorf("fault %d says %q", f, text)
		} else {
			seen[text] = true
		}
	}
}

func TestParseDomain(t *testing.T) {
	t.Parallel()
	if got, err := ParseDomain(" Bücher.Example "); got != "xn--bcher-kva.example" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := ParseDomain("localhost"); !errors.Is(err, OneLabel) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestPlainAddressesAreParsedWithoutAllocating(t *testing.T) {
	var p Parser
	inputs := [][]byte{[]byte("some.body@example.com"), []byte("Some.Body@Example.COM"), []byte(`"a b"@example.com`)}
	n := testing.AllocsPerRun(100, func() {
		for _, in := range inputs {
			if _, err := p.Parse(in); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzParse holds the promises: what is accepted is safe to put into an SMTP
// command, and is its own canonical form.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"bob@example.com", `"a b\"c"@x.example`, "用户@例子.广告", "a@xn--bcher-kva.example", "Bob <bob@example.com>", "b\x00@x.y"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var p, again Parser
		a, err := p.Parse(in)
		if err != nil {
			if _, ok := err.(Fault); !ok || err.Error() == "is not valid" {
				t.Fatalf("%q: error %v is no fault", in, err)
			}
			return
		}
		whole := append(append(bytes.Clone(a.Local), '@'), a.Domain...)
		if len(whole) > MaxAddress || len(a.Local) > MaxLocal || !utf8.Valid(whole) {
			t.Fatalf("%q: accepted as %q", in, whole)
		}
		for i, c := range whole {
			if c < ' ' || c == 0x7f || c == '<' || c == '>' || i >= len(a.Local) && c >= 0x80 {
				t.Fatalf("%q: accepted as %q with %q in it", in, whole, c)
			}
		}
		b, err := again.Parse(whole)
		if err != nil || !bytes.Equal(a.Local, b.Local) || !bytes.Equal(a.Domain, b.Domain) {
			t.Fatalf("%q: became %q, which becomes %q@%q, %v", in, whole, b.Local, b.Domain, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var p Parser
	in := []byte("some.body@example.com")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Parse(in); err != nil {
			b.Fatal(err)
		}
	}
}
