package dkim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/engine/compose/dkim/rsa8"
	"github.com/penstock-mail/penstock/engine/compose/dkim/verify"
	"pgregory.net/rapid"
)

// interopMessages is how many messages each verifier gets.
const interopMessages = 2000

// The other two verifiers: Debian's python3-dkim and npm's mailauth. Each reads
// the folder's messages and keys.json and prints a line for each signature that
// does not hold, and the number of those that do at the end.
const (
	pythonVerifier = `
import dkim, glob, json, sys
keys = json.load(open("keys.json"))
def txt(name, timeout=5):
    return keys[name.decode().rstrip(".")].encode()
good = 0
for path in sorted(glob.glob("*.eml")):
    message = open(path, "rb").read()
    for i in range(int(sys.argv[1])):
        try:
            d = dkim.DKIM(message)
            ok = d.verify(idx=i, dnsfunc=txt)
        except Exception as e:
            ok = False
            print(path, i, repr(e))
        if ok:
            good += 1
        else:
            print(path, i, "does not verify")
print(good)
`
	nodeVerifier = `
const { dkimVerify } = require(process.env.MAILAUTH + "/lib/dkim/verify");
const fs = require("fs");
const keys = JSON.parse(fs.readFileSync("keys.json"));
const resolver = async (name, type) => [[keys[name]]];
(async () => {
  let good = 0;
  for (const path of fs.readdirSync(".").filter(n => n.endsWith(".eml")).sort()) {
    const { results } = await dkimVerify(fs.readFileSync(path), { resolver });
    if (results.length != Number(process.argv[2])) console.log(path, results.length, "signatures");
    for (const r of results) {
      if (r.status.result == "pass") good++;
      else console.log(path, r.signingDomain, JSON.stringify(r.status));
    }
  }
  console.log(good);
})();
`
)

// TestThreeVerifiersAgree signs messages that try to break canonicalisation, in
// batches through a batcher, and has each verifier check them. go-msgauth always
// runs, on fewer messages; the others with PENSTOCK_INTEROP=1, where python3
// finds dkim, and where MAILAUTH names the folder that npm put mailauth in
// (.../node_modules/mailauth).
func TestThreeVerifiersAgree(t *testing.T) {
	t.Parallel()
	interop := os.Getenv("PENSTOCK_INTEROP") != ""
	n := 200
	if interop {
		n = interopMessages
	}
	set := testSet(t)
	messages := signedMessages(t, set, n)

	t.Run("go-msgauth", func(t *testing.T) {
		for _, m := range messages {
			results, err := verify.Message(bytes.NewReader(m), lookupIn(set))
			if err != nil || len(results) != set.Len() {
				t.Fatalf("%v, %v in %q", results, err, m)
			}
			for _, r := range results {
				if r.Err != nil {
					t.Errorf("%s: %v in %q", r.Domain, r.Err, m)
				}
			}
		}
	})
	if !interop {
		return
	}
	dir := t.TempDir()
	for i, m := range messages {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d.eml", i)), m, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys := map[string]string{}
	for i, name := range []string{"s1._domainkey.rsa.example", "s3._domainkey.big.example", "k.two._domainkey.ed.example"} {
		keys[name] = set.signatures[i].key.Record()
	}
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d\n", n*set.Len())
	run := func(t *testing.T, name string, arguments ...string) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		process := exec.CommandContext(ctx, name, append(arguments, fmt.Sprint(set.Len()))...)
		process.Dir = dir
		out, err := process.CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%v, want %s signatures to hold:\n%.3000s", err, want, out)
		}
	}
	t.Run("python3-dkim", func(t *testing.T) {
		python := "/usr/bin/python3" // Debian's own, which sees Debian's packages
		if err := exec.Command(python, "-c", "import dkim, nacl").Run(); err != nil {
			t.Skip("python3-dkim and python3-nacl are not installed")
		}
		run(t, python, "-c", pythonVerifier)
	})
	t.Run("mailauth", func(t *testing.T) {
		if _, err := os.Stat(filepath.Join(os.Getenv("MAILAUTH"), "lib/dkim/verify.js")); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				t.Skip("MAILAUTH does not name mailauth's folder: npm install mailauth")
			}
			t.Fatal(err)
		}
		script := filepath.Join(dir, "verify.cjs")
		if err := os.WriteFile(script, []byte(nodeVerifier), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, "node", script)
	})
}

// signedMessages draws messages and signs them as a composer would, a batch at a
// time.
func signedMessages(t *testing.T, set *Set, n int) [][]byte {
	t.Helper()
	batcher, err := rsa8.NewBatcher(rsa8.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer batcher.Close()
	type message struct{ header, body []byte }
	draw := rapid.Custom(func(t *rapid.T) message {
		header, body := drawMessage(t)
		return message{header, body}
	})
	var out [][]byte
	hash := NewBodyHash()
	batch := make([]*Pending, 16)
	for i := range batch {
		batch[i] = new(Pending)
	}
	for len(out) < n {
		some := batch[:min(len(batch), n-len(out))]
		list := make([]message, len(some))
		for i, p := range some {
			list[i] = draw.Example(len(out) + i)
			hash.Reset()
			hash.Write(list[i].body)
			if err := set.Prepare(p, list[i].header, hash.Sum(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if err := set.Sign(t.Context(), batcher, some); err != nil {
			t.Fatal(err)
		}
		for i, p := range some {
			m, err := p.AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			m = append(append(m, list[i].header...), '\r', '\n')
			m = append(m, list[i].body...)
			// White space at the very end, without a line break: verifiers take
			// that for this or that. It never reaches one: DATA ends in a line
			// break (RFC 5321 4.1.1.4), which by RFC 6376 3.4.4 changes nothing.
			if last := m[len(m)-1]; last == ' ' || last == '\t' {
				m = append(m, '\r', '\n')
			}
			out = append(out, m)
		}
	}
	return out
}
