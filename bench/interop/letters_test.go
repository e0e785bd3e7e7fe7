package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-mail/penstock/bench/trial"
)

// drive is one way to send to a server.
type drive struct {
	gear string
	tls  string
}

func (d drive) String() string { return d.gear + " tls " + d.tls }

// domain is where the recipients of a drive are, so that each finds its mail in
// a place of its own.
func (d drive) domain() string { return d.gear + "-" + d.tls + ".interop.test" }

// people is how many recipients a campaign has; every refusedEvery-th does not
// exist at the server.
const (
	people       = 300
	refusedEvery = 7
)

func refused(n int) bool { return n%refusedEvery == refusedEvery/2 }

// local is the n-th recipient's local part; the servers refuse gone*.
func local(n int) string {
	if refused(n) {
		return fmt.Sprintf("gone%d", n)
	}
	return fmt.Sprintf("u%d", n)
}

var names = []string{"Ada", "Björn", "Chloé", "Дмитрий", "松本", "O'Neil & <Sons>"}

// The parts of the message. The text has what servers and wires stumble over:
// lines that begin with dots, a line longer than RFC 5322 allows, octets beyond
// ASCII, trailing blanks.
const (
	text = "Dear {{ name }},\n\n.a dot\n..two dots\n.\ntrailing blanks  \nFrom here on: grüße – {{ id }}\n"
	html = "<p>Hello {{ name }}, <b>{{ id }}</b></p>\n<img src=\"cid:logo\">\n"
)

var (
	longLine   = strings.Repeat("0123456789 ", 150)
	logo       = bytes.Repeat([]byte{0x89, 'P', 'N', 'G', '\r', '\n', 0, 0xff}, 100)
	attachment = []byte("%PDF-1.4\r\nnot one\n" + strings.Repeat("\x00\xff.\r\n.\r\n", 200))
)

// post sends a campaign and compares what the server stored.
func post(t *testing.T, s *server, d drive) {
	t.Helper()
	p := trial.New(t)
	var csv strings.Builder
	csv.WriteString("email,id,name\n")
	for n := range people {
		fmt.Fprintf(&csv, "%s@%s,%d,%s\n", local(n), d.domain(), n, names[n%len(names)])
	}
	p.Write("people.csv", csv.String())
	p.Write("body.txt", text+longLine+"\n")
	p.Write("body.html", html)
	p.Write("logo.png", string(logo))
	p.Write("terms.pdf", string(attachment))
	p.Write("campaign.yaml", `id: interop
from: "Grüße <news@sender.test>"
envelope_from: "b+{{ penstock.verp }}@sender.test"
subject: "Für {{ name }}: Nummer {{ id }}, and more words so that this line has to be folded"
text: body.txt
html: body.html
inline: {logo: logo.png}
attachments: [terms.pdf]
recipients: people.csv
`)
	p.Write("penstock.yaml", fmt.Sprintf(`hostname: sender.test
smtp: {gear: %s, tls: %s}
routes: {"*": "%s"}
limits: {default: {connections: 3}}
breaker: {threshold: 0}
ledger: {min_free: 0}
max_in_doubt: 16
`, d.gear, d.tls, s.addr))
	if r := p.Run("send", "campaign.yaml", "--quiet", "--for", "1m"); r.Code != 0 {
		t.Fatalf("send: %v", r)
	}
	p.Verify()
	want := judgeLedger(t, p, d)
	if t.Failed() {
		return
	}
	if s.push != nil {
		s.push()
	}
	judgeMail(t, s, d, want)
}

// judgeLedger wants who exists delivered, and the others bounced with the
// server's own words.
func judgeLedger(t *testing.T, p *trial.Place, d drive) (delivered int) {
	t.Helper()
	all := p.Export("interop")
	wrong := 0
	for n := range people {
		address := local(n) + "@" + d.domain()
		r := all[address]
		switch {
		case wrong >= 3: // enough to look at
		case refused(n) && (r.State != "bounced" || r.Code/100 != 5):
			t.Errorf("%s is refused by the server: %+v", address, r)
			wrong++
		case !refused(n) && (r.State != "delivered" || r.Attempts != 1):
			t.Errorf("%s exists: %+v", address, r)
			wrong++
		}
		if !refused(n) {
			delivered++
		}
	}
	report, _ := p.Report("interop")
	if len(report.Anomalies) > 0 || report.UncertainAttempts > 0 {
		t.Errorf("anomalies %v, %d attempts uncertain", report.Anomalies, report.UncertainAttempts)
	}
	return delivered
}

