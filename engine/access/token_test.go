package access

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// shelf is a Store in memory, or one that fails.
type shelf struct {
	kept   map[string][]byte
	failed error
}

func (s *shelf) Learn(kind, key string, value []byte) error {
	if s.failed != nil {
		return s.failed
	}
	if s.kept == nil {
		s.kept = map[string][]byte{}
	}
	if value == nil {
		delete(s.kept, kind+"/"+key)
		return nil
	}
	s.kept[kind+"/"+key] = value
	return nil
}

func (s *shelf) ForEachLearned(kind string, fn func(key string, value []byte) error) error {
	for k, v := range s.kept {
		if key, ok := strings.CutPrefix(k, kind+"/"); ok {
			if err := fn(key, v); err != nil {
				return err
			}
		}
	}
	return s.failed
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, s *shelf) *Tokens {
	t.Helper()
	tokens, err := OpenTokens(s)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestATokenIsGoodUntilItEnds(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	tokens := open(t, s)
	made, secret, err := tokens.Create("ci", Operate, time.Hour, "ada", noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, book := range []*Tokens{tokens, open(t, s)} { // also after a restart
		found, err := book.Find(secret, noon.Add(time.Hour-1))
		if err != nil || found != made || found.Role != Operate || found.CreatedBy != "ada" {
			t.Fatalf("%+v, %v", found, err)
		}
		if _, err := book.Find(secret, noon.Add(time.Hour)); !errors.Is(err, ErrExpired) {
			t.Errorf("when it has ended: %v", err)
		}
	}
	if err := tokens.Revoke("ci"); err != nil {
		t.Fatal(err)
	}
	for _, book := range []*Tokens{tokens, open(t, s)} {
		if _, err := book.Find(secret, noon); !errors.Is(err, ErrUnknown) {
			t.Errorf("revoked: %v", err)
		}
	}
	if err := tokens.Revoke("ci"); !errors.Is(err, ErrNoToken) {
		t.Errorf("revoked twice: %v", err)
	}
}

func TestNoSecretIsKept(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	_, secret, err := open(t, s).Create("ci", Read, 0, "", noon)
	if err != nil {
		t.Fatal(err)
	}
	random := secret[strings.LastIndex(secret, "_")-5:]
	for key, value := range s.kept {
		if strings.Contains(key+string(value), random) || strings.Contains(string(value), secret[22:40]) {
			t.Errorf("%s %s holds the secret", key, value)
		}
	}
}

func TestWrongSecretsAreNobodys(t *testing.T) {
	t.Parallel()
	tokens := open(t, &shelf{})
	_, one, err := tokens.Create("one", Admin, 0, "", noon)
	if err != nil {
		t.Fatal(err)
	}
	_, two, err := tokens.Create("two", Read, 0, "", noon)
	if err != nil {
		t.Fatal(err)
	}
	head := len(secretPrefix) + 2*idOctets + 1
	for _, secret := range []string{
		"", "x", secretPrefix, secretPrefix + "_", one[:len(one)-1], one + "A", one + "=", " " + one, one + "\n",
		strings.ToUpper(one), one[:head] + two[head:], two[:head] + one[head:], one[:head], one[head:],
		strings.Replace(one, secretPrefix, "pensieve_", 1), flip(one),
	} {
		if found, err := tokens.Find(secret, noon); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q is %+v, %v", secret, found, err)
		}
	}
}

// flip changes the secret's last letter to another that decodes to as many
// octets.
func flip(secret string) string {
	last := "E"
	if strings.HasSuffix(secret, "E") {
		last = "A"
	}
	return secret[:len(secret)-1] + last
}

func TestTokensThatCannotBe(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	tokens := open(t, s)
	for _, c := range []struct {
		name string
		role Role
		good time.Duration
	}{
		{"", Read, 0}, {"a b", Read, 0}, {"-a", Read, 0}, {"ä", Read, 0}, {"a\n", Read, 0}, {strings.Repeat("a", 101), Read, 0},
		{"a", RoleUnset, 0}, {"a", Admin + 1, 0}, {"a", Read, time.Second - 1}, {"a", Read, -1}, {"a", Read, 100 * 366 * 24 * time.Hour},
	} {
		if _, _, err := tokens.Create(c.name, c.role, c.good, "", noon); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%q %v %v: %v", c.name, c.role, c.good, err)
		}
	}
	if _, _, err := tokens.Create("a", Read, time.Minute, "", noon); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tokens.Create("a", Admin, 0, "", noon); !errors.Is(err, ErrTokenExists) {
		t.Errorf("twice: %v", err)
	}
	if _, _, err := tokens.Create("a", Operate, 0, "", noon.Add(time.Minute)); err != nil {
		t.Errorf("when the first has ended: %v", err)
	}
	if all := tokens.List(); len(all) != 1 || all[0].Role != Operate || len(s.kept) != 1 {
		t.Errorf("%+v, %d kept", all, len(s.kept))
	}
	for i := 1; i < MaxTokens; i++ {
		if _, _, err := tokens.Create(fmt.Sprint("t", i), Read, 0, "", noon); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := tokens.Create("more", Read, 0, "", noon); !errors.Is(err, ErrTooManyTokens) {
		t.Errorf("one too many: %v", err)
	}
}

// TestAStoreThatFailsMakesNoToken, and takes none away.
func TestAStoreThatFailsMakesNoToken(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	tokens := open(t, s)
	_, secret, err := tokens.Create("a", Read, 0, "", noon)
	if err != nil {
		t.Fatal(err)
	}
	s.failed = errors.New("disk")
	if _, _, err := tokens.Create("b", Read, 0, "", noon); !errors.Is(err, s.failed) || len(tokens.List()) != 1 {
		t.Errorf("create: %v", err)
	}
	if err := tokens.Revoke("a"); !errors.Is(err, s.failed) {
		t.Errorf("revoke: %v", err)
	}
	if _, err := tokens.Find(secret, noon); err != nil {
		t.Errorf("it was not revoked: %v", err)
	}
	if _, err := OpenTokens(s); !errors.Is(err, s.failed) {
		t.Errorf("open: %v", err)
	}
	s.failed = nil
	s.kept[tokenKind+"/x"] = []byte("{")
	if _, err := OpenTokens(s); err == nil {
		t.Error("a damaged token is read")
	}
}

func TestCertificatesHaveRolesByTheirNames(t *testing.T) {
	t.Parallel()
	uri, err := url.Parse("spiffe://acme.example/dashboard")
	if err != nil {
		t.Fatal(err)
	}
	shown := &x509.Certificate{
		DNSNames: []string{"b.acme.example", "a.acme.example"}, EmailAddresses: []string{"ops@acme.example"},
		URIs: uris(uri), Subject: pkix.Name{CommonName: "ops", Organization: []string{"Acme"}},
	}
	for _, c := range []struct {
		roles Certificates
		name  string
		role  Role
	}{
		{Certificates{"a.acme.example": Read}, "a.acme.example", Read},
		{Certificates{"ops@acme.example": Operate}, "ops@acme.example", Operate},
		{Certificates{"spiffe://acme.example/dashboard": Read}, "spiffe://acme.example/dashboard", Read},
		{Certificates{"CN=ops,O=Acme": Admin}, "CN=ops,O=Acme", Admin},
		{Certificates{"a.acme.example": Read, "CN=ops,O=Acme": Operate}, "CN=ops,O=Acme", Operate},
		{Certificates{"a.acme.example": Read, "b.acme.example": Read}, "a.acme.example", Read},
	} {
		got, ok := c.roles.Caller(shown)
		if !ok || got != (Caller{Name: c.name, Role: c.role, Via: ViaCertificate}) {
			t.Errorf("%v: %+v, %v", c.roles, got, ok)
		}
	}
	for _, roles := range []Certificates{nil, {"ops": Admin}, {"A.acme.example": Admin}, {"acme.example": Admin}, {"": Admin}, {"CN=ops": Admin}} {
		for _, cert := range []*x509.Certificate{shown, {}} {
			if got, ok := roles.Caller(cert); ok {
				t.Errorf("%v: %+v", roles, got)
			}
		}
	}
}

func uris(all ...*url.URL) []*url.URL { return all }
