package engine

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/penstock-mail/penstock/bench/sink"
	"github.com/penstock-mail/penstock/engine/compose/dkim"
	"github.com/penstock-mail/penstock/engine/ledger"
)

// testKeys are made once: an RSA key takes a while.
var testKeys = sync.OnceValues(func() (map[string]*dkim.Generated, error) {
	keys := map[string]*dkim.Generated{}
	for _, k := range []struct {
		domain, selector string
		kind             dkim.Kind
	}{{"sender.test", "rsa", dkim.RSA2048}, {"sender.test", "ed", dkim.Ed25519}, {"agency.test", "a1", dkim.RSA2048}} {
		g, err := dkim.Generate(k.domain, k.selector, k.kind)
		if err != nil {
			return nil, err
		}
		keys[g.Name] = g
	}
	return keys, nil
})

// keys writes the private keys to SELECTOR.DOMAIN.pem and gives a look-up of the
// public ones.
func (w *world) keys() (lookup func(string) ([]string, error)) {
	w.Helper()
	all, err := testKeys()
	if err != nil {
		w.Fatal(err)
	}
	for name, g := range all {
		w.write(strings.Replace(name, "._domainkey.", ".", 1)+".pem", string(g.PEM))
	}
	return func(name string) ([]string, error) {
		if g := all[strings.TrimSuffix(name, ".")]; g != nil {
			return []string{g.Record}, nil
		}
		return nil, fmt.Errorf("no record %s", name)
	}
}

// signers are the domains whose signatures on a message verify; one that does
// not is an error.
func signers(message []byte, lookup func(string) ([]string, error)) ([]string, error) {
	found, err := msgauth.VerifyWithOptions(bytes.NewReader(message), &msgauth.VerifyOptions{LookupTXT: lookup})
	if err != nil {
		return nil, err
	}
	var domains []string
	for _, v := range found {
		if v.Err != nil {
			return nil, fmt.Errorf("signature of %s: %w", v.Domain, v.Err)
		}
		domains = append(domains, v.Domain)
	}
	slices.Sort(domains)
	return domains, nil
}

const threeSignatures = `dkim:
  - {domain: sender.test, selector: rsa, key: rsa.sender.test.pem}
  - {domain: sender.test, selector: ed, key: ed.sender.test.pem}
  - {domain: agency.test, selector: a1, key: a1.agency.test.pem}
`

// TestSignaturesVerifyWhereTheyArrive: after templates, MIME, dot-stuffing and
// chunks, an independent verifier takes the files that the server wrote.
func TestSignaturesVerifyWhereTheyArrive(t *testing.T) {
	bodies := map[string]string{
		"fixed":        "text: fixed.txt\n",
		"personalised": "text: own.txt\nhtml: own.html\n",
	}
	for _, gear := range []string{"lock-step", "pipelining", "chunking"} {
		for name, body := range bodies {
			t.Run(gear+" "+name, func(t *testing.T) {
				w := newWorld(t, "smtp: {gear: "+gear+"}\n")
				lookup := w.keys()
				dir := filepath.Join(w.dir, "mail")
				for domain, without := range map[string][]string{"eight.test": nil, "seven.test": {"8BITMIME"}} {
					s, err := sink.Start(sink.Options{
						Script:  &sink.Script{Servers: []sink.Server{{Without: without}}},
						Maildir: dir, Loops: 1,
					})
					if err != nil {
						t.Fatal(err)
					}
					w.Cleanup(func() { w.close(); s.Close() })
					w.config.Routes[domain] = s.Addrs()[0]
				}
				w.write("fixed.txt", "Grüße!\n.\n..dots at the beginning  \n \n\n\n")
				w.write("own.txt", ".{{ name }}\nGrüße  \n\nat the end {{ name }}\n.\n\n\n")
				w.write("own.html", "<p>Grüße, <b>{{ name }}</b></p>\n"+strings.Repeat("<p>Water finds its way.</p>\n", 30))
				w.open()
				r := w.start(w.campaign("c", body+threeSignatures, people(20, "eight.test", "seven.test")...))
				w.finish(r)
				w.has(r, "40 delivered")
				w.close()
				files, err := filepath.Glob(filepath.Join(dir, "new", "*"))
				if err != nil || len(files) != 40 {
					t.Fatalf("%d files (%v), want 40", len(files), err)
				}
				for _, f := range files {
					message, err := os.ReadFile(f)
					if err != nil {
						t.Fatal(err)
					}
					got, err := signers(crlf(message), lookup)
					if err != nil {
						t.Fatalf("%v:\n%s", err, message)
					}
					if want := []string{"agency.test", "sender.test", "sender.test"}; !slices.Equal(got, want) {
						t.Fatalf("signed by %q, want %q", got, want)
					}
				}
			})
		}
	}
}

