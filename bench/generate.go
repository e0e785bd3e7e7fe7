package bench

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// workplace is where one scenario's files lie: they are made once and serve all
// its runs.
type workplace struct {
	dir      string
	campaign string // campaign.yaml
	people   string // people.csv
	// campaigns are the files of all; campaign and people are the first's.
	campaigns []string
	message   string // message.eml, for senders that take one ready-made
	script    string // the sink's
}

// prepare writes a scenario's campaign, recipients and sink script below dir.
func prepare(dir string, s *Scenario) (*workplace, error) {
	w := &workplace{dir: filepath.Join(dir, s.Name)}
	w.campaign = filepath.Join(w.dir, "campaign.yaml")
	w.people = filepath.Join(w.dir, "people.csv")
	w.message = filepath.Join(w.dir, "message.eml")
	w.script = filepath.Join(w.dir, "sink.yaml")
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	body := appendBody(nil, s.Size-headerRoom)
	campaign := map[string]any{
		"id": "bench", "from": "Bench <bench@sender.test>", "subject": "News for {{ first_name }}",
		"html": "body.html", "recipients": "people.csv", "headers": map[string]any{"X-Row": "{{ id }}"},
	}
	if s.LoadOnly {
		campaign["start_at"] = "2099-01-01T00:00:00Z"
	}
	if s.InDoubt > 0 {
		campaign["max_in_doubt"] = s.InDoubt
	}
	if s.DKIM != "" {
		if err := writeKey(filepath.Join(w.dir, "dkim.pem"), s.DKIM); err != nil {
			return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
		}
		campaign["dkim"] = []any{map[string]any{"domain": "sender.test", "selector": "bench", "key": "dkim.pem"}}
	}
	campaign = merge(campaign, s.Campaign)
	for n := range s.Campaigns {
		file, people := w.campaign, w.people
		if n > 0 {
			name := strconv.Itoa(n)
			campaign["id"], campaign["recipients"] = "bench-"+name, "people-"+name+".csv"
			file, people = filepath.Join(w.dir, "campaign-"+name+".yaml"), filepath.Join(w.dir, "people-"+name+".csv")
		}
		w.campaigns = append(w.campaigns, file)
		if err := errors.Join(writeYAML(file, campaign), writePeople(people, s, n)); err != nil {
			return nil, err
		}
	}
	if err := writeYAML(w.script, s.script()); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(w.dir, "body.html"), body, 0o644); err != nil {
		return nil, err
	}
	eml := append([]byte("From: Bench <bench@sender.test>\r\nTo: <u0@"+s.domain(0)+">\r\nSubject: News\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"),
		strings.ReplaceAll(string(body), "\n", "\r\n")...)
	if err := os.WriteFile(w.message, eml, 0o644); err != nil {
		return nil, err
	}
	return w, nil
}

// headerRoom is about what header and boundaries add to a body.
const headerRoom = 340

// domain is the n-th recipient domain.
func (s *Scenario) domain(n int) string {
	return "d" + strconv.Itoa(n%s.Domains) + "." + bulk
}

// bulk is the domain under which all recipients are.
const bulk = "bulk.test"

var firstNames = []string{"Ada", "Björn", "Chloé", "Dmitri", "Emeka", "Fatima", "Grace", "Hiro", "Inés", "Jana", "Kofi", "Lena", "Mehmet", "Nora", "Olga", "Paulo"}
var cities = []string{"Lisbon", "Zürich", "Nairobi", "Kraków", "Osaka", "Quito", "Oslo", "Perth"}

// writePeople writes the recipients of a campaign; the same scenario gives the
// same file.
func writePeople(path string, s *Scenario, campaign int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	line := []byte("email,id,first_name,last_name,city,code\n")
	for n := campaign; n < s.Recipients; n += s.Campaigns {
		if _, err := w.Write(line); err != nil {
			return err
		}
		line = append(line[:0], 'u')
		line = strconv.AppendInt(line, int64(n), 10)
		line = append(line, '@')
		line = append(line, s.domain(n)...)
		line = append(line, ',')
		line = strconv.AppendInt(line, int64(n), 10)
		line = append(append(line, ','), firstNames[n%len(firstNames)]...)
		line = append(append(line, ",Example-"...), firstNames[n/7%len(firstNames)]...)
		line = append(append(line, ','), cities[n%len(cities)]...)
		line = append(line, ",C"...)
		line = strconv.AppendInt(line, int64(n)*7919%1_000_003, 36)
		line = append(line, '\n')
	}
	if _, err := w.Write(line); err != nil {
		return err
	}
	return w.Flush()
}

var words = strings.Fields(`water wheel gate river stone valley autumn letter garden window market harbour lantern
	meadow bridge castle orchard thunder copper silver morning evening journey picture weather station village mountain`)

// appendBody appends personalised HTML of about n octets: six merge fields,
// lines of at most 76 octets, plain words.
func appendBody(dst []byte, n int) []byte {
	rng := mathrand.New(mathrand.NewPCG(1, 2))
	start := len(dst)
	dst = append(dst, "<!DOCTYPE html>\n<html><body>\n<p>Dear {{ first_name }} {{ last_name }},</p>\n<p>greetings to {{ city }}; your code is {{ code }}.</p>\n"...)
	end := "<p><a href=\"https://sender.test/u/{{ id }}\">unsubscribe</a></p>\n<p>Yours, {{ first_name }}</p>\n</body></html>\n"
	for len(dst)-start+len(end) < n {
		line := []byte("<p>")
		for len(line) < 62 {
			line = append(append(line, words[rng.IntN(len(words))]...), ' ')
		}
		dst = append(append(dst, line[:len(line)-1]...), "</p>\n"...)
	}
	return append(dst, end...)
}

// writeKey writes a DKIM key unless there is one: signing costs the same with any.
func writeKey(path, kind string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	var key any
	var err error
	switch kind {
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		return fmt.Errorf("dkim key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("dkim key: %w", err)
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// configuration is penstock.yaml for a sink at port.
func (s *Scenario) configuration(sinkAddr, port, nameserver string) map[string]any {
	c := map[string]any{
		"hostname": "bench.sender.test",
		"smtp":     map[string]any{"gear": s.Gear, "tls": s.TLS},
		"limits": map[string]any{"default": map[string]any{
			"connections": s.Connections, "messages_per_connection": s.PerConnection,
		}},
		"log": map[string]any{"level": "warn"},
	}
	if s.Sites == 1 {
		c["routes"] = map[string]any{"*": sinkAddr}
	} else {
		c["dns"] = map[string]any{"servers": []any{nameserver}}
		c["mx"] = map[string]any{"prohibited": []any{}}
		n, _ := strconv.Atoi(port)
		c["smtp"].(map[string]any)["port"] = n
	}
	return merge(c, s.Config)
}

// merge lays over on base, maps into maps.
func merge(base, over map[string]any) map[string]any {
	for k, v := range over {
		below, ok := base[k].(map[string]any)
		above, ok2 := v.(map[string]any)
		if ok && ok2 {
			base[k] = merge(below, above)
		} else {
			base[k] = v
		}
	}
	return base
}

func writeYAML(path string, v any) error {
	text, err := yaml.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return os.WriteFile(path, text, 0o644)
}