// judgeMail waits until the server has stored as many messages, and reads them.
func judgeMail(t *testing.T, s *server, d drive, want int) {
	t.Helper()
	stored := func() []string {
		files, _ := filepath.Glob(filepath.Join(s.mail, d.domain(), "*", "new", "*"))
		return files
	}
	within(40*time.Second, func() bool { return len(stored()) >= want })
	ids := map[string]bool{}
	files := stored()
	if len(files) != want {
		t.Errorf("%s stored %d messages of %d", s.name, len(files), want)
	}
	found := map[string]string{}
	for _, f := range files {
		to := filepath.Base(filepath.Dir(filepath.Dir(f)))
		if found[to] != "" {
			t.Errorf("%s got more than one message", to)
		}
		found[to] = f
	}
	for n := range people {
		f := found[local(n)]
		if refused(n) || f == "" {
			continue
		}
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		id, err := judgeLetter(content, n, local(n)+"@"+d.domain())
		if err != nil {
			t.Errorf("%s: %v\n%s", local(n), err, content)
			return // one is enough to look at
		}
		if ids[id] {
			t.Errorf("%s: Message-ID %s is another's", local(n), id)
		}
		ids[id] = true
	}
}

// judgeLetter reads a stored message and says what is not as it was written.
func judgeLetter(content []byte, n int, to string) (id string, err error) {
	m, err := mail.ReadMessage(bytes.NewReader(content))
	if err != nil {
		return "", err
	}
	id = m.Header.Get("Message-ID")
	if _, err := m.Header.Date(); err != nil || id == "" {
		return "", fmt.Errorf("message-id %q, date: %v", id, err)
	}
	list, err := m.Header.AddressList("To")
	if err != nil || len(list) != 1 || list[0].Address != to {
		return "", fmt.Errorf("to is %v, not %s: %v", list, to, err)
	}
	from, err := m.Header.AddressList("From")
	if err != nil || len(from) != 1 || from[0].Name != "Grüße" {
		return "", fmt.Errorf("from is %v: %v", from, err)
	}
	name := names[n%len(names)]
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if want := fmt.Sprintf("Für %s: Nummer %d, and more words so that this line has to be folded", name, n); err != nil || subject != want {
		return "", fmt.Errorf("subject is %q: %v", subject, err)
	}
	parts := map[string][]byte{}
	if err := leaves(parts, m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body); err != nil {
		return "", err
	}
	escaped := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;").Replace(name)
	for kind, want := range map[string]string{
		"text/plain":      merged(text, name, n) + longLine + "\n",
		"text/html":       merged(html, escaped, n),
		"image/png":       string(logo),
		"application/pdf": string(attachment),
	} {
		got := parts[kind]
		if strings.HasPrefix(kind, "text/") {
			got = bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n"))
			got, want = append(bytes.TrimRight(got, "\n"), '\n'), strings.TrimRight(want, "\n")+"\n"
		}
		if string(got) != want {
			return "", fmt.Errorf("the part %s (%x) is %q, not %q", kind, sha256.Sum256(got), got, want)
		}
	}
	if len(parts) != 4 {
		return "", fmt.Errorf("it has %d parts", len(parts))
	}
	return id, nil
}

func merged(template, name string, n int) string {
	return strings.NewReplacer("{{ name }}", name, "{{ id }}", fmt.Sprint(n)).Replace(template)
}

// leaves decodes all parts that are not multiparts themselves, by media type.
func leaves(into map[string][]byte, contentType, encoding string, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return err
	}
	if strings.HasPrefix(kind, "multipart/") {
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := leaves(into, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p); err != nil {
				return err
			}
		}
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "", "7bit", "8bit":
	default:
		return fmt.Errorf("part %s has the encoding %q", kind, encoding)
	}
	into[kind], err = io.ReadAll(body)
	return err
}