// crlf is a maildir's message as it was on the wire.
func crlf(m []byte) []byte {
	if bytes.Contains(m, []byte("\r\n")) {
		return m
	}
	return bytes.ReplaceAll(m, []byte("\n"), []byte("\r\n"))
}

// TestSignersNoticeChanges: the judge of these tests is judged.
func TestSignersNoticeChanges(t *testing.T) {
	w := newWorld(t, "")
	lookup := w.keys()
	c := w.campaign("c", threeSignatures, "u1@a.test")
	m, err := Render(t.Context(), w.config, c, nil, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.Join(m.Parts, nil)
	if got, err := signers(whole, lookup); err != nil || len(got) != 3 {
		t.Fatalf("signed by %q, error %v", got, err)
	}
	if _, err := signers(bytes.Replace(whole, []byte("water"), []byte("wader"), 1), lookup); err == nil {
		t.Error("a changed body passes")
	}
	if _, err := signers(bytes.Replace(whole, []byte("Subject: To"), []byte("Subject: Tu"), 1), lookup); err == nil {
		t.Error("a changed header passes")
	}
}

func TestConfiguredSignaturesGoByTheSender(t *testing.T) {
	w := newWorld(t, "")
	lookup := w.keys()
	w.serve("", "a.test")
	data := w.config.Data
	routes := w.config.Routes
	w.config = w.configuration(threeSignatures)
	w.config.Data, w.config.Routes = data, routes
	w.open()
	r := w.start(w.campaign("c", "", people(10, "a.test")...))
	w.finish(r)
	w.once(people(10, "a.test")...)
	got, err := signers(w.mail.letters("u4@a.test")[0].content, lookup)
	if err != nil || !slices.Equal(got, []string{"sender.test", "sender.test"}) {
		t.Errorf("signed by %q (%v), want sender.test's two", got, err)
	}
}

func TestKeyThatIsGoneStopsTheStart(t *testing.T) {
	w := newWorld(t, "")
	w.keys()
	w.open()
	c := w.campaign("c", threeSignatures, "u1@a.test")
	loaded := w.load(c)
	if err := os.Remove(filepath.Join(w.dir, "a1.agency.test.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.engine.Start(t.Context(), loaded); err == nil || !strings.Contains(err.Error(), "a1.agency.test.pem") {
		t.Errorf("error: %v", err)
	}
	if problems := Check(w.config, c); problems.Err() == nil || !strings.Contains(problems.Err().Error(), "a1.agency.test.pem") {
		t.Errorf("check: %v", problems)
	}
	if counts, err := loaded.Counts(); err != nil || counts[ledger.Pending] != 1 {
		t.Errorf("%s (%v)", states(counts), err)
	}
}

// TestRetriesAreTheSameMessage: what identifies a message is the same in all its
// attempts.
func TestRetriesAreTheSameMessage(t *testing.T) {
	w := newWorld(t, "")
	lookup := w.keys()
	w.serve(`rules: [{at: end, times: 1, take: true, reply: "451 4.3.0 Try again"}]`, "a.test")
	w.open()
	r := w.start(w.campaign("c", threeSignatures, "u1@a.test"))
	w.finish(r)
	letters := w.mail.letters("u1@a.test")
	if len(letters) != 2 {
		t.Fatalf("%d copies, want 2", len(letters))
	}
	for _, field := range []string{"\r\nMessage-ID: ", "\r\nDate: ", "\r\nSubject: "} {
		var values []string
		for _, l := range letters {
			_, after, _ := strings.Cut("\r\n"+string(l.content), field)
			value, _, _ := strings.Cut(after, "\r\n")
			values = append(values, value)
			if _, err := signers(l.content, lookup); err != nil {
				t.Error(err)
			}
		}
		if values[0] == "" || values[0] != values[1] {
			t.Errorf("%q: %q", field, values)
		}
	}
}
