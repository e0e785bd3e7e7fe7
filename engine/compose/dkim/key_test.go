package dkim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Keys for all tests, made once: RSA keys take their time.
var (
	rsaKey2048 = sync.OnceValue(func() *rsa.PrivateKey { return mustRSA(2048) })
	rsaKey3072 = sync.OnceValue(func() *rsa.PrivateKey { return mustRSA(3072) })
)

func mustRSA(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

func mustKey(private any) *Key {
	k, err := NewKey(private)
	if err != nil {
		panic(err)
	}
	return k
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestKeysInEachForm(t *testing.T) {
	t.Parallel()
	k := rsaKey2048()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"PKCS#1":            pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k)),
		"PKCS#8":            pemOf("PRIVATE KEY", pkcs8),
		"text in front":     "a comment\n" + pemOf("PRIVATE KEY", pkcs8),
		"another block too": pemOf("CERTIFICATE", []byte("x")) + pemOf("PRIVATE KEY", pkcs8),
	} {
		key, err := ParseKey([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if key.Algorithm() != RSASHA256 || key.Bits() != 2048 || !k.PublicKey.Equal(key.Public()) {
			t.Errorf("%s: another key came out: %v, %d bits", name, key.Algorithm(), key.Bits())
		}
	}
}

func TestKeysThatCannotSignAreFoundWhenRead(t *testing.T) {
	t.Parallel()
	k := rsaKey2048()
	public, _ := x509.MarshalPKIXPublicKey(&k.PublicKey)
	curve, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ecdsaDER, _ := x509.MarshalPKCS8PrivateKey(curve)
	broken := x509.MarshalPKCS1PrivateKey(k)
	broken[100] ^= 1
	for name, c := range map[string]struct{ text, want string }{
		"empty":         {"", "not PEM"},
		"nonsense":      {"hello", "not PEM"},
		"DNS record":    {"v=DKIM1; k=rsa; p=MIIB", "DNS record"},
		"public key":    {pemOf("PUBLIC KEY", public), "public key"},
		"certificate":   {pemOf("CERTIFICATE", public), `only "CERTIFICATE"`},
		"ECDSA":         {pemOf("PRIVATE KEY", ecdsaDER), "cannot sign DKIM"},
		"encrypted":     {pemOf("ENCRYPTED PRIVATE KEY", public), "encrypted"},
		"old encrypted": {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", "encrypted"},
		"cut short":     {pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k)[:300]), "parse PKCS#1"},
		"a wrong bit":   {pemOf("RSA PRIVATE KEY", broken), "parse PKCS#1"},
	} {
		if _, err := ParseKey([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	path := filepath.Join(t.TempDir(), "missing.pem")
	if _, err := LoadKey(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("missing file: %v", err)
	}
}

// weakKey has 1024 bits: the runtime refuses to make one, so it was made with
// openssl for this test alone.
const weakKey = `-----BEGIN RSA PRIVATE KEY-----
MIICXgIBAAKBgQDHwU8pI2G5m4X9K8ejMS6Xf66Hn5w3Uh1lwf+UlhreXcFmIoFR
/LufQOsfHVN+0JT4GdIE35Uh9d/Pc34+PsfCDBTNHolhLB6DbMkK7X6TlXaiuAzi
URLFWrPXg3PY59CM4rH8Cc0YMS2TSFnSvlSfol2WIotFK6f1RhckHCfGjQIDAQAB
AoGBAJ3gPcWAzlsY/UREVsu3MmDQrEtKrffXMZ7cPjjcji3ToegsO1NmUY+jinEU
B4rCJgsUtTXe1Ap8PsDCQjPGALAKn8fWIJOdmT9IUmE/+mlYSlZonJZRQLEhBiEM
bCAWIWHrreF8ytl41zekWnriibqY1uR4K/xIEBm9nN5bkHVNAkEA6bVvhwNj7Kqf
RH5D2UhZSjb2mxXZ5p07OqJiNZWU4CuUMdzguakCWHTxeSPO7klKPCcyTw2KAsdJ
KFYGYbQXMwJBANrO0FRZfo3jiPkHpcVCVb2K6VlwmclfVOMv0Z/8IAIzV1T4NibY
hSZ55CcqMk4zQKDs574eOjfJcHBCYQlNqz8CQQCVIBqsEfO+3hiGgfMVQF8JRg0R
ZF4IEyfqABeejXXTnLsRHhmfHkLK4sP6QmkWD1n5DCHD46W+pB8AR/QGf/2VAkEA
rBAWIz59FnbnL22kHgqcAgFKntq9FG2zAzSHU5egVBqrglXtv35ktm0DzQiRpo0H
NYUWd5qtjVEK6jxIslgxYQJAF6CHvkAHc3B4bGzDTal8hJV5S6JeFKz0Gkj7Hz1W
QJniDih7yqVBqnXczswT7/VUFG7vj/ROAyM0IBYp8Sguqg==
-----END RSA PRIVATE KEY-----`

func TestShortRSAKeysAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := ParseKey([]byte(weakKey)); !errors.Is(err, ErrWeakKey) {
		t.Errorf("1024 bits: got %v, want ErrWeakKey", err)
	}
}

func TestGeneratedKeysComeBack(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{RSA2048, Ed25519} {
		g, err := Generate("example.com", "s1", kind)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(path, g.PEM, 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := LoadKey(path)
		if err != nil {
			t.Fatal(err)
		}
		if k.Record() != g.Record || g.Name != "s1._domainkey.example.com" {
			t.Errorf("%s: %s %s after %s", kind, g.Name, k.Record(), g.Record)
		}
		for s := range strings.SplitSeq(g.ZoneLine(), `"`) {
			if len(s) > 255 {
				t.Errorf("%s: a string of %d bytes in %s", kind, len(s), g.ZoneLine())
			}
		}
		joined := strings.ReplaceAll(g.ZoneLine(), `" "`, "")
		if !strings.Contains(joined, `"`+g.Record+`"`) {
			t.Errorf("%s: %s does not hold %s", kind, joined, g.Record)
		}
	}
	if _, err := Generate("example.com", "s1", "rsa1024"); err == nil {
		t.Error("rsa1024 was made")
	}
	if _, err := Generate("example", "s1", Ed25519); err == nil {
		t.Error("a domain without a dot was taken")
	}
}
